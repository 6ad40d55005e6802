"""Estimates with intervals that say what they are.

Each number comes with its method, level, n and pairing. Where the data bear no interval (nothing,
few values, no spread), none is claimed: `low` and `high` are None and the method says why.
Resampling is seeded: the same values in the same order give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

Pairing = Literal["none", "task"]
Floats = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 9_999
"""The default of scipy.stats.bootstrap."""
CLOPPER_PEARSON = "Clopper-Pearson"
_NO_VALUES = "none: no values"
FEWEST = 10
"""Values below which no bootstrap interval is claimed: it lies within the values, so that of n it
covers the mean of a symmetric distribution at most 1 - 2**(1 - n) of the time, half at n = 2."""
_SEED = 20_260_301
_RESAMPLED_AT_ONCE = 1_000_000
"""Values drawn in one step, which bounds the memory of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far it can be trusted."""

    value: float | None
    """None where there is nothing to estimate it from."""
    low: float | None
    high: float | None
    level: float
    """Of the two-sided interval [low, high]."""
    method: str
    """How the interval was found, or "none: " and why there is none."""
    n: int
    """Values that entered: tasks, unless the caller says otherwise."""
    pairing: Pairing
    """`task`: two measures of each task were kept together."""


def mean_interval(values: Iterable[float | None], level: float = LEVEL) -> Estimate:
    """Returns the mean and its BCa bootstrap interval; None and NaN are missing and left out.

    Source: Efron (1987), as scipy.stats.bootstrap computes it.

    Raises:
        ValueError: a value is infinite, or the level does not lie in (0, 1).
    """
    _check_level(level)
    known = _known([values])[0]
    value = float(known.mean()) if known.size else None
    if reason := _no_interval(known):
        return Estimate(value, None, None, level, reason, known.size, "none")
    low, high = _bca([known], np.mean, level)
    method = f"BCa bootstrap of the mean, {RESAMPLES:,} resamples"
    return Estimate(value, low, high, level, method, known.size, "none")


def ratio_of_sums(
    numerators: Iterable[float | None],
    denominators: Iterable[float | None],
    level: float = LEVEL,
    scale: float = 1.0,
) -> Estimate:
    """Returns scale x sum(numerators) / sum(denominators) and its BCa bootstrap interval.

    The two are paired: a resample draws a task's numerator and denominator together, and a pair of
    which one is missing (None, NaN) is left out.

    Raises:
        ValueError: the lengths differ, a value is infinite, a denominator is negative, or the level
            does not lie in (0, 1).
    """
    _check_level(level)
    above, below = _known([numerators, denominators])
    if np.any(below < 0):
        raise ValueError(f"denominators must not be negative, got {below.min()}")
    if below.size and not below.all():
        # a resample of zeros alone would have no ratio
        value = float(scale * above.sum() / below.sum()) if below.any() else None
        reason = "none: a denominator is zero"
        return Estimate(value, None, None, level, reason, above.size, "task")
    value = float(scale * above.sum() / below.sum()) if above.size else None
    if reason := _no_interval(above / below):
        return Estimate(value, None, None, level, reason, above.size, "task")
    low, high = _bca([scale * above, below], _ratio, level)
    method = f"BCa bootstrap of the ratio of sums, {RESAMPLES:,} resamples"
    return Estimate(value, low, high, level, method, above.size, "task")


def rate_interval(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """Returns successes / n and its exact interval, which covers at `level` or more.

    Source: Clopper and Pearson (1934), as scipy.stats.binomtest computes it.

    Raises:
        ValueError: not 0 <= successes <= n, or the level does not lie in (0, 1).
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..{n}, got {successes}")
    if n == 0:
        return Estimate(None, None, None, level, _NO_VALUES, 0, "none")
    interval = stats.binomtest(successes, n).proportion_ci(level, method="exact")
    low, high = float(interval.low), float(interval.high)
    return Estimate(successes / n, low, high, level, CLOPPER_PEARSON, n, "none")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"the level must lie in (0, 1), got {level}; 0.95 is usual")


def _known(columns: list[Iterable[float | None]]) -> list[Floats]:
    """Returns the columns without the places at which any of them is missing."""
    table = np.array(list(zip(*columns, strict=True)), dtype=np.float64)  # None becomes NaN
    table = table.reshape(-1, len(columns))
    if np.isinf(table).any():
        raise ValueError("values must be finite; a missing value is None or NaN")
    kept = table[~np.isnan(table).any(axis=1)]
    return [np.ascontiguousarray(column) for column in kept.T]


def _no_interval(values: Floats) -> str:
    """Returns why these values bear no interval, or nothing. Rounding is no spread."""
    if values.size == 0:
        return _NO_VALUES
    if values.size > 1 and np.ptp(values) <= 1e-9 * np.abs(values).max():
        return "none: no spread among the values"
    return f"none: fewer than {FEWEST} values" if values.size < FEWEST else ""


def _bca(samples: list[Floats], statistic: Any, level: float) -> tuple[float, float]:
    interval = stats.bootstrap(
        samples,
        statistic,
        paired=len(samples) > 1,
        vectorized=True,
        confidence_level=level,
        n_resamples=RESAMPLES,
        batch=max(1, _RESAMPLED_AT_ONCE // samples[0].size),
        method="BCa",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _ratio(above: Floats, below: Floats, axis: int = -1) -> Any:
    return above.sum(axis=axis) / below.sum(axis=axis)
