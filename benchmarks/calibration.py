"""Whether intervals cover, verdicts err and plans hold as they say, on data whose truth is known.

    python -m benchmarks.calibration

Each row draws samples of n tasks again and again and asks the code that reports ask
(`okrt.analysis.stats`), many samples at once. Printed, in percent:

covered    how often the 95% interval holds the truth
too low    how often a non-inferiority gate passes although the truth is at its limit: at most 5
too high   the same of a gate on what must not rise (a rate, a ratio of tokens): at most 5
equal      how often an equivalence gate passes although the truth is at the worse of its limits
power      how often a gate passes, and behind the slash what the planner says of it

Rows whose name ends in an asterisk are there to show where the methods end; they are no target.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from okrt.analysis.planner import (
    MeanPlan,
    PairedRatePlan,
    RatePlan,
    difference_spread,
    ratio_plan,
)
from okrt.analysis.stats.bootstrap import Statistic, only, quotient, resample
from okrt.analysis.stats.rates import clopper_pearson, effective_episodes, tango
from okrt.analysis.stats.verdicts import decide

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Floats]
"""Generator, samples, tasks -> (samples, columns, tasks)."""

TAILS = (0.025, 0.975, 0.05, 0.95)
AT_ONCE = 200
"""Samples resampled together, which bounds the memory."""
PILOT = 100_000
"""Tasks drawn to know the spread that a plan is made with."""
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Shares of samples."""

    name: str
    covered: float
    too_low: float
    too_high: float
    equal: float | None
    powers: tuple[tuple[float, float], ...]
    """Found and planned."""

    @property
    def target(self) -> bool:
        return not self.name.endswith("*")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A scenario whose figure is a function of means."""

    name: str
    draw: Draw
    truth: float
    statistic: Statistic = only

    def run(self, generator: np.random.Generator, samples: int, n: int) -> Found:
        bounds = np.concatenate(
            [
                resample(self.draw(generator, some, n), self.statistic).bounds(TAILS)
                for some in _steps(samples)
            ]
        )
        low, high = bounds[:, 2], bounds[:, 3]
        pilot = self.draw(generator, 1, PILOT)[0]
        if self.statistic is not only:
            limit = _planned_limit(pilot, self.truth, n)
            power = (_passed(low, high, -np.inf, limit), 0.8)
            return _found(self.name, bounds, self.truth, limit - self.truth, (power,))
        known = difference_spread(pilot[0], 0 * pilot[0])
        plan = MeanPlan(known.spread, 1.0, skewness=known.skewness)
        margin = plan.least_margin(n)
        wide = replace(plan, question="equivalent").least_margin(n)
        lowest, highest = self.truth - wide, self.truth + wide
        powers = (
            (_passed(low, high, self.truth - margin, np.inf), 0.8),
            (_passed(low, high, lowest, highest), 0.8),
        )
        return _found(self.name, bounds, self.truth, wide, powers)


def normal_scores(generator: np.random.Generator, samples: int, n: int) -> Floats:
    """Bounded and bell-shaped: two scores that share half of what makes them."""
    parts = generator.uniform(size=(4, samples, 1, n))
    difference: Floats = (parts[0] + parts[1] - parts[2] - parts[3]) / 4
    return difference


def skewed_scores(generator: np.random.Generator, samples: int, n: int) -> Floats:
    """Most differences a little up, some far down: skewness -2."""
    drawn: Floats = 0.1 - generator.exponential(0.1, (samples, 1, n))
    return drawn


def collapses(generator: np.random.Generator, samples: int, n: int) -> Floats:
    """Nineteen tasks of twenty as before but for noise, one of twenty lost: skewness -4."""
    lost = generator.uniform(size=(samples, 1, n)) < 0.05
    drawn: Floats = generator.normal(0, 0.02, (samples, 1, n)) - 0.9 * lost
    return drawn


def tokens(generator: np.random.Generator, samples: int, n: int) -> Floats:
    """Tokens of two cells that share the task's size; the ratio of means is 1.5."""
    size = generator.gamma(4, 250, (samples, 1, n))
    noise = generator.gamma(8, 1 / 8, (samples, 2, n))
    drawn: Floats = size * noise * np.array([[1.5], [1.0]])
    return drawn


def heavy_tokens(generator: np.random.Generator, samples: int, n: int) -> Floats:
    """Lognormal of scale 1, each cell for itself: one task in a hundred takes ten times the
    median."""
    drawn: Floats = generator.lognormal(0, 1, (samples, 2, n)) * np.array([[1.5], [1.0]])
    return drawn


def repeated_scores(generator: np.random.Generator, samples: int, n: int) -> Floats:
    """Means of three repeats that share their task."""
    task = generator.gamma(2, 0.05, (samples, 1, n)) - 0.1
    noise = generator.normal(0, 0.1, (samples, REPEATS, n))
    drawn: Floats = task + noise.mean(axis=1, keepdims=True)
    return drawn


@dataclass(frozen=True, slots=True)
class Rate:
    """Events of one cell, each task once."""

    name: str
    truth: float
    limit: float

    def run(self, generator: np.random.Generator, samples: int, n: int) -> Found:
        hits = generator.binomial(n, self.truth, samples)
        bounds = _bounds(lambda tail: clopper_pearson(hits, n, tail))
        power = RatePlan(self.limit, self.truth).power(n)
        passed = _passed(bounds[:, 2], bounds[:, 3], -np.inf, self.limit)
        return _found(self.name, bounds, self.truth, None, ((passed, power),))


