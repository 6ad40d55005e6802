"""How many tasks a question needs, and the power that a number of tasks has.

Means and ratios by the normal approximation, corrected for skewness where a pilot knows it; rates
exactly, by the binomial distribution. `benchmarks/calibration.py` holds the powers to simulation.

The spread of a mean difference is the standard deviation of the tasks' differences; on easy scores
of one kind of model it was about 0.14, so that a margin of 0.03 needs about 135 tasks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from okrt.analysis.stats.estimate import Floats
from okrt.analysis.stats.rates import at_most_events, tango_variance, tango_z
from okrt.analysis.stats.special import special

Question = Literal["non-inferior", "equivalent", "different"]

ALPHA = 0.05
"""Of each one-sided bound; a difference is tested two-sided at the same."""
POWER = 0.8
MOST_TASKS = 10_000_000
MOST_EXACT = 50_000
"""Tasks beyond which no exact plan of a rate is sought."""
MOST_COUNTED = 600
"""Tasks up to which all outcomes of a paired rate are counted: their number grows with n**2."""
HALVINGS = 60


@dataclass(frozen=True, slots=True)
class MeanPlan:
    """A question about a paired mean difference, new - old, more being better; `ratio_plan` turns
    one about a ratio into it."""

    spread: float
    """Standard deviation of one task's difference."""
    margin: float
    question: Question = "non-inferior"
    truth: float = 0.0
    """The difference that is thought to be there."""
    skewness: float = 0.0
    """Of one task's difference. A long lower tail, below 0, costs power beyond its spread."""
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _positive(spread=self.spread, alpha=self.alpha)
        if self.question != "different":
            _positive(margin=self.margin)

    def power(self, n: int) -> float:
        """Returns the probability that n tasks answer yes."""
        error = self.spread / n**0.5
        if self.question == "different":
            up = _clears(self.truth / error, self.alpha / 2, self.skewness, n)
            down = _clears(-self.truth / error, self.alpha / 2, -self.skewness, n)
            return min(1.0, up + down)
        above = _clears((self.margin + self.truth) / error, self.alpha, self.skewness, n)
        if self.question == "non-inferior":
            return above
        below = _clears((self.margin - self.truth) / error, self.alpha, -self.skewness, n)
        return max(0.0, above + below - 1)

    def tasks(self, power: float = POWER) -> int | None:
        """Returns how many tasks answer yes with this probability, None where none does."""
        return _fewest(self.power, power)

    def least_margin(self, n: int, power: float = POWER) -> float:
        """Returns the smallest margin that n tasks decide with this probability.

        Raises:
            ValueError: the power does not lie in (0, 1), or a difference is asked for.
        """
        _checked_power(power)
        if self.question == "different":
            raise ValueError("whether something differs has no margin")
        low, high = 0.0, abs(self.truth) + 100 * self.spread
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = replace(self, margin=middle).power(n) >= power
            low, high = (low, middle) if enough else (middle, high)
        return high


def _clears(distance: float, tail: float, skewness: float, n: int) -> float:
    """The probability that a lower bound lies above a limit that is `distance` standard errors
    below the truth.

    Without skewness, by the normal distribution. With it, the bound of the second order lies
    z - skewness x (2 z**2 + 1) / (6 sqrt(n)) standard errors below the mean (Hall, 1992, section
    2.6), and the standard error of the sample rises and falls with its mean.
    """
    z = -float(special().ndtri(tail))
    reach = z - skewness * (2 * z**2 + 1) / (6 * n**0.5)
    variance = max(0.1, 1 - reach * skewness / n**0.5)
    return float(special().ndtr((distance - reach) / variance**0.5))


@dataclass(frozen=True, slots=True)
class RatePlan:
    """Whether a rate is at most `limit`, by the exact bound of Clopper and Pearson."""

    limit: float
    truth: float = 0.0
    """The rate that is thought to be there."""
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _positive(alpha=self.alpha)
        if not 0 < self.limit < 1 or not 0 <= self.truth <= 1:
            raise ValueError(f"a rate of {self.truth} and a limit of {self.limit} are no plan")

    def allowed(self, n: int) -> int:
        """Returns how many events among n tasks still pass; -1 where not even none would do.

        The upper bound is within the limit just where so few events are rarer than alpha at it.
        """
        rarer = bisect_right(
            range(n + 1), self.alpha, key=lambda events: at_most_events(events, n, self.limit)
        )
        return rarer - 1

    def power(self, n: int) -> float:
        """Returns the probability that n tasks pass."""
        return at_most_events(self.allowed(n), n, self.truth)

    def tasks(self, power: float = POWER) -> int | None:
        """Returns the fewest tasks that pass with this probability; more may do so less often, for
        events are whole numbers. None where the truth is at the limit, or no number up to
        `MOST_EXACT` does."""
        _checked_power(power)
        if self.truth >= self.limit:
            return None
        events, n = 0, fewest_without_error(self.limit, self.alpha)
        while at_most_events(events, n, self.truth) < power:
            events += 1  # and the fewest tasks among which so many still pass
            while at_most_events(events, n, self.limit) > self.alpha:
                n += 1
            if n > MOST_EXACT:
                return None
        return n


