"""A comparison says what differs, by how much, and what may be claimed of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.claims import Contrast, findings
from okrt.analysis.estimands import difference, rate_contrast, token_ratio
from okrt.analysis.measures import MEASURED
from okrt.baselines.alike import CellName
from okrt.baselines.compare import Asked, Compared, Comparison, compare
from okrt.baselines.figures import MARGINS, Figure, checked_margins
from okrt.baselines.text import as_json, refusal, terminal, warnings
from okrt.errors import UsageError
from okrt.types import Failure
from tests.baselines.build import SCORES, TOKENS, N, cell, episode, held

WORSE = [score - 0.1 - 0.002 * (5 * task % N) for task, score in enumerate(SCORES)]
DEARER = [int(tokens * (1.2 + 0.01 * (task % 7))) for task, tokens in enumerate(TOKENS)]


def compared(
    new: Sequence[Brief], base: Sequence[Brief], *margins: str, **asked: Any
) -> Comparison:
    return compare(held(new, "new"), held(base, "base"), Asked(**asked), checked_margins(margins))


def only(found: Comparison) -> tuple[Compared, Mapping[str, Figure]]:
    assert found.differences == ()
    (one,) = found.cells
    return one, {figure.metric: figure for figure in one.figures}


def shown(new: Sequence[Brief], base: Sequence[Brief], *margins: str, **asked: Any) -> str:
    found = compared(new, base, *margins, **asked)
    return terminal(found, held(new, "new"), held(base, "base", transcripts=False), 100)


def test_figures_are_the_estimands_of_the_tasks_that_both_hold() -> None:
    new, base = cell(WORSE, DEARER, model="n", transcript_digest="n"), cell()
    one, figures = only(compared(new, base))
    assert (one.tasks, one.left_out, one.identical) == (N, 0, 0)
    assert figures["score"].inference.estimate() == difference(new, base).estimate()
    assert figures["score"].new == pytest.approx(sum(WORSE) / N)
    assert figures["score"].base == pytest.approx(sum(SCORES) / N)
    assert figures["total_tokens"].inference.estimate() == token_ratio(new, base).estimate()
    lost = MEASURED["lost_rate"]
    assert figures["lost_rate"].inference.estimate() == (
        rate_contrast(new, base, lost.measure).estimate()
    )
    estimate = figures["score_per_1k"].inference.estimate()
    assert estimate.value is not None
    for name in ("score_per_1k", "total_tokens", "new_tokens"):
        made = figures[name]
        assert made.new is not None
        assert made.base is not None
        assert made.inference.estimate().value == pytest.approx(made.new / made.base)
    for name in ("score", "relative_score", "solved_rate", "turns"):
        made = figures[name]
        assert made.new is not None
        assert made.base is not None
        assert made.inference.estimate().value == pytest.approx(made.new - made.base)


def test_claims_are_corrected_over_all_cells() -> None:
    new = [*cell(WORSE, DEARER, model="n"), *cell(WORSE, model="n", contract="persistent")]
    base = [*cell(), *cell(contract="persistent")]
    found = compared(new, base, "score=0.03")
    said = [f.finding for one in found.cells for f in one.figures if f.finding]
    contrasts = [
        Contrast(f.metric, f.inference, 1.0 if f.ratio else 0.0, f.margin, same=(0, N))
        for one in found.cells
        for f in one.figures
        if f.finding
    ]
    same = [replace(c, same=(one.identical, N)) for one, c in
            zip([one for one in found.cells for f in one.figures if f.finding], contrasts,
                strict=True)]  # fmt: skip
    assert said == findings(same)
    assert {f.name for f in said} == {"score", "solved_rate", "lost_rate", "total_tokens"}


def test_words_are_those_of_the_rule() -> None:
    near = [score + 0.001 * (task % 3 - 1) for task, score in enumerate(SCORES)]
    new = cell(near, DEARER, model="n", transcript_digest="n")
    _, figures = only(compared(new, cell(), "score=0.03", "total_tokens=1.5", "turns=1"))
    words = {name: f.finding.word for name, f in figures.items() if f.finding}
    assert words["score"] == "equivalent"
    assert words["total_tokens"] == "different within the margin"
    assert words["solved_rate"] == "undecided"
    assert set(words) == {"score", "solved_rate", "lost_rate", "total_tokens", "turns"}
    assert figures["score"].margin == 0.03
    assert figures["missing_variable_rate"].finding is None


def test_identical_transcripts_enter_no_test() -> None:
    text = shown(cell(model="n"), cell())
    assert f"transcripts and outcomes identical in {N} of {N}" in text
    assert f"score: identical in {N} of {N} tasks" in text
    assert "equivalent" not in text
    assert text.split("Claims")[0].count(" identical\n") == 11  # and no interval
    assert "[" not in text.split("Claims")[0]


def test_tokens_of_different_tokenizers_are_not_compared() -> None:
    new = cell(SCORES, DEARER, tokenizer="b", transcript_digest="n")
    one, figures = only(compared(new, cell(tokenizer="a")))
    assert not one.one_tokenizer
    assert not {"total_tokens", "new_tokens", "score_per_1k"} & set(figures)
    assert figures["transcript_chars"].finding is not None
    assert one.changes.token_metric == "transcript_chars"
    assert "characters stand in for them" in shown(new, cell(tokenizer="a"))


def test_censored_tokens_are_bounds() -> None:
    cut = [
        replace(row, ending="max_turns" if row.seed < 5 else row.ending)
        for row in cell(SCORES, DEARER, transcript_digest="n")
    ]
    _, figures = only(compared(cut, cell()))
    estimate = figures["total_tokens"].inference.estimate()
    assert estimate.high is None
    line = next(x for x in shown(cut, cell()).splitlines() if "total_tokens " in x)
    assert line.endswith("...]")
    assert "None" not in shown(cut, cell())


def test_flips_and_the_worst_tasks_are_named() -> None:
    solved = [episode(seed, solved=seed in (1, 2), lost_errors=0) for seed in range(4)]
    new = [
        episode(0, model="n", solved=True, score=0.9, lost_errors=2, total_tokens=9_000),
        episode(1, model="n", solved=False, score=0.1, lost_errors=0, total_tokens=10),
        episode(2, model="n", solved=True, score=0.9, lost_errors=0, total_tokens=99_000),
        episode(3, model="n", solved=False, score=0.7, lost_errors=0, total_tokens=700),
    ]
    one, _ = only(compared(new, solved))
    changes = one.changes
    for found, seeds in (
        (changes.solved_lost, [1]), (changes.solved_won, [0]), (changes.lost_new, [0]),
        (changes.lost_gone, []), (changes.worst_score, [1, 3]), (changes.worst_tokens, [2, 0]),
    ):  # fmt: skip
        assert [change.seed for change in found] == seeds
    text = shown(new, solved)
    assert "solved in base, not or less often in new: 1 (seed 1)" in text
    assert f"okrt show new {new[2].episode_id}" in text
    assert "okrt show base" not in text  # its transcripts were not saved
    with_both = terminal(compared(new, solved), held(new, "new"), held(solved, "base"), 100)
    assert f"okrt show base {solved[2].episode_id}" in with_both


def test_of_a_repeated_task_the_worst_play_is_shown_beside_the_best() -> None:
    new = [episode(0, repeat, score=score, solved=False) for repeat, score in enumerate((0.5, 0.2))]
    base = [episode(0, repeat, score=s, solved=r) for repeat, (s, r) in
            enumerate(((0.6, False), (0.9, True)))]  # fmt: skip
    one, _ = only(compared(new, base))
    (change,) = one.changes.worst_score
    assert change.new == pytest.approx(0.35)
    assert change.base == pytest.approx(0.75)
    assert (change.episode, change.base_episode) == (new[1].episode_id, base[1].episode_id)
    assert [change.seed for change in one.changes.solved_lost] == [0]


def test_what_infrastructure_broke_off_is_left_out_and_said() -> None:
    broken = [
        replace(row, score=None, failure=Failure("model", "E", "m")) if row.seed < 2 else row
        for row in cell(model="n")
    ]
    one, _ = only(compared(broken, cell()))
    assert (one.tasks, one.left_out) == (N - 2, 2)
    assert "2 left out, broken off by infrastructure" in shown(broken, cell())


def test_nothing_but_failures_says_nothing() -> None:
    broken = [replace(row, score=None, failure=Failure("model", "E", "m")) for row in cell()]
    text = shown(broken, broken)
    assert "0 tasks, paired" in text
    assert "None" not in text


def test_what_was_not_measured_is_a_dash_or_left_out() -> None:
    bare = [
        replace(row, relative_score=None, total_tokens=None, lost_errors=None, turns=None)
        for row in cell(model="n")
    ]
    _, figures = only(compared(bare, cell()))
    assert figures["lost_rate"].new is None
    assert "relative_score" in figures  # of the baseline alone
    text = shown(bare, bare)
    assert "None" not in text
    assert "lost_rate" not in text.split("Claims")[0]


def noisy(spread: float, **changes: Any) -> list[Brief]:
    pairs = (
        (cell([s + sign * spread for s in SCORES], repeat=repeat, **changes))
        for repeat, sign in enumerate((-1, 1))
    )
    return [row for rows in pairs for row in rows]


def test_noise_is_shown_and_a_margin_below_it_warned_about() -> None:
    new, base = noisy(0.05, model="n"), cell(model="m")
    found = compared(new, base, "score=0.02")
    one, figures = only(found)
    assert one.replayed == (N, 0)
    noise = figures["score"].noise
    assert noise == pytest.approx(1.96 * (0.005 * 1.5 / N) ** 0.5, rel=1e-3)
    (warning,) = warnings(found)
    assert warning.startswith("stateless, opaque_knapsack/easy: the margin of score, 0.02, is")
    text = shown(new, base, "score=0.02")
    assert f"A/A noise ({N} tasks played more than once in new): 95%" in text
    assert "warning: " in text
    assert warnings(compared(new, base, "score=0.04")) == []


def test_another_source_of_a_runtime_is_warned_about() -> None:
    def told(**run: Any) -> list[str]:
        base = held(cell(), "base", sources={"runtime stateless": "a", "runtime other": "a"})
        return warnings(compare(held(cell(), **run), base, Asked(), MARGINS))

    (warning,) = told(sources={"runtime stateless": "b", "runtime other": "b"})
    assert warning.startswith("the source of the runtime stateless is not that of the baseline")
    assert told(sources={"runtime stateless": "a"}) == told() == []


def test_noise_that_is_not_known_or_not_there_is_said() -> None:
    assert "A/A noise: not known; --okrt-repeats=2" in shown(cell(), cell(model="n"))
    greedy = [replace(row, temperature=0.0) for row in noisy(0.0)]
    text = " ".join(shown(greedy, greedy).split())
    assert "none was seen" in text
    assert f"of {N} tasks, 0 with other transcripts, 0 with other scores" in text


def test_labels_may_differ_and_of_several_models_one_is_named() -> None:
    new = [*cell(model="a"), *cell(model="b")]
    with pytest.raises(UsageError, match=r"new holds 2 models \(a, b\): name one by --model"):
        compared(new, cell(model="old"))
    with pytest.raises(UsageError, match=r"base holds 2 models \(a, b\): name one by --base-model"):
        compared(cell(model="new"), new)
    found = compared(cell(model="b"), new)  # the baseline's of the same label
    assert (found.model, found.base_model) == ("b", "b")
    found = compared(new, cell(model="old"), model="a")
    assert (found.model, found.base_model) == ("a", "old")
    with pytest.raises(UsageError, match=r"--model 'c': new has a, b"):
        compared(new, cell(), model="c")


def test_a_cell_that_a_named_model_does_not_have_is_a_mistake() -> None:
    new = [*cell(model="a"), *cell(model="b", contract="persistent")]
    with pytest.raises(UsageError, match="new has no such cell"):
        compared(new, cell(), model="a", runtimes=("persistent",))
    with pytest.raises(UsageError, match="run has nothing"):
        compare(held([]), held([]), Asked(model="a"), {})
    with pytest.raises(UsageError, match="run has no such cell"):
        compare(held([]), held([]), Asked(), {})


def test_cells_that_only_one_holds_are_said_and_left() -> None:
    new = [*cell(), *cell(contract="files")]
    base = [*cell(), *cell(contract="persistent")]
    found = compared(new, base)
    assert [one.name for one in found.cells] == [CellName("stateless", "opaque_knapsack", "easy")]
    assert found.left == (
        "files, opaque_knapsack/easy: base has no such cell",
        "persistent, opaque_knapsack/easy: new has no such cell",
    )
    with pytest.raises(UsageError, match="--runtime 'files': base has persistent, stateless"):
        compared(new, base, runtimes=("files",))


def test_other_settings_are_refused_unless_cells_that_match_are_asked_for() -> None:
    new = [*cell(), *cell(contract="persistent", max_turns=8)]
    base = [*cell(), *cell(contract="persistent")]
    found = compared(new, base)
    assert found.cells == ()
    assert found.differences == (
        "persistent, opaque_knapsack/easy: max_turns: 8 here, 40 in the baseline",
    )
    text = refusal(found, held(new, "new", complete=False), held(base, "base"))
    assert "cells that match, to be asked for: --runtime stateless --tier easy" in text
    assert "new is incomplete; to go on in it: --okrt-resume new" in text
    assert len(compared(new, base, runtimes=("stateless",)).cells) == 1


def test_no_cell_in_common_is_a_refusal() -> None:
    found = compared(cell(tier="easy"), cell(tier="hard"))
    assert len(found.differences) == 3
    assert "to compare runtimes, run both in one run" in found.differences[-1]
    assert found.cells == ()


def test_experts_are_no_evidence() -> None:
    text = shown(cell(model_spec="expert:stateless"), cell())
    assert "self-check of the harness" in text
    assert "self-check" not in shown(cell(), cell())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score", "'' is no number"),
        ("score=x", "'x' is no number"),
        ("score=nan", "between 0 and 1; 0.03 is three points"),
        ("score=3", "between 0 and 1; 0.03 is three points"),
        ("lost_rate=-0.1", "between 0 and 1"),
        ("total_tokens=0.1", "between 1 and 10; 1.10 allows a tenth more"),
        ("total_tokens=110", "between 1 and 10"),
        ("nosuch=1", "METRIC one of score, relative_score"),
        ("=1", "METRIC one of score"),
    ],
)
def test_a_margin_of_the_wrong_sign_or_unit_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked_margins([text])


def test_a_margin_is_given_once() -> None:
    with pytest.raises(UsageError, match="score has a margin already"):
        checked_margins(["score=0.03", "score=0.04"])
    assert checked_margins(["score=0.03"]) == {"score": 0.03}
    assert all(name in MEASURED for name in MARGINS)


def test_hostile_names_reach_neither_terminal_nor_layout() -> None:
    evil = "\x1b[31mred\u202e" + "x" * 10_000
    text = shown(cell(model=evil), cell(model=evil + "2", tier="easy"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) <= 300


def test_json_holds_what_the_text_says() -> None:
    new, base = noisy(0.05, model="n"), cell(model="m")
    sides = held(new, "new"), held(base, "base")
    found = compared(new, base, "score=0.02")
    made = json.loads(json.dumps(as_json(found, *sides)))
    assert made["schema"] == 1
    assert made["new"]["model"] == "n"
    (one,) = made["cells"]
    assert (one["runtime"], one["tier"], one["tasks"]) == ("stateless", "easy", N)
    score = one["figures"][0]
    assert (score["metric"], score["kind"], score["margin"]) == ("score", "difference", 0.02)
    assert score["claim"] == found.cells[0].figures[0].finding.word  # type: ignore[union-attr]
    assert score["estimate"]["n"] == N
    assert made["warnings"] == warnings(found)
