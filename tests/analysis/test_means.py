"""Paired differences, ratios of ratios, repeated tasks and training seeds; and what bears none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from okrt.analysis.stats import (
    Estimate,
    clustered_mean,
    mean,
    mean_difference,
    mean_interval,
    over_seeds,
    ratio_of_ratios,
    student,
    two_sided,
)

NAN = float("nan")
ONE = [0.9, 0.4, 0.7, 0.8, 1.0, 0.3, 0.6, 0.9, 0.5, 0.7, 0.2, 0.8]
OTHER = [0.8, 0.5, 0.4, 0.8, 0.9, 0.1, 0.6, 0.7, 0.6, 0.5, 0.2, 0.4]


def test_a_difference_is_the_mean_of_the_pairs_differences() -> None:
    found = mean_difference(ONE, OTHER).estimate()
    gaps = [round(one - other, 12) for one, other in zip(ONE, OTHER, strict=True)]
    alone = mean_interval(gaps)
    assert (found.value, found.low, found.high) == pytest.approx(
        (alone.value, alone.low, alone.high), rel=1e-9
    )
    assert (found.n, found.pairing) == (12, "task")
    assert found.method == "BCa bootstrap of the mean difference, 9,999 resamples"


def test_pairing_makes_the_interval_narrow() -> None:
    """Task by task the second is 0.1 lower; between tasks scores range from 0 to 1."""
    scores = np.linspace(0, 1, 30)
    lower = scores - 0.1 + 0.01 * (-1.0) ** np.arange(30)
    found = mean_difference(scores, lower).estimate()
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.01


def test_a_pair_of_which_one_is_missing_is_left_out() -> None:
    found = mean_difference([*ONE, 0.3, None, NAN], [*OTHER, None, 0.5, NAN])
    assert found.estimate() == mean_difference(ONE, OTHER).estimate()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        mean_difference([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        mean_difference([math.inf], [1.0])
    with pytest.raises(ValueError, match="width must be positive"):
        mean_difference(ONE, OTHER, width=0)


@pytest.mark.parametrize(
    ("one", "other", "value", "reason"),
    [
        ([], [], None, "none: no values"),
        ([NAN], [0.5], None, "none: no values"),
        ([0.5], [0.25], 0.25, "none: fewer than 10 values"),
        ([0.5] * 12, [0.25] * 12, 0.25, "none: no spread among the values"),
        (ONE, ONE, 0.0, "none: no spread among the values"),
        ([0.1 + 0.2] * 12, [0.3] * 12, 0.0, "none: no spread among the values"),
    ],
)
def test_what_bears_no_interval_says_why(
    one: list[float], other: list[float], value: float | None, reason: str
) -> None:
    found = mean_difference(one, other)
    n = 0 if value is None else len(one)
    assert found.estimate(0.9) == Estimate(value, None, None, 0.9, reason, n, "task")
    assert found.p_above(-1) == found.p_below(1) == two_sided(found, 9) == 1


def test_pairs_that_are_all_equal_are_bounded_by_how_many_may_differ() -> None:
    found = mean_difference([0.1 + 0.2] * 59, [0.3] * 59, width=1)
    estimate = found.estimate(0.90)
    assert estimate.value == 0
    assert estimate.high == pytest.approx(1 - 0.05 ** (1 / 59))
    assert estimate.low == -(estimate.high or 0)
    assert estimate.method.startswith("all equal: Clopper-Pearson bound")
    assert found.p_above(-0.05) == found.p_below(0.05) == pytest.approx(0.95**59)
    assert found.p_above(0) == found.p_above(0.01) == 1
    assert found.p_above(-2) == 0
    one_task = mean_difference([0.5], [0.5], width=1).estimate(0.90)
    assert one_task.high == pytest.approx(0.95)


def test_tasks_that_all_differ_by_the_same_bound_the_difference_too() -> None:
    found = mean_difference([1.0] * 40, [0.0] * 40, width=1)
    estimate = found.estimate(0.90)
    share = 1 - 0.05 ** (1 / 40)
    assert (estimate.value, estimate.high) == (1, 1)
    assert estimate.low == pytest.approx(1 - 2 * share)
    assert found.p_above(estimate.low or 0) == pytest.approx(0.05)
    assert (found.p_below(1.0), found.p_below(1.1)) == (1, 0)
    with pytest.raises(ValueError, match="more than the width"):
        mean_difference([5.0] * 40, [0.0] * 40, width=1)


def test_a_ratio_of_ratios() -> None:
    tokens = [100.0 + 7 * place for place in range(12)]
    twice = [2 * value for value in tokens]
    estimate = ratio_of_ratios([ONE, tokens, ONE, twice]).estimate()
    assert estimate.value == pytest.approx(2)
    found = ratio_of_ratios([ONE, tokens, OTHER, tokens]).estimate()
    assert found.value == pytest.approx(sum(ONE) / sum(OTHER))
    assert found.low is not None
    assert found.high is not None
    assert found.low < sum(ONE) / sum(OTHER) < found.high
    with pytest.raises(ValueError, match="four columns"):
        ratio_of_ratios([ONE, OTHER])
    with pytest.raises(ValueError, match="negative"):
        ratio_of_ratios([ONE, [-1.0] * 12, ONE, tokens])
    none = ratio_of_ratios([ONE, tokens, [0.0] * 11 + [1.0], tokens]).estimate()
    assert none.method == "none: a denominator is zero"
    assert ratio_of_ratios([[]] * 4).estimate().method == "none: no values"


def test_a_task_that_is_repeated_counts_once() -> None:
    groups: list[list[float | None]] = [[score, score, None] for score in ONE]
    assert clustered_mean(groups).estimate() == mean_interval(ONE)
    once: list[list[float | None]] = [[score] for score in ONE]
    uneven: list[list[float | None]] = [[0.0] * 9, *once, [None], []]
    found = clustered_mean(uneven).estimate()
    assert found.value == pytest.approx(sum(ONE) / 13)
    assert found.n == 13


def test_repeats_do_not_make_tasks() -> None:
    """Ten times the episodes of the same tasks know the mean no better."""
    alone, repeated = mean(ONE).estimate(), clustered_mean([[s] * 10 for s in ONE]).estimate()
    assert repeated.low == pytest.approx(alone.low)
    assert repeated.n == 12


def test_students_interval() -> None:
    found = student([1.0, 2.0, 4.0]).estimate()
    low, high = stats.t.interval(0.95, 2, np.mean([1, 2, 4]), stats.sem([1, 2, 4]))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert student([1.0]).estimate().method == "none: fewer than 2 values"


def test_few_training_seeds_are_shown_each_and_their_interval_is_conditional() -> None:
    found = over_seeds({"3407": 0.71, "777": 0.65, "1337": None, "1": 0.74, "2": NAN})
    assert found.values == {"3407": 0.71, "777": 0.65, "1": 0.74}
    assert found.estimate.method == "Student's t over 3 training seeds, conditional on these tasks"
    low, high = stats.t.interval(0.95, 2, 0.7, stats.sem([0.71, 0.65, 0.74]))
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high))
    assert found.estimate.n == 3


def test_training_seeds_that_bear_no_interval() -> None:
    assert over_seeds({"1": 0.5}).estimate.method == "none: one training seed"
    assert over_seeds({"1": 0.5}).estimate.value == 0.5
    assert over_seeds({}).estimate.method == "none: no values"
    assert over_seeds({"1": 0.5, "2": 0.5}).estimate.method == "none: no spread among the values"


def test_ten_training_seeds_are_resampled() -> None:
    found = over_seeds({str(seed): value for seed, value in enumerate(ONE)})
    assert found.estimate.method.startswith("BCa bootstrap of the mean")
    assert found.estimate.method.endswith("over 12 training seeds, conditional on these tasks")
