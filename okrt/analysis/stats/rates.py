"""Rates: of one cell, of tasks that were repeated, and the difference of two paired by task.

No bootstrap: of zero events it gives [0, 0], which is wrong. What computes bounds takes arrays, so
that calibration runs the code that production runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from okrt.analysis.stats.estimate import (
    LEVEL,
    NO_VALUES,
    Estimate,
    Floats,
    Inference,
    Pairing,
    Unknown,
    check_level,
    known,
)
from okrt.analysis.stats.special import special

CLOPPER_PEARSON = "Clopper-Pearson"
KORN_GRAUBARD = "Korn-Graubard (Clopper-Pearson over the effective number of episodes)"
TANGO = "Tango's score interval for paired rates"
_HALVINGS = 60
"""Of an interval of length 2: to the last bit of a double."""


@dataclass(frozen=True, slots=True)
class BetaRate:
    """A rate by quantiles of the beta distribution, exact where `trials` are independent."""

    value: float
    trials: float
    method: str
    n: int
    pairing: Pairing = "none"

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        low, high = clopper_pearson(self.value * self.trials, self.trials, (1 - level) / 2)
        return Estimate(
            self.value, float(low), float(high), level, self.method, self.n, self.pairing
        )

    def p_above(self, null: float) -> float:
        hits = self.value * self.trials
        inside = float(np.clip(null, 0, 1))
        return 1.0 if hits <= 0 else float(special().betainc(hits, self.trials - hits + 1, inside))

    def p_below(self, null: float) -> float:
        hits = self.value * self.trials
        inside = float(np.clip(null, 0, 1))
        if hits >= self.trials:
            return 1.0
        return 1 - float(special().betainc(hits + 1, self.trials - hits, inside))


def clopper_pearson(
    hits: npt.ArrayLike, trials: npt.ArrayLike, tail: float
) -> tuple[Floats, Floats]:
    """Returns the bounds, each at the confidence 1 - tail, of rates; hits need not be whole.

    Source: Clopper and Pearson (1934), by quantiles of the beta distribution.
    """
    hit, n = np.broadcast_arrays(np.asarray(hits, np.float64), np.asarray(trials, np.float64))
    with np.errstate(invalid="ignore"):
        low = np.where(hit > 0, special().betaincinv(hit, n - hit + 1, tail), 0.0)
        high = np.where(hit < n, special().betaincinv(hit + 1, n - hit, 1 - tail), 1.0)
    return low, high


def at_most_events(events: int, n: int, rate: float) -> float:
    """Returns the binomial probability of so many events or fewer among n tasks."""
    if events < 0:
        return 0.0
    return 1.0 if events >= n else float(special().betaincc(events + 1, n - events, rate))


def rate(successes: int, n: int) -> Inference:
    """Returns what is known of a rate, exactly.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..{n}, got {successes}")
    if n == 0:
        return Unknown(None, NO_VALUES, 0, "none")
    return BetaRate(successes / n, n, CLOPPER_PEARSON, n)


