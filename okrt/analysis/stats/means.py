"""Means, differences of means and ratios of sums: by the bootstrap, tasks as the unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from okrt.analysis.stats.bootstrap import (
    RESAMPLES,
    Resampled,
    Statistic,
    influence,
    only,
    quotient,
    quotient_of_quotients,
    resample,
    standard_error,
)
from okrt.analysis.stats.estimate import (
    LEVEL,
    NO_SPREAD,
    Estimate,
    Floats,
    Inference,
    Pairing,
    Unknown,
    check_level,
    known,
    no_interval,
)
from okrt.analysis.stats.special import special

MOST = 5_000
"""Values above which the normal approximation takes the bootstrap's place: what BCa corrects falls
with 1 / sqrt(n), its cost grows with n."""
FEW_POSITIVE = 20
"""Values of c in `ratio_of_ratios` above zero; with fewer, resamples of zeros alone occur."""


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """By BCa; where that has no answer, by plain percentiles, and `method` says so."""

    what: str
    resampled: Resampled = field(repr=False, compare=False)
    n: int
    pairing: Pairing

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        tails = ((1 - level) / 2, (1 + level) / 2)
        low, high = self.resampled.bounds(tails)
        kind = "BCa" if self.resampled.corrected(tails) else "percentile (no BCa)"
        method = f"{kind} bootstrap of {self.what}, {RESAMPLES:,} resamples"
        value = float(self.resampled.value)
        return Estimate(value, float(low), float(high), level, method, self.n, self.pairing)

    def p_above(self, null: float) -> float:
        return float(self.resampled.tail(null))

    def p_below(self, null: float) -> float:
        return 1 - float(self.resampled.tail(null))


@dataclass(frozen=True, slots=True)
class Located:
    """A value with a standard error, by the normal or Student's t distribution."""

    value: float
    error: float
    method: str
    n: int
    pairing: Pairing
    freedom: float = np.inf
    """Degrees of freedom; infinite for the normal distribution."""

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        reach = self.error * float(special().stdtrit(self.freedom, (1 + level) / 2))
        low, high = self.value - reach, self.value + reach
        return Estimate(self.value, low, high, level, self.method, self.n, self.pairing)

    def p_above(self, null: float) -> float:
        return float(special().stdtr(self.freedom, (null - self.value) / self.error))

    def p_below(self, null: float) -> float:
        return float(special().stdtr(self.freedom, (self.value - null) / self.error))


@dataclass(frozen=True, slots=True)
class AllEqual:
    """Every task differs by the same, mostly by 0, and few can differ otherwise.

    At most a share u of tasks does (Clopper and Pearson, 1934), each by `width` or less either way,
    so that the mean difference is at least (1 - u) x value - u x width, and likewise above.
    """

    value: float
    width: float
    n: int

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        share = 1 - ((1 - level) / 2) ** (1 / self.n)
        low = self.value - share * (self.width + self.value)
        high = self.value + share * (self.width - self.value)
        method = f"all equal: Clopper-Pearson bound on tasks that differ, each by {self.width:g}"
        return Estimate(self.value, low, high, level, method, self.n, "task")

    def p_above(self, null: float) -> float:
        return self._p(self.value - null, self.width + self.value)

    def p_below(self, null: float) -> float:
        return self._p(null - self.value, self.width - self.value)

    def _p(self, distance: float, reach: float) -> float:
        """Were the mean so far away, how often would no task have shown it?"""
        if distance <= 0:
            return 1.0
        return 0.0 if distance >= reach else (1 - distance / reach) ** self.n


def mean(values: Iterable[float | None]) -> Inference:
    """Returns what is known of the mean; None and NaN are missing and left out.

    Raises:
        ValueError: a value is infinite.
    """
    found = known([values])[0]
    value = float(found.mean()) if found.size else None
    if reason := no_interval(found):
        return Unknown(value, reason, found.size, "none")
    return _inference([found], only, "the mean", "none")


def mean_difference(
    first: Iterable[float | None], second: Iterable[float | None], width: float | None = None
) -> Inference:
    """Returns what is known of the mean of first - second, paired by place.

    A pair of which one is missing is left out. `width` is the most by which one task can differ (1
    for scores); with it, differences that are all equal have an interval too.

    Raises:
        ValueError: the lengths differ, a value is infinite, or the width is not positive or
            smaller than a difference.
    """
    if width is not None and not 0 < width < np.inf:
        raise ValueError(f"the width must be positive and finite, got {width}")
    one, other = known([first, second])
    differences = one - other
    scale = max(np.abs(one).max(initial=0), np.abs(other).max(initial=0))
    differences[np.abs(differences) <= 1e-12 * scale] = 0  # rounding is no difference
    value = float(differences.mean()) if differences.size else None
    reason = no_interval(differences)
    if width is not None and value is not None and (reason == NO_SPREAD or differences.size == 1):
        if abs(value) > width:
            raise ValueError(f"a difference of {value} is more than the width, {width}")
        return AllEqual(value, width, differences.size)
    if reason:
        return Unknown(value, reason, differences.size, "task")
    return _inference([differences], only, "the mean difference", "task")