@dataclass(frozen=True, slots=True)
class RepeatedRate:
    """Events of one cell, each task three times; the tasks' rates follow Beta(a, b)."""

    name: str
    a: float
    b: float

    def run(self, generator: np.random.Generator, samples: int, n: int) -> Found:
        rates = generator.beta(self.a, self.b, (samples, n))
        shares = generator.binomial(REPEATS, rates) / REPEATS
        trials = effective_episodes(shares, REPEATS * n)
        hits = shares.mean(axis=-1) * trials
        bounds = _bounds(lambda tail: clopper_pearson(hits, trials, tail))
        return _found(self.name, bounds, self.a / (self.a + self.b), None, ())


@dataclass(frozen=True, slots=True)
class PairedRate:
    """Events of two cells over the same tasks."""

    name: str
    only_first: float
    only_second: float
    margin: float

    def run(self, generator: np.random.Generator, samples: int, n: int) -> Found:
        shares = (self.only_first, self.only_second, 1 - self.only_first - self.only_second)
        first, second, _ = generator.multinomial(n, shares, samples).T
        bounds = _bounds(lambda tail: tango(first, second, n, tail))
        truth = self.only_first - self.only_second
        power = PairedRatePlan(self.margin, self.only_first, self.only_second).power(n)
        passed = _passed(bounds[:, 2], bounds[:, 3], -np.inf, self.margin)
        return _found(self.name, bounds, truth, 0.15, ((passed, power),))


SCENARIOS: tuple[Bootstrap | Rate | RepeatedRate | PairedRate, ...] = (
    Bootstrap("mean difference, bell-shaped", normal_scores, 0.0),
    Bootstrap("mean difference, skewed", skewed_scores, 0.0),
    Bootstrap("mean difference, 3 repeats", repeated_scores, 0.0),
    Bootstrap("mean difference, 5% collapse *", collapses, -0.045),
    Bootstrap("ratio of tokens", tokens, 1.5, quotient),
    Bootstrap("ratio of tokens, heavy tails *", heavy_tokens, 1.5, quotient),
    Rate("rate 30%", 0.3, 0.4),
    Rate("rate 5% *", 0.05, 0.12),
    RepeatedRate("rate 30%, 3 repeats", 1.5, 3.5),
    RepeatedRate("rate 10%, 3 repeats", 0.5, 4.5),
    PairedRate("rate difference, 20% of tasks differ", 0.1, 0.1, 0.1),
    PairedRate("rate difference, 10% and 2%", 0.1, 0.02, 0.2),
    PairedRate("rate difference, 5% and 2% *", 0.05, 0.02, 0.1),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.calibration --samples 500",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=int, default=20_000, help="a row (default: 20000)")
    parser.add_argument("--tasks", type=int, default=100, help="a sample (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    options = parser.parse_args(arguments)
    if options.samples < 1 or not 10 <= options.tasks <= 5_000:
        parser.error("--samples must be at least 1, --tasks lie in 10..5000")
    began = time.process_time()
    print(f"{options.samples:,} samples of {options.tasks} tasks a row, seed {options.seed}\n")
    print(f"{'':38}{'covered':>8}{'too low':>9}{'too high':>9}{'equal':>7}  power")
    for found in run(options.samples, options.tasks, options.seed):
        print(_line(found), flush=True)
    print(f"\n{time.process_time() - began:.0f} s of CPU")
    return 0


def run(samples: int, tasks: int, seed: int = 0) -> Iterator[Found]:
    """Yields what was found, a row a scenario; each draws from a generator of its own."""
    for place, scenario in enumerate(SCENARIOS):
        yield scenario.run(np.random.default_rng([seed, place]), samples, tasks)


def _planned_limit(pilot: Floats, truth: float, n: int) -> float:
    """The limit that the planner says n tasks keep in four cases of five."""
    low, high = truth, 10 * truth
    for _ in range(40):
        middle = (low + high) / 2
        enough = ratio_plan(pilot[0], pilot[1], middle, truth).power(n) >= 0.8
        low, high = (low, middle) if enough else (middle, high)
    return high


def _found(
    name: str,
    bounds: Floats,
    truth: float,
    margin: float | None,
    powers: tuple[tuple[float, float], ...],
) -> Found:
    low, high = bounds[:, 2], bounds[:, 3]
    equal = None
    if margin is not None:
        equal = max(
            _passed(low, high, truth, truth + 2 * margin),
            _passed(low, high, truth - 2 * margin, truth),
        )
    return Found(
        name,
        float(np.mean((bounds[:, 0] <= truth) & (truth <= bounds[:, 1]))),
        _passed(low, high, truth, np.inf),
        _passed(low, high, -np.inf, truth),
        equal,
        powers,
    )


def _passed(low: Floats, high: Floats, lowest: float, highest: float) -> float:
    return float(decide(low, high, lowest, highest)[0].mean())


def _bounds(two: Callable[[float], tuple[Floats, Floats]]) -> Floats:
    return np.stack([*two(TAILS[0]), *two(TAILS[2])], axis=-1)


def _steps(samples: int) -> list[int]:
    return [min(AT_ONCE, samples - start) for start in range(0, samples, AT_ONCE)]


def _line(found: Found) -> str:
    equal = "" if found.equal is None else f"{found.equal:.1%}"
    powers = ", ".join(f"{power:.1%} / {planned:.1%}" for power, planned in found.powers)
    shares = f"{found.covered:>8.1%}{found.too_low:>9.1%}{found.too_high:>9.1%}"
    return f"{found.name:<38}{shares}{equal:>7}  {powers}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