def rate_interval(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """Returns successes / n and its exact interval, which covers at `level` or more.

    Raises:
        ValueError: not 0 <= successes <= n, or the level does not lie in (0, 1).
    """
    check_level(level)
    return rate(successes, n).estimate(level)


def clustered_rate(groups: Iterable[Sequence[float | None]]) -> Inference:
    """Returns what is known of a rate over tasks of which each was repeated: 0 or 1 an episode.

    The mean of the tasks' shares; n is the number of tasks, the unit. A task with no known value is
    left out. Of tasks that were not repeated this is `rate`.

    Raises:
        ValueError: a value lies outside [0, 1].
    """
    tasks = [known([group])[0] for group in groups]
    tasks = [task for task in tasks if task.size]
    if any(task.min() < 0 or task.max() > 1 for task in tasks):
        raise ValueError("a rate is over values of 0 and 1")
    shares = np.array([task.mean() for task in tasks], dtype=np.float64)
    episodes = sum(task.size for task in tasks)
    if episodes == len(tasks):
        return rate(int(np.count_nonzero(shares)), len(tasks))
    value = min(1.0, float(shares.mean()))
    trials = float(effective_episodes(shares, episodes))
    return BetaRate(value, trials, KORN_GRAUBARD, len(tasks))


def effective_episodes(shares: Floats, episodes: float) -> Floats:
    """Returns how many independent episodes would know the rate as well, of shares (..., tasks).

    Source: Korn and Graubard (1998), "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data". Differs: never above the number of
    episodes; their correction for the degrees of freedom is taken at 95% whatever the level; where
    all tasks are at 0 or all at 1, the tasks count, as if repeats told nothing.
    """
    tasks = shares.shape[-1]
    value = shares.mean(axis=-1)
    if tasks < 2:
        return np.full_like(value, tasks)
    variance = shares.var(axis=-1, ddof=1) / tasks
    freedom = special().stdtrit(episodes - 1, 0.975) / special().stdtrit(tasks - 1, 0.975)
    with np.errstate(divide="ignore", invalid="ignore"):
        trials = np.minimum(value * (1 - value) / variance * freedom**2, episodes)
    settled = (value <= 0) | (value >= 1)
    found: Floats = np.where(settled, float(tasks), np.where(variance > 0, trials, episodes))
    return found


@dataclass(frozen=True, slots=True)
class PairedRates:
    """The difference of two rates over the same tasks, by Tango's score test."""

    only_first: float
    """Tasks on which the first cell alone has the event; of repeated tasks, the sum of the shares
    by which the first has it more often."""
    only_second: float
    n: int

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        tail = (1 - level) / 2
        low, high = tango(self.only_first, self.only_second, self.n, tail)
        value = (self.only_first - self.only_second) / self.n
        return Estimate(value, float(low), float(high), level, TANGO, self.n, "task")

    def p_above(self, null: float) -> float:
        return float(special().ndtr(-self._z(null)))

    def p_below(self, null: float) -> float:
        return float(special().ndtr(self._z(null)))

    def _z(self, null: float) -> Floats:
        return tango_z(self.only_first, self.only_second, self.n, np.clip(null, -1, 1))


def rate_difference(first: Iterable[float | None], second: Iterable[float | None]) -> Inference:
    """Returns what is known of the rate of first less that of second, paired by place: 0 or 1, or
    the share of a task's repeats.

    A pair of which one is missing is left out. Shares enter Tango's interval as parts of a task:
    their variance is at most that of whole tasks of the same sums, so that it is wide rather than
    narrow, and of rare events no bootstrap is needed.

    Raises:
        ValueError: the lengths differ, or a value lies outside [0, 1].
    """
    one, other = known([first, second])
    if not ((one >= 0) & (one <= 1) & (other >= 0) & (other <= 1)).all():
        raise ValueError("a paired rate is over values in [0, 1]")
    if one.size == 0:
        return Unknown(None, NO_VALUES, 0, "task")
    more = one - other
    return PairedRates(float(more[more > 0].sum()), float(-more[more < 0].sum()), one.size)


def tango_z(
    only_first: npt.ArrayLike, only_second: npt.ArrayLike, n: npt.ArrayLike, null: npt.ArrayLike
) -> Floats:
    """Returns the score statistic of a difference of paired rates against `null`.

    0 where both the statistic's numerator and its variance are 0.

    Source: Tango (1998), "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design", Statistics in Medicine 17, 891-908.
    """
    b, c = np.asarray(only_first, np.float64), np.asarray(only_second, np.float64)
    size, delta = np.asarray(n, np.float64), np.asarray(null, np.float64)
    variance = size * tango_variance(b / size, c / size, delta)
    distance = b - c - size * delta
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Floats = np.where(distance == 0, 0.0, distance / np.sqrt(variance))
    return z


def tango_variance(first: npt.ArrayLike, second: npt.ArrayLike, delta: npt.ArrayLike) -> Floats:
    """Returns the variance of one task's difference, were the true difference delta.

    `first` and `second` are the shares of tasks on which that cell alone has the event; the share
    of the second is replaced by its maximum-likelihood estimate under delta.
    """
    b, c, d = (np.asarray(value, np.float64) for value in (first, second, delta))
    linear = -b - c + (2 - b + c) * d
    constant = -c * d * (1 - d)
    share = (np.sqrt(np.maximum(linear**2 - 8 * constant, 0)) - linear) / 4
    found: Floats = np.maximum(2 * share + d * (1 - d), 0)
    return found


def tango(
    only_first: npt.ArrayLike, only_second: npt.ArrayLike, n: npt.ArrayLike, tail: float
) -> tuple[Floats, Floats]:
    """Returns the bounds, each at the confidence 1 - tail, by halving: z falls as null rises."""
    return (
        _root(only_first, only_second, n, float(-special().ndtri(tail))),
        _root(only_first, only_second, n, float(special().ndtri(tail))),
    )


def _root(
    only_first: npt.ArrayLike, only_second: npt.ArrayLike, n: npt.ArrayLike, wanted: float
) -> Floats:
    shape = np.broadcast_shapes(np.shape(only_first), np.shape(only_second), np.shape(n))
    low, high = np.full(shape, -1.0), np.full(shape, 1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = tango_z(only_first, only_second, n, middle) > wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def identical(same: int, n: int) -> Inference:
    """Returns what is known of the rate of tasks on which two cells differ, exactly.

    Raises:
        ValueError: not 0 <= same <= n.
    """
    return rate(n - same, n)
