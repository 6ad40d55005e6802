"""Tests without an interval: McNemar's, Wilcoxon's, and the two one-sided t-tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from okrt.analysis.stats.estimate import Floats, known
from okrt.analysis.stats.means import student
from okrt.analysis.stats.rates import at_most_events
from okrt.analysis.stats.special import special

EXACT_RANKS = 50
"""Differences up to which Wilcoxon's p-value is exact, if none are tied; R's wilcox.test stops at
the same number."""


@dataclass(frozen=True, slots=True)
class PValue:
    """The result of a test."""

    p_value: float
    method: str
    """How it was found, or "none: " and why it says nothing."""
    n: int
    """Pairs that differ: those the test is about."""


@dataclass(frozen=True, slots=True)
class SignedRanks:
    """Wilcoxon's signed-rank test and its effect size."""

    p_value: float
    """Two-sided."""
    rank_biserial: float | None
    """(W+ - W-) / (W+ + W-), in [-1, 1]: 1 where first is above second in every pair that differs.
    None where none does."""
    positive: float
    """W+: the sum of the ranks of pairs whose first is above their second."""
    negative: float
    method: str
    n: int
    """Pairs that differ."""
    equal: int
    """Pairs that do not, left out of the ranks."""


def mcnemar(only_first: int, only_second: int) -> PValue:
    """Returns the exact two-sided p-value that a change either way is as likely.

    Source: McNemar (1947); exact by the binomial distribution of the pairs that changed.

    Raises:
        ValueError: a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must not be negative, got {only_first} and {only_second}")
    changed = only_first + only_second
    if changed == 0:
        return PValue(1.0, "none: no pair differs", 0)
    p_value = min(1.0, 2 * at_most_events(min(only_first, only_second), changed, 0.5))
    return PValue(p_value, "exact McNemar", changed)


def signed_ranks(first: Iterable[float | None], second: Iterable[float | None]) -> SignedRanks:
    """Returns Wilcoxon's test of first - second, paired by place.

    A pair of which one is missing is left out, and so is one that is equal. Differences that agree
    in 12 digits are tied.

    Source: Wilcoxon (1945), with the figures of scipy.stats.wilcoxon; the matched-pairs
    rank-biserial correlation by Kerby (2014), "The simple difference formula".

    Raises:
        ValueError: the lengths differ, or a value is infinite.
    """
    one, other = known([first, second])
    differences = _rounded(
        one - other, max(np.abs(one).max(initial=0), np.abs(other).max(initial=0))
    )
    kept = differences[differences != 0]
    equal = int(differences.size - kept.size)
    if kept.size == 0:
        return SignedRanks(1.0, None, 0.0, 0.0, "none: no pair differs", 0, equal)
    _, place, tied = np.unique(np.abs(kept), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(tied) - (tied - 1) / 2)[place]
    positive, negative = float(ranks[kept > 0].sum()), float(ranks[kept < 0].sum())
    exact = kept.size <= EXACT_RANKS and tied.size == kept.size
    smaller = min(positive, negative)
    p_value = _exact(int(smaller), kept.size) if exact else _normal(smaller, tied)
    method = f"Wilcoxon signed-rank, {'exact' if exact else 'normal approximation'}"
    effect = (positive - negative) / (positive + negative)
    return SignedRanks(p_value, effect, positive, negative, method, kept.size, equal)


def _exact(smaller: int, n: int) -> float:
    """How often a sum of ranks is so far from its middle, all signs being as likely."""
    ways = np.ones(1)  # in which each sum of the ranks so far comes about; below 2**53
    for rank in range(1, n + 1):
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    return min(1.0, 2 * float(ways[: smaller + 1].sum()) / 2.0**n)


def _normal(smaller: float, tied: npt.NDArray[np.int_]) -> float:
    """The same by the normal distribution, its variance less what ties take from it."""
    n = int(tied.sum())
    ties = float((tied.astype(np.float64) ** 3 - tied).sum())
    variance = (n * (n + 1) * (2 * n + 1) - ties / 2) / 24
    return min(1.0, 2 * float(special().ndtr((smaller - n * (n + 1) / 4) / np.sqrt(variance))))


def tost(first: Iterable[float | None], second: Iterable[float | None], margin: float) -> PValue:
    """Returns the p-value against a mean difference of `margin` or more either way.

    Source: Schuirmann (1987), the two one-sided t-tests, paired.

    Raises:
        ValueError: the lengths differ, a value is infinite, or the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"the margin must be positive, got {margin}")
    one, other = known([first, second])
    found = student(one - other, "task")
    p_value = max(found.p_above(-margin), found.p_below(margin))
    method = found.estimate().method
    return PValue(p_value, method if method.startswith("none") else "two one-sided t", one.size)


def _rounded(differences: Floats, scale: float) -> Floats:
    """The differences without what subtraction made of the last digits."""
    if scale == 0:
        return differences
    return np.round(differences / scale, 12)
