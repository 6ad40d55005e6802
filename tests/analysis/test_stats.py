from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from okrt.analysis.stats import Estimate, mean_interval, rate_interval, ratio_of_sums

NAN = float("nan")


@pytest.mark.parametrize(
    ("successes", "n", "level", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, Clopper-Pearson
        (81, 263, 0.95, 0.2527, 0.3676),
        (15, 148, 0.95, 0.0578, 0.1617),
        (0, 20, 0.95, 0.0000, 0.1684),
        (1, 29, 0.95, 0.0009, 0.1776),
        # R's documentation of binom.test, after Conover (1971), p. 97
        (682, 925, 0.95, 0.7077, 0.7654),
        # the closed form at the edge: 1 - (alpha / 2) ** (1 / n)
        (0, 59, 0.90, 0.0, 1 - 0.05 ** (1 / 59)),
        (59, 59, 0.90, 0.05 ** (1 / 59), 1.0),
    ],
)
def test_rate_interval_equals_published_values(
    successes: int, n: int, level: float, low: float, high: float
) -> None:
    found = rate_interval(successes, n, level)
    assert (found.value, found.n, found.method) == (successes / n, n, "Clopper-Pearson")
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize("n", [5, 30])
def test_rate_interval_covers_at_its_level_or_more_for_any_rate(n: int) -> None:
    intervals = [rate_interval(k, n) for k in range(n + 1)]
    for rate in np.linspace(0.01, 0.99, 99):
        covered = [(i.low or 0) <= rate <= (i.high or 0) for i in intervals]
        assert stats.binom.pmf(np.arange(n + 1), n, rate)[covered].sum() >= 0.95


def test_nothing_has_no_estimate() -> None:
    expected = Estimate(None, None, None, 0.95, "none: no values", 0, "none")
    assert mean_interval([]) == mean_interval([None, NAN]) == rate_interval(0, 0) == expected
    assert ratio_of_sums([], []).value is None


def test_few_values_have_no_interval() -> None:
    few = "none: fewer than 10 values"
    expected = Estimate(0.5, None, None, 0.95, few, 1, "none")
    assert mean_interval([0.5]) == mean_interval([None, 0.5, NAN]) == expected
    assert ratio_of_sums([3], [2]).method == few
    assert mean_interval(range(9)).method == few
    assert mean_interval(range(10)).low is not None


@pytest.mark.parametrize("values", [[0.0] * 9, [0.3] * 9, [0.1 + 0.2, 0.3] * 5, [1e9] * 3])
def test_equal_values_have_no_interval(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.value == pytest.approx(values[0])
    assert (found.low, found.high) == (None, None)
    assert found.method == "none: no spread among the values"


def test_proportional_sums_have_no_interval() -> None:
    found = ratio_of_sums([0.1, 0.2, 0.7], [1, 2, 7])
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.method) == (None, "none: no spread among the values")
    assert ratio_of_sums([0, 0], [1, 2]).value == 0


def test_missing_values_are_left_out_and_n_says_so() -> None:
    assert mean_interval([1, None, 2, NAN, 4]) == mean_interval([1, 2, 4])
    assert mean_interval([1, None, 2, NAN, 4]).n == 3
    kept = ratio_of_sums([1, 4, 7], [2, 3, 9])
    assert ratio_of_sums([1, None, 4, 5, 7], [2, 9, 3, NAN, 9]) == kept


def test_a_ratio_over_zero_has_no_interval_and_over_nothing_but_zero_no_value() -> None:
    some = ratio_of_sums([1, 2], [0, 4])
    assert (some.value, some.low, some.method) == (0.75, None, "none: a denominator is zero")
    assert ratio_of_sums([1, 2], [0, 0]).value is None


def test_ratio_is_of_sums_and_scaled() -> None:
    # the city populations of Davison and Hinkley (1997), example 1.2: the ratio is 1.520
    before = [138, 93, 61, 179, 48, 37, 29, 23, 30, 2]
    after = [143, 104, 69, 260, 75, 63, 50, 48, 111, 50]
    found = ratio_of_sums(after, before)
    scaled = ratio_of_sums(after, before, scale=0.5)
    assert found.value == pytest.approx(1.520, abs=5e-4)
    assert found.pairing == "task"
    assert (found.low or 0) < 1.520 < (found.high or 0)
    assert scaled.low == (found.low or 0) / 2
    assert scaled.high == (found.high or 0) / 2


def test_ratio_keeps_the_pairs_together() -> None:
    # numerator and denominator rise together: apart, the interval would be far wider
    below = [float(size) for size in range(1, 41)]
    above = [2 * size + (-1) ** size for size in range(1, 41)]
    found = ratio_of_sums(above, below)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.1


def test_same_values_have_the_same_interval() -> None:
    values = [0.1, 0.5, 0.9, 0.4] * 3
    assert mean_interval(values) == mean_interval(list(values))
    assert mean_interval(values).method == "BCa bootstrap of the mean, 9,999 resamples"


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -1.0, NAN])
def test_a_level_outside_0_and_1_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\)"):
        mean_interval([1, 2], level)
    with pytest.raises(ValueError, match="level"):
        rate_interval(1, 2, level)
    with pytest.raises(ValueError, match="level"):
        ratio_of_sums([1], [2], level)


def test_impossible_input_is_refused() -> None:
    for successes, n in ((-1, 5), (6, 5), (1, 0)):
        with pytest.raises(ValueError, match="successes must lie in"):
            rate_interval(successes, n)
    with pytest.raises(ValueError, match="finite"):
        mean_interval([1, math.inf])
    with pytest.raises(ValueError, match="negative"):
        ratio_of_sums([1, 1], [1, -1])
    with pytest.raises(ValueError, match="zip"):
        ratio_of_sums([1, 1], [1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1).map(lambda value: round(value, 3)), min_size=2, max_size=12))
def test_an_interval_of_a_mean_lies_among_the_values(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.value is not None
    if found.low is None or found.high is None:
        assert found.method.startswith("none: ")
    else:
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
