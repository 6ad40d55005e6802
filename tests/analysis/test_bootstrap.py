"""The bootstrap: scipy's intervals, a published one, inversion, and what large samples cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from okrt.analysis.stats import bootstrap, mean, mean_interval, ratio_of_sums
from okrt.analysis.stats.bootstrap import Resampled, only, quotient, resample, standard_error

Floats = npt.NDArray[np.float64]


def samples(n: int, seed: int = 1) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    return generator.beta(6, 2, n), generator.gamma(4, 250, n)


def by_scipy(columns: tuple[Floats, ...], statistic: object) -> tuple[float, float]:
    """With the draws of okrt: its seed, and its steps."""
    found = stats.bootstrap(
        columns,
        statistic,
        paired=len(columns) > 1,
        vectorized=True,
        n_resamples=bootstrap.RESAMPLES,
        batch=1_000_000 // columns[0].size,
        rng=np.random.default_rng(bootstrap._SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def ratio(above: Floats, below: Floats, axis: int = -1) -> Floats:
    found: Floats = above.sum(axis) / below.sum(axis)
    return found


@pytest.mark.parametrize("n", [14, 37])
def test_intervals_are_those_of_scipy(n: int) -> None:
    """Of fewer tasks some resamples are the sample in another order: scipy counts them as above or
    below it by how their sum was rounded, okrt as equal, and the intervals part in the fifth
    digit."""
    scores, tokens = samples(n)
    found = mean_interval(scores)
    assert (found.low, found.high) == pytest.approx(by_scipy((scores,), np.mean), rel=1e-12)
    found = ratio_of_sums(scores, tokens)
    assert (found.low, found.high) == pytest.approx(by_scipy((scores, tokens), ratio), rel=1e-12)


def test_bca_reproduces_a_published_interval() -> None:
    """The spatial test data of Efron and Tibshirani (1993), tables 14.1 and 14.2: the variance is
    171.5, its 90% BCa interval (115.8, 259.6) of 2,000 resamples, the acceleration 0.061."""
    values = np.array([
        48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6,
        0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41,
    ], dtype=np.float64)  # fmt: skip
    found = resample(np.stack([values, values**2]), lambda m: m[..., 1, :] - m[..., 0, :] ** 2)
    assert float(found.value) == pytest.approx(171.5, abs=0.05)
    assert float(found.acceleration) == pytest.approx(0.061, abs=5e-4)
    assert found.bounds((0.05, 0.95)) == pytest.approx([115.8, 259.6], abs=1.5)


def test_figures_that_differ_by_rounding_alone_are_equal() -> None:
    """In tenths a sum is rounded, in whole numbers it is not: the bias correction must agree."""
    whole = np.array([1.0] * 7 + [3.0] * 5 + [7.0] * 9)
    found, exact = mean_interval(whole / 10), mean_interval(whole)
    assert found.low == pytest.approx((exact.low or 0) / 10, rel=1e-9)
    assert found.high == pytest.approx((exact.high or 0) / 10, rel=1e-9)
    assert resample(whole[None] / 10, only).bias == pytest.approx(resample(whole[None], only).bias)


def test_many_samples_at_once_are_each_as_alone() -> None:
    columns = np.stack([np.stack(samples(20, seed)) for seed in range(6)])
    tails = (0.025, 0.05, 0.95, 0.975)
    together = resample(columns.reshape(2, 3, 2, 20), quotient)
    assert together.figures.shape == (2, 3, bootstrap.RESAMPLES)
    alone = np.array([resample(sample, quotient).bounds(tails) for sample in columns])
    assert together.bounds(tails).reshape(6, 4) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_a_bound_has_the_p_value_of_its_tail(level: float) -> None:
    inference = mean(samples(40)[0] - 0.7)
    found = inference.estimate(level)
    assert found.low is not None
    assert found.high is not None
    tail = (1 - level) / 2
    assert inference.p_above(found.low) == pytest.approx(tail, abs=3e-4)
    assert inference.p_below(found.high) == pytest.approx(tail, abs=3e-4)
    assert 1e-4 <= inference.p_above(found.low - 1) < 1e-3
    assert inference.p_below(found.low - 1) > 0.999


def test_where_bca_has_no_answer_the_percentiles_stand_in() -> None:
    figures = np.sort(np.random.default_rng(2).normal(size=999))
    found = Resampled(np.float64(-9) * np.ones(()), figures, np.full((), -np.inf), np.zeros(()))
    assert not found.corrected((0.05, 0.95))
    assert found.bounds((0.05, 0.95)) == pytest.approx(np.quantile(figures, (0.05, 0.95)))
    assert found.tail(0.0) == pytest.approx((figures < 0).mean())


def test_large_samples_go_by_the_normal_approximation_and_say_so() -> None:
    scores, tokens = samples(25_000)
    found = mean_interval(scores)
    assert found.method.startswith("normal approximation of the mean")
    low, high = stats.norm.interval(0.95, scores.mean(), scores.std(ddof=1) / 25_000**0.5)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert ratio_of_sums(scores, tokens).method.startswith("normal approximation of the ratio")


def test_the_jackknife_of_a_ratio_is_that_of_leaving_each_task_out() -> None:
    scores, tokens = samples(12)
    left = [np.delete(scores, i).sum() / np.delete(tokens, i).sum() for i in range(12)]
    expected = np.sqrt(11 / 12 * np.sum((np.mean(left) - left) ** 2))
    assert standard_error(np.stack([scores, tokens]), quotient) == pytest.approx(expected)
