"""Verdicts: pass, fail or inconclusive, by one-sided bounds against a stated limit.

Pass: the one-sided bound is within the limit. Fail: the opposite bound is beyond it. Else
inconclusive: the data cannot tell. "Not different" is no verdict: equality is claimed within a
margin or not at all. An interval at level 0.90 (`ONE_SIDED`) has one-sided 95% bounds for its ends;
equivalence by it is the two one-sided tests of Schuirmann (1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from okrt.analysis.stats.estimate import Estimate, Floats

VerdictWord = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about an estimate, and by what."""

    word: VerdictWord
    estimate: Estimate
    lowest: float
    """The least that passes; minus infinity where there is no such limit."""
    highest: float
    reason: str
    """One line with the numbers that decided."""

    @property
    def confidence(self) -> float:
        """Of each one-sided bound."""
        return (1 + self.estimate.level) / 2


def at_most(estimate: Estimate, limit: float) -> Verdict:
    """Returns whether the truth is `limit` or less.

    Raises:
        ValueError: the limit is not finite.
    """
    return within(estimate, -np.inf, limit)


def at_least(estimate: Estimate, limit: float) -> Verdict:
    """Returns whether the truth is `limit` or more.

    Raises:
        ValueError: the limit is not finite.
    """
    return within(estimate, limit, np.inf)


def non_inferior(difference: Estimate, margin: float) -> Verdict:
    """Returns whether new - old is no less than -margin, of a measure of which more is better.

    Raises:
        ValueError: the margin is not positive.
    """
    return at_least(difference, -_checked(margin))


def equivalent(difference: Estimate, margin: float) -> Verdict:
    """Returns whether a difference lies within `margin` of 0, either way.

    Raises:
        ValueError: the margin is not positive.
    """
    return within(difference, -_checked(margin), margin)


def equivalent_ratio(ratio: Estimate, factor: float) -> Verdict:
    """Returns whether a ratio lies between 1 / factor and factor.

    Raises:
        ValueError: the factor is not above 1.
    """
    if not 1 < factor < np.inf:
        raise ValueError(f"the factor must be above 1, got {factor}; 1.10 allows ten percent")
    return within(ratio, 1 / factor, factor)


def within(estimate: Estimate, lowest: float, highest: float) -> Verdict:
    """Returns whether the truth lies in [lowest, highest]; one of them may be infinite.

    Raises:
        ValueError: nothing or everything lies there.
    """
    if not lowest < highest or np.isinf([lowest, highest]).all():
        raise ValueError(f"[{lowest}, {highest}] is no limit")
    low = -np.inf if estimate.low is None else estimate.low
    high = np.inf if estimate.high is None else estimate.high
    passed, failed = decide(np.float64(low), np.float64(high), lowest, highest)
    word: VerdictWord = "pass" if passed else "fail" if failed else "inconclusive"
    return Verdict(word, estimate, lowest, highest, _reason(word, estimate, lowest, highest))


def decide(
    low: Floats | np.float64, high: Floats | np.float64, lowest: float, highest: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Returns where bounds pass and where they fail; elsewhere they are inconclusive."""
    passed = (np.asarray(low) >= lowest) & (np.asarray(high) <= highest)
    failed = (np.asarray(low) > highest) | (np.asarray(high) < lowest)
    return passed, failed


def holm(p_values: Sequence[float], most_true: int | None = None) -> list[float]:
    """Returns the adjusted p-values, in the order given: below alpha, the claim stands among all.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure". With
    `most_true`, no more than so many of the hypotheses can be true together, and no step corrects
    for more: Shaffer (1986), "Modified sequentially rejective multiple test procedures".

    Raises:
        ValueError: a p-value lies outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie in [0, 1], got {list(p_values)}")
    count = len(p_values)
    most = count if most_true is None else most_true
    adjusted, reached = [1.0] * count, 0.0
    for done, place in enumerate(sorted(range(count), key=lambda place: p_values[place])):
        reached = max(reached, min(1.0, p_values[place] * min(count - done, most)))
        adjusted[place] = reached
    return adjusted


def _checked(margin: float) -> float:
    if not 0 < margin < np.inf:
        raise ValueError(f"the margin must be positive and finite, got {margin}")
    return margin


def _reason(word: VerdictWord, estimate: Estimate, lowest: float, highest: float) -> str:
    if estimate.value is None:
        return f"{word}: {estimate.method.removeprefix('none: ')}"
    if np.isinf(lowest):
        wanted = f"at most {highest:.4g}"
    elif np.isinf(highest):
        wanted = f"at least {lowest:.4g}"
    else:
        wanted = f"between {lowest:.4g} and {highest:.4g}"
    if estimate.low is None and estimate.high is None:
        why = f"no interval ({estimate.method.removeprefix('none: ')})"
    else:
        low = "unbounded" if estimate.low is None else f"{estimate.low:.4g}"
        high = "unbounded" if estimate.high is None else f"{estimate.high:.4g}"
        confidence = f"{50 * (1 + estimate.level):g}%"
        why = f"one-sided {confidence} bounds {low} and {high}"
    return f"{word}: {estimate.value:.4g}, {why}, wanted {wanted} (n = {estimate.n})"