def ratio(
    numerators: Iterable[float | None],
    denominators: Iterable[float | None],
    scale: float = 1.0,
) -> Inference:
    """Returns what is known of scale x sum(numerators) / sum(denominators), paired by place.

    The same as the ratio of their means. A pair of which one is missing is left out.

    Raises:
        ValueError: the lengths differ, a value is infinite, or a denominator is negative.
    """
    above, below = known([numerators, denominators])
    if np.any(below < 0):
        raise ValueError(f"denominators must not be negative, got {below.min()}")
    value = float(scale * above.sum() / below.sum()) if below.any() else None
    if below.size and not below.all():
        # a resample of zeros alone would have no ratio
        return Unknown(value, "none: a denominator is zero", above.size, "task")
    if reason := no_interval(above / below):
        return Unknown(value, reason, above.size, "task")
    return _inference([scale * above, below], quotient, "the ratio of sums", "task")


def ratio_of_ratios(columns: Sequence[Iterable[float | None]]) -> Inference:
    """Returns what is known of (sum a / sum b) / (sum c / sum d), the four paired by place.

    Raises:
        ValueError: not four columns, their lengths differ, a value is infinite, or one of b, c, d
            is negative.
    """
    if len(columns) != 4:
        raise ValueError(f"four columns are needed, got {len(columns)}")
    found = known(list(columns))
    a, b, c, d = found
    if any(np.any(column < 0) for column in (b, c, d)):
        raise ValueError("b, c and d must not be negative")
    sums = [float(column.sum()) for column in found]
    value = sums[0] * sums[3] / (sums[1] * sums[2]) if all(sums[1:]) else None
    if a.size and not (b.all() and d.all() and np.count_nonzero(c) >= min(FEW_POSITIVE, c.size)):
        return Unknown(value, "none: a denominator is zero", a.size, "task")
    reason = no_interval(a / b) and no_interval(c / d)
    if reason or a.size == 0:
        return Unknown(value, reason or no_interval(a), a.size, "task")
    return _inference(found, quotient_of_quotients, "the ratio of ratios", "task")


def mean_interval(values: Iterable[float | None], level: float = LEVEL) -> Estimate:
    """Returns the mean and its BCa bootstrap interval; None and NaN are missing and left out.

    Raises:
        ValueError: a value is infinite, or the level does not lie in (0, 1).
    """
    check_level(level)
    return mean(values).estimate(level)


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
    check_level(level)
    return ratio(numerators, denominators, scale).estimate(level)


def clustered_mean(groups: Iterable[Sequence[float | None]]) -> Inference:
    """Returns what is known of the mean over tasks of which each was repeated.

    The unit that is drawn is the task, with all its repeats: the bootstrap of the tasks' means.
    Tasks weigh the same however often they were repeated; a task with no known value is left out.

    Raises:
        ValueError: a value is infinite.
    """
    tasks = [known([group])[0] for group in groups]
    return mean(float(task.mean()) for task in tasks if task.size)


def student(values: Iterable[float | None], pairing: Pairing = "none", what: str = "") -> Inference:
    """Returns what Student's t distribution says of the mean; two values at least.

    Raises:
        ValueError: a value is infinite.
    """
    found = known([values])[0]
    value = float(found.mean()) if found.size else None
    reason = no_interval(found, fewest=2)
    if reason or value is None:
        return Unknown(value, reason, found.size, pairing)
    error = float(found.std(ddof=1)) / found.size**0.5
    return Located(value, error, what or "Student's t", found.size, pairing, found.size - 1)


def _inference(
    columns: list[Floats], statistic: Statistic, what: str, pairing: Pairing
) -> Inference:
    table = np.stack(columns)
    size = table.shape[-1]
    value = float(statistic(table.mean(axis=-1, keepdims=True))[0])
    if np.ptp(influence(table, statistic)) <= 1e-9 * abs(value) / size:
        return Unknown(value, NO_SPREAD, size, pairing)  # no resample differs from the sample
    if size <= MOST:
        return Bootstrapped(what, resample(table, statistic), size, pairing)
    method = f"normal approximation of {what}, jackknife standard error (n > {MOST:,})"
    return Located(value, float(standard_error(table, statistic)), method, size, pairing)
