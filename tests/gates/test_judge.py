"""Gates on cells: by one-sided bounds, with what infrastructure broke off at its worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.estimands import difference, rate_of, token_ratio
from okrt.analysis.stats import ONE_SIDED
from okrt.gates.judge import Judged
from tests.gates.build import N, broken, cell, file, gate, row, verdict

BASELINE = 'against = "baseline"'


def judged(
    folder: Path, text: str, rows: Sequence[Brief], base: Sequence[Brief] | None = None
) -> Judged:
    (found,) = verdict(file(folder, text), rows, base).gates
    return found


def old(rows: Sequence[Brief]) -> list[Brief]:
    return [replace(one, model="old") for one in rows]


@pytest.mark.parametrize(
    ("lost", "limit", "word"),
    [
        (0, 0.15, "pass"),  # of 0 in 20 the 95% bound is 1 - 0.05 ** (1 / 20) = 0.139
        (1, 0.20, "inconclusive"),
        (10, 0.15, "fail"),
        (3, 0.15, "inconclusive"),
    ],
)
def test_a_rate_passes_by_its_upper_bound(
    tmp_path: Path, lost: int, limit: float, word: str
) -> None:
    rows = [row(task, lost_errors=int(task < lost)) for task in range(N)]
    found = judged(tmp_path, gate("lost_rate", f"at_most = {limit}"), rows)
    assert found.verdict == word
    bounds = rate_of(rows, lambda one: float(bool(one.lost_errors))).estimate(ONE_SIDED)
    assert (found.value, found.low, found.high) == (bounds.value, bounds.low, bounds.high)
    assert found.n == N
    assert f"wanted at most {limit}" in found.reason


def test_the_level_is_that_of_the_bound(tmp_path: Path) -> None:
    rows = cell()
    text = gate("lost_rate", "at_most = 0.13", "level = 0.90")
    assert judged(tmp_path, text, rows).verdict == "pass"  # 1 - 0.10 ** (1 / 20) = 0.109


@pytest.mark.parametrize(
    ("shift", "word"), [(0.0, "pass"), (-0.05, "inconclusive"), (-0.2, "fail"), (0.3, "pass")]
)
def test_quality_may_not_be_lower_by_more_than_its_margin(
    tmp_path: Path, shift: float, word: str
) -> None:
    base = cell(model="old")
    scores = [(one.score or 0) + shift + 0.03 * (-1) ** one.seed for one in base]
    rows = cell([min(1, score) for score in scores])
    found = judged(tmp_path, gate("score", "not_lower_by = 0.05", BASELINE), rows, base)
    assert found.verdict == word
    assert found.low == difference(rows, base).estimate(ONE_SIDED).low
    assert found.against == "baseline"


@pytest.mark.parametrize(
    ("factor", "kind", "word"),
    [
        (1.0, "ratio_at_most = 1.10", "pass"),
        (1.3, "ratio_at_most = 1.10", "fail"),
        (1.1, "ratio_at_most = 1.10", "inconclusive"),
        (1.0, "within = 1.10", "pass"),
        (0.8, "within = 1.10", "fail"),
        (0.8, "ratio_at_most = 1.10", "pass"),
        (1.3, "not_higher_by = 500", "pass"),
        (1.6, "not_higher_by = 500", "fail"),
    ],
)
def test_tokens_are_compared_with_the_baseline(
    tmp_path: Path, factor: float, kind: str, word: str
) -> None:
    base = [row(task, model="old", total_tokens=1_000 + 10 * task) for task in range(N)]
    rows = [
        row(task, total_tokens=int(factor * (1_000 + 10 * task)) + 30 * (-1) ** task)
        for task in range(N)
    ]
    found = judged(tmp_path, gate("total_tokens", kind, BASELINE), rows, base)
    assert found.verdict == word
    if "ratio" in kind:
        assert found.high == token_ratio(rows, base).estimate(ONE_SIDED).high


@pytest.mark.parametrize(
    ("metric", "limit"),
    [
        ("score", "not_lower_by = 0.14"),
        ("lost_rate", "not_higher_by = 0.14"),
        ("solved_rate", "within = 0.14"),
        ("total_tokens", "ratio_at_most = 1.50"),
        ("turns", "ratio_at_most = 1.50"),
        ("relative_score", "not_lower_by = 0.9"),
    ],
)
def test_the_same_transcripts_pass_where_enough_tasks_say_so(
    tmp_path: Path, metric: str, limit: str
) -> None:
    """A bootstrap of differences that are all 0 has nothing to draw; a gate must not stumble."""
    rows = [replace(one, total_tokens=900 + one.seed) for one in cell()]
    assert judged(tmp_path, gate(metric, limit, BASELINE), rows, old(rows)).verdict == "pass"


def test_a_ratio_of_ratios_without_spread_claims_nothing(tmp_path: Path) -> None:
    """Each resample of a model beside itself says 1, which is no bound."""
    rows = [replace(one, total_tokens=900 + one.seed) for one in cell()]
    found = judged(
        tmp_path, gate("score_per_1k", "ratio_at_least = 0.9", BASELINE), rows, old(rows)
    )
    assert (found.verdict, found.low) == ("inconclusive", None)


def test_few_tasks_that_say_the_same_are_not_enough(tmp_path: Path) -> None:
    rows = cell()
    tight = gate("score", "not_lower_by = 0.13", BASELINE)
    assert judged(tmp_path, tight, rows, old(rows)).verdict == "inconclusive"
    tight = gate("total_tokens", "ratio_at_most = 1.10", BASELINE)
    assert judged(tmp_path, tight, rows, old(rows)).verdict == "pass"
    rows[0] = replace(rows[0], total_tokens=9 * (rows[0].total_tokens or 0))
    assert judged(tmp_path, tight, rows, old(rows)).verdict == "inconclusive"


def test_a_score_that_all_tasks_reach_has_a_bound(tmp_path: Path) -> None:
    rows = cell([1.0] * N)
    found = judged(tmp_path, gate("score", "at_least = 0.85"), rows)
    assert found.verdict == "pass"
    assert found.low == pytest.approx(0.05 ** (1 / N))
    assert judged(tmp_path, gate("score", "at_least = 0.87"), rows).verdict == "inconclusive"


def test_few_tasks_are_inconclusive(tmp_path: Path) -> None:
    run = '[run]\ntiers = ["easy"]\nseeds = 5\nruntimes = ["stateless"]\n'
    decision = verdict(file(tmp_path, gate("score", "at_least = 0.1"), run=run), cell()[:5])
    assert decision.verdict == "inconclusive"
    assert "fewer than 10 values" in decision.gates[0].reason


# -- what infrastructure broke off ---------------------------------------------------------------

LENIENT = "\n[conditions]\ninfrastructure_failures_at_most = 0.2\n"


def lenient(folder: Path, text: str, rows: Sequence[Brief], base: Sequence[Brief] | None) -> Judged:
    (found,) = verdict(file(folder, text, LENIENT), rows, base).gates
    return found


def test_quality_must_hold_with_what_broke_off_at_its_worst(tmp_path: Path) -> None:
    rows = [*cell()[:-1], broken(N - 1)]
    text = gate("lost_rate", "at_most = 0.16")
    found = lenient(tmp_path, text, rows, None)  # 0 in 19: 0.146; 1 in 20: 0.216
    assert found.verdict == "inconclusive"
    assert "not with the 1 episode that infrastructure broke off counted at" in found.reason
    found = lenient(tmp_path, gate("lost_rate", "at_most = 0.25"), rows, None)
    assert found.verdict == "pass"
    assert "also with the 1 episode" in found.reason
    score = gate("score", "at_least = 0.80")
    assert lenient(tmp_path, score, cell(), None).verdict == "pass"
    assert lenient(tmp_path, score, rows, None).verdict == "inconclusive"


def test_what_broke_off_of_the_baseline_is_taken_at_its_best(tmp_path: Path) -> None:
    rows = cell([0.5 + 0.001 * (task % 3) for task in range(N)])
    base = [replace(one, score=(one.score or 0) + 0.001 * (one.seed % 2)) for one in old(rows)]
    text = gate("score", "not_lower_by = 0.04", BASELINE)
    assert lenient(tmp_path, text, rows, base).verdict == "pass"
    base[3] = broken(3, model="old")  # 0.5 against 1: 0.025 of the mean
    assert lenient(tmp_path, text, rows, base).verdict == "inconclusive"


def test_equality_must_hold_whichever_way_it_came_out(tmp_path: Path) -> None:
    rows = cell([0.05 + 0.001 * (task % 3) for task in range(N)])
    base = [replace(one, score=(one.score or 0) + 0.001 * (one.seed % 2)) for one in old(rows)]
    rows[0] = broken(0)  # at its worst 0 against 0.05, at its best 1 against it
    assert lenient(
        tmp_path, gate("score", "not_lower_by = 0.04", BASELINE), rows, base
    ).verdict == ("pass")
    text = gate("score", "within = 0.04", BASELINE)
    assert lenient(tmp_path, text, rows, base).verdict == "inconclusive"


def test_a_relative_score_takes_a_task_s_floor_from_where_it_was_scored(tmp_path: Path) -> None:
    base = cell(model="old")
    rows = [replace(one, score=(one.score or 0) + 0.002 * (one.seed % 2)) for one in cell()]
    rows[4] = broken(4)
    text = gate("relative_score", "not_lower_by = 0.9", BASELINE)
    assert lenient(tmp_path, text, rows, base).verdict == "pass"
    base[4] = broken(4, model="old")
    found = lenient(tmp_path, text, rows, base)
    assert found.verdict == "inconclusive"
    assert "their floors are not known" in found.reason


def test_tokens_leave_out_what_broke_off(tmp_path: Path) -> None:
    rows = [row(task, total_tokens=900 + 10 * task) for task in range(N)]
    rows[0] = broken(0)
    found = lenient(tmp_path, gate("total_tokens", "at_most = 2000"), rows, None)
    assert (found.verdict, found.n) == ("pass", N - 1)
    assert "the 1 episode that infrastructure broke off left out" in found.reason


# -- what tokens are ------------------------------------------------------------------------------


def test_tokens_of_different_tokenizers_are_not_compared(tmp_path: Path) -> None:
    rows, base = cell(), [replace(one, tokenizer="another") for one in old(cell())]
    found = judged(tmp_path, gate("total_tokens", "ratio_at_most = 1.1", BASELINE), rows, base)
    assert found.verdict == "incomplete"
    assert "different tokenizers: gate transcript_chars in their stead" in found.reason
    text = gate("transcript_chars", "ratio_at_most = 1.1", BASELINE)
    assert judged(tmp_path, text, rows, base).verdict == "pass"


@pytest.mark.parametrize(
    ("cut", "limit", "word"),
    [
        ("new", "ratio_at_most = 1.10", "inconclusive"),  # it may be more
        ("new", "ratio_at_most = 0.50", "fail"),  # and is too much already
        ("old", "ratio_at_most = 1.10", "pass"),  # the baseline's may be more still
        ("both", "ratio_at_most = 1.10", "inconclusive"),
    ],
)
def test_what_limits_cut_is_a_bound(tmp_path: Path, cut: str, limit: str, word: str) -> None:
    rows = [row(task, total_tokens=1_000 + 7 * (task % 5)) for task in range(N)]
    base = [replace(one, total_tokens=1_000 + 9 * (one.seed % 4)) for one in old(rows)]
    for name, some in (("new", rows), ("old", base)):
        if cut in (name, "both"):
            some[:] = [replace(one, ending="max_turns") for one in some]
    found = judged(tmp_path, gate("total_tokens", limit, BASELINE), rows, base)
    assert found.verdict == word
    if cut == "new":
        assert found.high is None
        assert "unbounded" in found.reason
    absolute = judged(tmp_path, gate("total_tokens", "at_most = 9000"), rows)
    assert absolute.verdict == ("inconclusive" if cut in ("new", "both") else "pass")


def test_what_was_not_measured_is_incomplete(tmp_path: Path) -> None:
    rows = [*cell()[:-2], *(replace(one, total_tokens=None) for one in cell()[-2:])]
    found = judged(tmp_path, gate("total_tokens", "at_most = 9000"), rows)
    assert found.verdict == "incomplete"
    assert "total_tokens was not measured in 2 of 20 episodes" in found.reason


def test_another_cell_of_the_run_may_be_what_is_compared_with(tmp_path: Path) -> None:
    run = '[run]\ntiers = ["easy"]\nseeds = 20\nruntimes = ["stateless", "persistent"]\n'
    other = 'against = {runtime = "persistent"}'
    text = gate("score", "not_lower_by = 0.14", other, 'runtime = "stateless"')
    rows = [*cell(), *cell(contract="persistent")]
    decision = verdict(file(tmp_path, text, run=run), rows)
    (found,) = decision.gates
    assert decision.verdict == "pass"
    assert found.against == "new, persistent, easy"
    assert found.where is not None
    assert found.where.contract == "stateless"
    two = gate("score", "not_lower_by = 0.14", 'against = {model = "old"}', 'model = "new"')
    rows = [*cell(), *cell(model="old")]
    decision = verdict(file(tmp_path, two), rows, models=("new", "old"))
    assert [str(one.where) for one in decision.gates] == ["new, stateless, easy"]
    assert decision.verdict == "pass"
