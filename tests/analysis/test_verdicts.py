"""Verdicts by one-sided bounds, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.analysis.stats import (
    ONE_SIDED,
    Estimate,
    at_least,
    at_most,
    equivalent,
    equivalent_ratio,
    holm,
    mean_difference,
    non_inferior,
    rate,
    within,
)


def estimate(low: float | None, high: float | None, value: float | None = 0.0) -> Estimate:
    return Estimate(value, low, high, 0.90, "some method", 100, "task")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.05, 0.10, "pass"),
        (-0.04, 0.02, "pass"),
        (-0.06, 0.02, "inconclusive"),
        (-0.10, -0.05, "inconclusive"),
        (-0.10, -0.06, "fail"),
        (-0.04, None, "pass"),
        (None, 0.02, "inconclusive"),
        (None, -0.06, "fail"),
        (None, None, "inconclusive"),
    ],
)
def test_non_inferiority(low: float | None, high: float | None, word: str) -> None:
    found = non_inferior(estimate(low, high), 0.05)
    assert (found.word, found.lowest, found.highest) == (word, -0.05, np.inf)
    assert found.confidence == pytest.approx(0.95)
    if low is not None and high is not None:  # the same question, of what should not rise
        assert at_most(estimate(-high, -low), 0.05).word == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.05, 0.05, "pass"),
        (-0.06, 0.01, "inconclusive"),
        (-0.01, 0.06, "inconclusive"),
        (-0.20, 0.20, "inconclusive"),
        (0.06, 0.20, "fail"),
        (-0.20, -0.06, "fail"),
        (-0.01, None, "inconclusive"),
        (0.06, None, "fail"),
    ],
)
def test_equivalence(low: float, high: float | None, word: str) -> None:
    assert equivalent(estimate(low, high), 0.05).word == word


def test_a_ratio_is_equivalent_within_a_factor() -> None:
    assert equivalent_ratio(estimate(0.92, 1.09), 1.1).word == "pass"
    assert equivalent_ratio(estimate(0.90, 1.05), 1.1).word == "inconclusive"
    assert equivalent_ratio(estimate(1.2, 1.5), 1.1).word == "fail"


def test_59_tasks_without_an_event_keep_a_rate_at_five_percent_and_58_do_not() -> None:
    assert at_most(rate(0, 59).estimate(ONE_SIDED), 0.05).word == "pass"
    assert at_most(rate(0, 58).estimate(ONE_SIDED), 0.05).word == "inconclusive"
    assert at_most(rate(9, 59).estimate(ONE_SIDED), 0.05).word == "fail"
    assert at_least(rate(59, 59).estimate(ONE_SIDED), 0.95).word == "pass"


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0.01, 0.5))
def test_a_wider_margin_never_turns_a_pass_into_less(
    middle: float, reach: float, margin: float
) -> None:
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    one = estimate(middle - reach, middle + reach)
    for ask in (non_inferior, equivalent):
        assert order[ask(one, margin).word] <= order[ask(one, margin * 2).word]
    if equivalent(one, margin).word == "pass":
        assert non_inferior(one, margin).word == "pass"


def test_a_verdict_says_what_decided() -> None:
    found = non_inferior(estimate(-0.012, 0.034, 0.011), 0.05)
    assert found.reason == (
        "pass: 0.011, one-sided 95% bounds -0.012 and 0.034, wanted at least -0.05 (n = 100)"
    )
    half = equivalent(estimate(-0.012, None, 0.011), 0.05)
    assert "bounds -0.012 and unbounded, wanted between -0.05 and 0.05" in half.reason
    single = non_inferior(mean_difference([0.5], [0.5]).estimate(0.90), 0.05)
    assert single.reason == (
        "inconclusive: 0, no interval (fewer than 10 values), wanted at least -0.05 (n = 1)"
    )
    empty = non_inferior(mean_difference([], []).estimate(0.90), 0.05)
    assert empty.reason == "inconclusive: no values"


def test_identical_scores_are_non_inferior_where_tasks_are_many_enough() -> None:
    for n, word in ((58, "inconclusive"), (59, "pass")):
        found = mean_difference([0.7] * n, [0.7] * n, width=1).estimate(ONE_SIDED)
        assert non_inferior(found, 0.05).word == word


@pytest.mark.parametrize("margin", [0.0, -0.05, np.inf, np.nan])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be positive"):
        non_inferior(estimate(0, 1), margin)
    with pytest.raises(ValueError, match="margin must be positive"):
        equivalent(estimate(0, 1), margin)
    with pytest.raises(ValueError, match="factor must be above 1"):
        equivalent_ratio(estimate(0, 1), margin)


def test_a_limit_that_is_none_is_refused() -> None:
    for lowest, highest in ((1.0, 1.0), (2.0, 1.0), (-np.inf, np.inf), (np.nan, 1.0)):
        with pytest.raises(ValueError, match="is no limit"):
            within(estimate(0, 1), lowest, highest)


def test_holm_by_hand() -> None:
    # sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, and none below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.04, 0.03, 0.005], most_true=2) == pytest.approx([0.02, 0.06, 0.06, 0.01])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
    with pytest.raises(ValueError, match="p-values"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, found in zip(p_values, adjusted, strict=True):
        assert p <= found <= min(1, p * len(p_values)) + 1e-12