@dataclass(frozen=True, slots=True)
class PairedRatePlan:
    """Whether a rate is higher by no more than `margin`, by Tango's score test."""

    margin: float
    only_new: float
    """Share of tasks on which the new cell alone has the event."""
    only_old: float
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        _positive(margin=self.margin, alpha=self.alpha)
        if min(self.only_new, self.only_old) < 0 or self.only_new + self.only_old > 1:
            raise ValueError(f"shares of {self.only_new} and {self.only_old} are no plan")

    def power(self, n: int) -> float:
        """Returns the probability that n tasks pass: exact up to `MOST_COUNTED` tasks.

        Source: the distribution of the tasks on which one cell alone has the event; beyond, the
        normal approximation of Tango's statistic with its variance at the margin.
        """
        z = -float(special().ndtri(self.alpha))
        if n <= MOST_COUNTED:
            new, old = np.mgrid[: n + 1, : n + 1]
            new, old = new[new + old <= n], old[new + old <= n]
            passes = tango_z(new, old, n, self.margin) <= -z
            counts = np.stack([new, old, n - new - old], axis=-1)[passes]
            shares = (self.only_new, self.only_old, 1 - self.only_new - self.only_old)
            ways = special().gammaln(n + 1) - special().gammaln(counts + 1).sum(axis=-1)
            return float(np.exp(ways + special().xlogy(counts, shares).sum(axis=-1)).sum())
        truth = self.only_new - self.only_old
        variance = self.only_new + self.only_old - truth**2
        at_margin = float(tango_variance(self.only_new, self.only_old, self.margin))
        reach = (self.margin - truth) * n**0.5 - z * at_margin**0.5
        return float(reach > 0) if variance == 0 else float(special().ndtr(reach / variance**0.5))

    def tasks(self, power: float = POWER) -> int | None:
        """Returns how many tasks pass with this probability, None where none does."""
        return _fewest(self.power, power)


@dataclass(frozen=True, slots=True)
class Spread:
    """What a pilot says of one task."""

    spread: float
    """Standard deviation."""
    skewness: float


def difference_spread(first: Sequence[float], second: Sequence[float]) -> Spread:
    """Returns the spread and skewness of first - second, from a pilot's pairs.

    Raises:
        ValueError: the lengths differ, or there are fewer than three pairs or no spread.
    """
    one, other = _pairs(first, second)
    return _spread(one - other)


def ratio_plan(
    numerators: Sequence[float],
    denominators: Sequence[float],
    limit: float,
    truth: float = 1.0,
    alpha: float = ALPHA,
) -> MeanPlan:
    """Returns the plan of whether a ratio of sums is at most `limit`, from a pilot's pairs.

    A ratio is at most `limit` where the mean of limit x denominator - numerator is at least 0: that
    is planned, in units of the mean denominator, with the numerators scaled to the ratio that is
    thought to be there, `truth`. Source: Fieller (1954).

    Raises:
        ValueError: the lengths differ, there are fewer than three pairs or no spread, sums are not
            positive, or the truth is at the limit or beyond.
    """
    above, below = _pairs(numerators, denominators)
    if not (above.sum() > 0 and below.sum() > 0 and 0 < truth < limit):
        raise ValueError(f"sums must be positive, and 0 < truth ({truth}) < limit ({limit})")
    scaled = above * truth * below.sum() / above.sum()
    found = _spread((limit * below - scaled) / below.mean())
    return MeanPlan(found.spread, limit - truth, skewness=found.skewness, alpha=alpha)


def _pairs(first: Sequence[float], second: Sequence[float]) -> tuple[Floats, Floats]:
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape:
        raise ValueError(f"a pilot's values are in pairs, got {one.size} and {other.size}")
    return one, other


def _spread(values: Floats) -> Spread:
    if values.size < 3 or not np.ptp(values):
        raise ValueError(f"a pilot needs three tasks and some spread, got {values.size}")
    away = values - values.mean()
    skewness = float((away**3).mean() / (away**2).mean() ** 1.5)
    return Spread(float(values.std(ddof=1)), skewness)


def fewest_without_error(limit: float, alpha: float = ALPHA) -> int:
    """Returns how many tasks without a single event show that a rate is at most `limit`: 59 for
    0.05, as 0.95 ** 59 is below 0.05."""
    return int(np.ceil(np.log(alpha) / np.log1p(-limit) - 1e-9))


def refusal(plan: MeanPlan | RatePlan | PairedRatePlan, n: int, power: float = POWER) -> str | None:
    """Returns why a gate cannot be decided with n tasks, and what to do; None where it can.

    It can where n tasks pass it with probability `power`, if the truth is what the plan says.
    """
    _checked_power(power)
    has = plan.power(n)
    if has >= power:
        return None
    needed = plan.tasks(power)
    enough = f"use {needed} tasks" if needed else "no number of tasks would do"
    if needed and needed > n and isinstance(plan, RatePlan) and plan.allowed(n) < 0:
        fewest = fewest_without_error(plan.limit, plan.alpha)
        enough = f"{fewest} without one event are the fewest that can pass; {enough}"
    if isinstance(plan, RatePlan):
        gate = f"rate <= {plan.limit:g}"
    elif isinstance(plan, PairedRatePlan):
        gate = f"rate higher by at most {plan.margin:g}"
    else:
        gate = f"{plan.question} at a spread of {plan.spread:g} a task"
        if plan.question != "different":
            gate += f" and a margin of {plan.margin:g}"
            enough += f", or a margin of {plan.least_margin(n, power):.2g}"
    return f"{gate} passes with probability {has:.2f} at n = {n}, less than {power:g}: {enough}"


def _fewest(power_at: Callable[[int], float], wanted: float) -> int | None:
    """The first n at which a power that rises with n reaches what is wanted."""
    _checked_power(wanted)
    high = 2
    while power_at(high) < wanted:
        high *= 2
        if high > MOST_TASKS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= wanted else (middle, high)
    return high


def _checked_power(power: float) -> None:
    if not 0 < power < 1:
        raise ValueError(f"the power must lie in (0, 1), got {power}; 0.8 is usual")


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 < number < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {number}")
