"""Tasks needed and power: known cases, inverses, and what cannot be decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from okrt.analysis.planner import (
    MeanPlan,
    PairedRatePlan,
    RatePlan,
    difference_spread,
    fewest_without_error,
    ratio_plan,
    refusal,
)
from okrt.analysis.stats.rates import clopper_pearson, tango


def test_easy_scores_need_135_tasks_for_a_margin_of_three_hundredths() -> None:
    plan = MeanPlan(spread=0.14, margin=0.03)
    closed = ((stats.norm.isf(0.05) + stats.norm.ppf(0.8)) * 0.14 / 0.03) ** 2
    assert plan.tasks() == int(np.ceil(closed)) == 135
    assert plan.power(135) >= 0.8 > plan.power(134)


def test_a_difference_is_planned_by_the_textbook_formula() -> None:
    plan = MeanPlan(spread=0.14, margin=0.03, question="different", truth=0.03)
    closed = ((stats.norm.isf(0.025) + stats.norm.ppf(0.8)) * 0.14 / 0.03) ** 2
    assert plan.tasks() == int(np.ceil(closed))
    assert plan.power(50) == pytest.approx(replace(plan, truth=-0.03).power(50))
    assert replace(plan, truth=0.0).power(50) == pytest.approx(0.05)


def test_equivalence_needs_more_than_non_inferiority() -> None:
    plan = MeanPlan(spread=0.14, margin=0.03, question="equivalent")
    closed = ((stats.norm.isf(0.05) + stats.norm.ppf(0.9)) * 0.14 / 0.03) ** 2
    assert plan.tasks() == int(np.ceil(closed))


@pytest.mark.parametrize("question", ["non-inferior", "equivalent"])
@pytest.mark.parametrize(("truth", "skewness"), [(0.0, 0.0), (0.01, -2.0), (-0.01, 1.0)])
def test_the_least_margin_is_the_one_that_the_tasks_decide(
    question: str, truth: float, skewness: float
) -> None:
    plan = MeanPlan(0.14, 1.0, question, truth, skewness)  # type: ignore[arg-type]
    least = plan.least_margin(90)
    assert replace(plan, margin=least).power(90) == pytest.approx(0.8)
    assert replace(plan, margin=least).tasks() in (89, 90, 91)


def test_a_long_lower_tail_costs_tasks() -> None:
    plain = MeanPlan(0.14, 0.03).tasks()
    skewed = MeanPlan(0.14, 0.03, skewness=-2).tasks()
    assert plain is not None
    assert skewed is not None
    assert plain < skewed < 1.5 * plain


def test_the_power_under_skewness_is_that_of_simulation() -> None:
    """40,000 samples of 100 differences 0.1 - Exponential(0.1), whose skewness is -2, passed the
    margin that plain normal theory plans at 80% in 71.0%."""
    margin = MeanPlan(0.1, 1.0).least_margin(100)
    assert MeanPlan(0.1, margin, skewness=-2).power(100) == pytest.approx(0.710, abs=0.01)


def test_59_tasks_without_an_error_show_a_rate_of_at_most_five_percent() -> None:
    assert fewest_without_error(0.05) == RatePlan(0.05).tasks() == 59
    assert RatePlan(0.05).power(58) == 0
    assert RatePlan(0.05).power(59) == 1
    assert fewest_without_error(0.5) == 5  # 2**-5 is the first below 0.05


@pytest.mark.parametrize("n", [58, 59, 92, 93, 150])
def test_allowed_events_are_those_whose_exact_bound_is_within_the_limit(n: int) -> None:
    bounds = clopper_pearson(np.arange(n + 1), n, 0.05)[1]
    assert RatePlan(0.05).allowed(n) == np.count_nonzero(bounds <= 0.05) - 1


def test_a_rate_is_planned_exactly() -> None:
    plan = RatePlan(0.05, truth=0.01)
    n = plan.tasks()
    assert n is not None
    assert plan.power(n) >= 0.8
    assert all(plan.power(fewer) < 0.8 for fewer in range(1, n))
    assert RatePlan(0.05, truth=0.05).tasks() is None


def test_the_power_of_a_paired_rate_is_counted_over_all_outcomes() -> None:
    plan = PairedRatePlan(margin=0.2, only_new=0.1, only_old=0.05)
    n = 30
    outcomes = [(new, old, n - new - old) for new in range(n + 1) for old in range(n + 1 - new)]
    new, old, _ = np.array(outcomes).T
    passed = np.array(outcomes)[tango(new, old, n, 0.05)[1] <= 0.2]
    expected = stats.multinomial.pmf(passed, n, (0.1, 0.05, 0.85)).sum()
    assert plan.power(n) == pytest.approx(expected)


def test_a_paired_rate_beyond_counting_goes_by_the_normal_approximation() -> None:
    plan = PairedRatePlan(margin=0.03, only_new=0.05, only_old=0.05)
    assert plan.power(600) == pytest.approx(plan.power(601), abs=0.01)
    n = plan.tasks(0.8)
    assert n is not None
    assert plan.power(n) >= 0.8
    assert PairedRatePlan(0.03, 0.1, 0.02).tasks() is None


def test_a_ratio_is_planned_from_a_pilot() -> None:
    """By the delta method: the standard error of the ratio is that of its linear part."""
    generator = np.random.default_rng(4)
    old = generator.gamma(9, 100, 4_000)
    new = old * generator.normal(1.4, 0.3, 4_000)
    plan = ratio_plan(list(new), list(old), limit=1.1, truth=1.0)
    assert plan.margin == pytest.approx(0.1)
    scaled = new * old.sum() / new.sum()
    assert plan.spread == pytest.approx(np.std(1.1 * old - scaled, ddof=1) / old.mean())
    more = ratio_plan(list(7 * new), list(3 * old), limit=1.1, truth=1.0)
    assert more.spread == pytest.approx(plan.spread)


def test_a_pilot_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="three tasks and some spread"):
        difference_spread([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="three tasks and some spread"):
        difference_spread([], [])
    with pytest.raises(ValueError, match="in pairs, got 1 and 0"):
        difference_spread([1.0], [])
    for limit, truth in ((1.0, 1.0), (0.9, 1.0), (1.1, 0.0)):
        with pytest.raises(ValueError, match="limit"):
            ratio_plan([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], limit, truth)
    found = difference_spread([1.0, 2.0, 6.0], [0.0, 0.0, 0.0])
    assert (found.spread, found.skewness) == pytest.approx((np.std([1, 2, 6], ddof=1), 0.595), 1e-2)


def test_a_gate_that_cannot_be_decided_is_refused_with_what_to_do() -> None:
    assert refusal(MeanPlan(0.14, 0.03), 135) is None
    assert refusal(MeanPlan(0.14, 0.03), 100) == (
        "non-inferior at a spread of 0.14 a task and a margin of 0.03 passes with probability 0.69 "
        "at n = 100, less than 0.8: use 135 tasks, or a margin of 0.035"
    )
    assert refusal(RatePlan(0.05), 40) == (
        "rate <= 0.05 passes with probability 0.00 at n = 40, less than 0.8: 59 without one event "
        "are the fewest that can pass; use 59 tasks"
    )
    hopeless = refusal(PairedRatePlan(0.03, 0.1, 0.02), 100)
    assert hopeless is not None
    assert hopeless.endswith("no number of tasks would do")


def test_numbers_that_are_no_plan_are_refused() -> None:
    with pytest.raises(ValueError, match="spread must be positive"):
        MeanPlan(0, 0.03)
    with pytest.raises(ValueError, match="margin must be positive"):
        MeanPlan(0.1, -0.03)
    with pytest.raises(ValueError, match="no plan"):
        RatePlan(5)
    with pytest.raises(ValueError, match="no plan"):
        PairedRatePlan(0.05, 0.7, 0.7)
    for power in (0, 1, 80):
        with pytest.raises(ValueError, match="power must lie"):
            MeanPlan(0.1, 0.03).tasks(power)
