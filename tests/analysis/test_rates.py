"""Rates: exact, of repeated tasks, and paired by Tango's score interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from okrt.analysis.stats import (
    Estimate,
    clustered_rate,
    identical,
    rate,
    rate_difference,
    rate_interval,
)
from okrt.analysis.stats.rates import (
    PairedRates,
    at_most_events,
    clopper_pearson,
    effective_episodes,
    tango,
    tango_variance,
    tango_z,
)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_clopper_pearson_is_that_of_scipy(n: int) -> None:
    hits = np.arange(n + 1)
    low, high = clopper_pearson(hits, n, 0.025)
    for hit in hits:
        expected = stats.binomtest(hit, n).proportion_ci(0.95, method="exact")
        assert (low[hit], high[hit]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_p_values_of_a_rate_are_those_of_the_binomial_test() -> None:
    for hits, n, null in ((3, 50, 0.02), (0, 59, 0.05), (20, 20, 0.9), (7, 20, 0.4)):
        found = rate(hits, n)
        above = stats.binomtest(hits, n, null, alternative="greater").pvalue
        below = stats.binomtest(hits, n, null, alternative="less").pvalue
        assert found.p_above(null) == pytest.approx(above)
        assert found.p_below(null) == pytest.approx(below)


@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "tail", "low", "high"),
    [
        # airway hyper-responsiveness before and after a transplantation, 1 / 1 / 7 / 12: Fagerland,
        # Lydersen and Laake (2014), Statistics in Medicine 33, 2850-2875, as the R package ratesci
        # (CRAN) quotes it
        (1, 7, 21, 0.025, -0.517, -0.026),
        # R package PropCIs: scoreci.mp(25, 28, 618, 0.90), whose figure is second - first
        (28, 25, 618, 0.05, -0.0148, 0.0247),
        # the closed form without discordant pairs: +- z**2 / (n + z**2)
        (0, 0, 100, 0.025, -3.8415 / 103.8415, 3.8415 / 103.8415),
    ],
)
def test_tango_reproduces_published_intervals(
    only_first: int, only_second: int, n: int, tail: float, low: float, high: float
) -> None:
    found = tango(only_first, only_second, n, tail)
    digits = 5e-4 if n == 21 else 5e-5
    assert [float(bound) for bound in found] == pytest.approx([low, high], abs=digits)


def test_tango_is_near_newcombes_paired_interval() -> None:
    """Complete response before and after consolidation, 59 / 6 / 16 / 80 (Cavo et al., 2012), of
    which the R package contingencytables gives Newcombe's interval as -0.1186 to -0.0046."""
    found = PairedRates(6, 16, 161).estimate()
    assert found.value == pytest.approx(-0.0621, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((-0.1186, -0.0046), abs=0.006)


def test_the_variance_is_that_of_the_likeliest_shares() -> None:
    """Tango's closed form against a search along p_first - p_second = delta."""
    for b, c, delta in ((0.1, 0.3, -0.1), (0.05, 0.02, 0.1), (0.0, 0.1, 0.05)):
        second = np.linspace(max(0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 200_001)
        first = second + delta
        likely = b * np.log(first) + c * np.log(second) + (1 - b - c) * np.log(1 - first - second)
        best = second[np.argmax(likely)]
        expected = 2 * best + delta - delta**2
        assert tango_variance(b, c, delta) == pytest.approx(expected, abs=1e-5)


def test_paired_rates_are_counted_by_task() -> None:
    first = [1, 1, 0, 0, None, 1]
    second = [1, 0, 1, 0, 1, 0]
    found = rate_difference(first, second).estimate()
    assert found == PairedRates(2, 1, 5).estimate()
    assert (found.value, found.n, found.pairing) == (0.2, 5, "task")
    turned = rate_difference(second, first).estimate()
    assert (turned.low, turned.high) == pytest.approx((-(found.high or 0), -(found.low or 0)))


def test_no_event_at_all_is_an_interval_and_not_a_point() -> None:
    found = rate_difference([0] * 100, [0] * 100).estimate()
    assert found.value == 0
    assert (found.low, found.high) == pytest.approx((-0.037, 0.037), abs=5e-5)
    assert rate_difference([], []).estimate().method == "none: no values"
    single = rate_difference([1], [0]).estimate()
    assert (single.value, single.high) == (1, 1)
    assert (single.low or -1) < 0


def test_a_bound_of_a_paired_rate_has_the_p_value_of_its_tail() -> None:
    found = PairedRates(12, 5, 100)
    estimate = found.estimate(0.9)
    assert found.p_above(estimate.low or 0) == pytest.approx(0.05)
    assert found.p_below(estimate.high or 0) == pytest.approx(0.05)
    assert tango_z(0, 0, 50, 0.0) == 0
    assert PairedRates(0, 0, 50).p_above(0.0) == 0.5


def test_shares_of_repeats_are_parts_of_a_task() -> None:
    """One task in a hundred says next to nothing: the bootstrap of it claims a bound of 0."""
    found = rate_difference([0.5] + [0.0] * 99, [0.0] * 100).estimate(0.9)
    whole = rate_difference([1.0] + [0.0] * 99, [0.0] * 100).estimate(0.9)
    none = rate_difference([0.0] * 100, [0.0] * 100).estimate(0.9)
    assert found.value == 0.005
    assert (none.low or 0) < (found.low or 0) < (whole.low or 0) < 0
    assert 0.02 < (none.high or 0) < (found.high or 0) < (whole.high or 0) < 0.06


def test_values_that_are_no_events_are_refused() -> None:
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        rate_difference([1.5], [1])
    with pytest.raises(ValueError, match="zip"):
        rate_difference([1, 0], [1])
    with pytest.raises(ValueError, match="values of 0 and 1"):
        clustered_rate([[2.0]])


def test_a_rate_of_tasks_that_were_not_repeated_is_exact() -> None:
    groups: list[list[float | None]] = [[1.0], [0.0], [None], [1.0], [0.0]]
    assert clustered_rate(groups).estimate() == rate_interval(2, 4)
    assert clustered_rate([]).estimate().method == "none: no values"


def test_repeats_that_agree_know_no_more_than_the_tasks() -> None:
    groups = [[float(task % 4 == 0)] * 5 for task in range(40)]
    found, alone = clustered_rate(groups).estimate(), rate_interval(10, 40)
    assert (found.value, found.n) == (0.25, 40)
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(alone.low, abs=0.01)
    assert found.high == pytest.approx(alone.high, abs=0.01)
    assert found.method.startswith("Korn-Graubard")


def test_repeats_that_are_independent_count_nearly_each() -> None:
    shares = np.random.default_rng(0).binomial(5, 0.3, 2_000) / 5
    assert effective_episodes(shares, 10_000) == pytest.approx(10_000, rel=0.1)
    assert effective_episodes(np.full(20, 0.5), 40) == 40


def test_repeats_without_an_event_are_as_many_as_the_tasks() -> None:
    expected = rate_interval(0, 30)
    found = clustered_rate([[0.0] * 4] * 30).estimate()
    assert (found.low, found.high) == (expected.low, expected.high)
    assert found.n == 30


def test_identical_cells_are_bounded_exactly() -> None:
    found = identical(100, 100).estimate(0.90)
    assert found.high == pytest.approx(1 - 0.05**0.01)
    assert found == Estimate(0.0, 0.0, found.high, 0.90, "Clopper-Pearson", 100, "none")
    assert identical(98, 100).estimate() == rate_interval(2, 100)


@pytest.mark.parametrize("n", [1, 2, 59, 5_000])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 1])
def test_the_binomial_probability_is_that_of_scipy(n: int, share: float) -> None:
    for events in (-1, 0, 1, n // 3, n - 1, n, n + 1):
        expected = stats.binom.cdf(events, n, share)
        assert at_most_events(events, n, share) == pytest.approx(expected, rel=1e-11)
