"""The metrics by name: what each is of an episode, of a cell and of two, and its bounds where all
tasks say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from okrt.analysis.measures import MEASURED
from okrt.analysis.metrics import METRICS
from okrt.analysis.settled import Settled
from okrt.analysis.stats import mean_difference
from tests.analysis.test_estimands import SCORES, N, cell, make, value

NAMES = (
    "score", "relative_score", "solved_rate", "lost_rate", "missing_variable_rate",
    "finished_rate", "turns", "total_tokens", "completion_tokens", "new_tokens",
    "transcript_chars", "score_per_1k",
)  # fmt: skip


def test_every_metric_is_inferred_as_its_entry_says() -> None:
    assert tuple(MEASURED) == tuple(METRICS) == NAMES
    one, other = cell("pp"), cell("ps", total_tokens=500)
    for name, metric in METRICS.items():
        about = metric.about
        assert about is MEASURED[name]
        assert (metric.difference is not None) == about.differs
        assert (metric.ratio is not None) == about.divides
        assert value(metric.cell(one)) == pytest.approx(value(metric.cell(one[::-1])))
        if metric.difference is not None:
            metric.difference(one, other).estimate()
        if metric.ratio is not None:
            metric.ratio(one, other).estimate()


def test_what_is_measured_of_an_episode_is_what_a_cell_has_the_mean_of() -> None:
    rows = cell("pp")
    for name, metric in METRICS.items():
        if metric.about.kind == "ratio":
            continue
        values = [metric.about.measure(row) for row in rows]
        known = [one for one in values if one is not None]
        assert value(metric.cell(rows)) == pytest.approx(sum(known) / len(rows)), name


@pytest.mark.parametrize("name", [name for name in NAMES if MEASURED[name].worst])
def test_no_episode_is_worse_than_the_worst_or_better_than_the_best(name: str) -> None:
    about = MEASURED[name]
    worst, best = (
        about.measure(
            replace(make(1), **{"relative_score": end["score"], **end} if "score" in end else end)
        )
        for end in (dict(about.worst), dict(about.best))
    )
    assert worst is not None
    assert best is not None
    assert (worst < best) == about.more_is_better
    assert {worst, best} == {0.0, 1.0}


def test_a_relative_score_of_a_cell_is_a_ratio_of_sums() -> None:
    rows = [replace(row, floor_score=0.4, reference_score=0.9) for row in cell("pp")]
    wanted = sum(score - 0.4 for score in SCORES["pp"]) / (0.5 * N)
    assert value(METRICS["relative_score"].cell(rows)) == pytest.approx(wanted)


def test_equal_differences_have_the_bound_of_mean_difference() -> None:
    known = mean_difference([0.5] * N, [0.4] * N, width=1)
    settled = Settled(0.1, -1, 1, N, "task", "all equal")
    for level in (0.9, 0.95):
        one, other = settled.estimate(level), known.estimate(level)
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


@pytest.mark.parametrize("level", [0.8, 0.9, 0.99])
def test_the_tests_of_a_settled_figure_agree_with_its_bounds(level: float) -> None:
    settled = Settled(1.0, 0.0, 3.0, N, "task", "all equal")
    found = settled.estimate(level)
    assert found.low is not None
    assert found.high is not None
    assert settled.p_above(found.low) == pytest.approx((1 - level) / 2)
    assert settled.p_below(found.high) == pytest.approx((1 - level) / 2)
    assert settled.p_above(1.5) == settled.p_below(0.5) == 1.0
    assert settled.p_below(4.0) == settled.p_above(-1.0) == 0.0


def test_the_same_model_twice_has_a_ratio_with_bounds() -> None:
    rows = [replace(row, total_tokens=1_000 + 100 * (row.seed % 3)) for row in cell("pp")]
    ratio = METRICS["total_tokens"].ratio
    assert ratio is not None
    found = ratio(rows, rows).estimate(0.9)
    share = 1 - 0.05 ** (1 / N)
    assert found.value == 1
    assert found.low == pytest.approx(1 - share)
    assert found.high == pytest.approx(1 + share * (1_200 / 1_100 - 1))
    assert "all equal" in found.method
