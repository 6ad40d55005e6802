"""What must be there follows from the gate file and the models given: less is incomplete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.analysis.brief import Brief
from okrt.gates.complete import Where, index, take
from okrt.gates.deciding import decided
from okrt.gates.decision import NO_MODEL, Decision, Run
from okrt.gates.file import Asked
from okrt.gates.words import as_json, lines
from okrt.plan import Planned
from tests.gates.build import VERSIONS, N, broken, cell, file, gate, row, verdict

GATES = gate("score", "at_least = 0.5") + gate("lost_rate", "at_most = 0.15", name="lost")
BASELINE = 'against = "baseline"'
Change = Callable[[list[Brief]], list[Brief]]


def test_a_whole_run_passes_and_more_than_is_needed_is_fine(tmp_path: Path) -> None:
    more = [*cell(), *cell(model="other", lost_errors=1), *cell(contract="persistent")]
    more += [row(100 + task, score=0.0, lost_errors=1) for task in range(N)]  # other seeds
    more += [replace(one, repeat=1, score=0.0) for one in cell()]
    more += [replace(one, tier="hard", score=0.0) for one in cell()]
    for rows in (cell(), more, more[::-1]):
        decision = verdict(file(tmp_path, GATES), rows)
        assert decision.verdict == "pass"
        assert [one.n for one in decision.gates] == [N, N]
        assert decision.words.startswith("pass: 2 of 2 gates passed (opaque_knapsack/easy, seeds 0")
        assert decision.incomplete == ()
        assert {condition.verdict for condition in decision.conditions} == {"pass"}


LACKING: dict[str, tuple[Change, str]] = {
    "nothing": (lambda rows: [], "new, stateless, easy: none of 20 episodes is there"),
    "half": (lambda rows: rows[::2], "10 of 20 episodes are missing (seeds 1, 3, 5, ...)"),
    "one": (lambda rows: rows[1:], "1 of 20 episodes are missing (seeds 0)"),
    "twice": (lambda rows: [*rows, rows[3]], "1 episodes are there more than once (seeds 3)"),
    "label": (lambda rows: [replace(r, model="newer") for r in rows], "newer, stateless, easy"),
    "tier": (
        lambda rows: [replace(r, tier="esay") for r in rows],
        "stead there is new, stateless,",
    ),
    "runtime": (lambda rows: [replace(r, contract="reset") for r in rows], "is new, reset, easy"),
    "family": (lambda rows: [replace(r, family="x") for r in rows], "there is family x"),
    "split": (lambda rows: [replace(r, split="val") for r in rows], "none of 20 episodes is there"),
    "repeat": (lambda rows: [replace(r, repeat=1) for r in rows], "none of 20 episodes is there"),
    "stale": (
        lambda rows: [replace(r, task_id=r.task_id.replace("@1", "@0")) for r in rows],
        "20 episodes are of stale tasks (opaque_knapsack/easy/eval/0@0): this okrt generates ver",
    ),
    "cap": (
        lambda rows: [replace(r, tool_cap=80) if r.seed < 4 else r for r in rows],
        "episodes of several values of tool cap: 25 in 16, 80 in 4",
    ),
    "weights": (
        lambda rows: [replace(r, model_digest="b") if r.seed < 4 else r for r in rows],
        "episodes of several values of model digest",
    ),
    "unjudged": (lambda rows: [*rows[1:], replace(rows[0], score=None)], "broke off 1 of 20"),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_is_missing_or_another_is_incomplete_and_said(tmp_path: Path, case: str) -> None:
    change, said = LACKING[case]
    decision = verdict(file(tmp_path, GATES), change(cell()))
    assert decision.verdict == "incomplete"
    shown = "\n".join([*lines(decision), *decision.incomplete])
    assert said in shown


def test_episodes_under_other_settings_than_the_run_states_are_stale(tmp_path: Path) -> None:
    rows = cell()
    stated: dict[str, Any] = {"settings": {"temperature": 0.2, "max_turns": 40}}
    assert verdict(file(tmp_path, GATES), rows, run=stated).verdict == "pass"
    stated["settings"]["temperature"] = 0.7
    decision = verdict(file(tmp_path, GATES), rows, run=stated)
    assert decision.verdict == "incomplete"
    assert "20 episodes were recorded under temperature 0.2, the run states 0.7" in decision.words
    stated["settings"] = {"cue": 3}
    assert "cannot be read" in verdict(file(tmp_path, GATES), rows, run=stated).words


CROSSED: dict[str, Change] = {
    "both caps": lambda rows: [*rows, *capped(rows)],
    "one of them broken off": lambda rows: [*rows, *(broken(r.seed, tool_cap=80) for r in rows)],
    "of one task": lambda rows: [*rows, *capped(rows[:1])],
}


def capped(rows: list[Brief]) -> list[Brief]:
    return [replace(r, tool_cap=80, prompt_digest="q", episode_id=f"{r.episode_id}c") for r in rows]


@pytest.mark.parametrize("case", CROSSED)
def test_caps_mixed_within_a_gate_are_never_judged(tmp_path: Path, case: str) -> None:
    for rows in (mixed := CROSSED[case](cell()), mixed[::-1]):
        decision = verdict(file(tmp_path, GATES), rows, run={"axes": {"tool_cap": [25, 80]}})
        assert decision.verdict == "incomplete"
        assert {one.verdict for one in decision.gates} == {"incomplete"}
        (line,) = decision.incomplete
        assert line.startswith("new, stateless, easy: episodes of several values of tool cap: 25")


def test_a_cap_that_the_file_states_must_be_the_one_that_was_run(tmp_path: Path) -> None:
    gates = file(tmp_path, "tool_cap = 25\n", GATES)
    assert verdict(gates, cell()).verdict == "pass"
    decision = verdict(gates, capped(cell()))
    assert decision.verdict == "incomplete"
    assert (
        "new, stateless, easy: episodes ran under tool cap 80, gates.toml states 25"
        in decision.words
    )
    against = file(tmp_path, "tool_cap = 25\n", gate("score", "not_lower_by = 0.1", BASELINE))
    decision = verdict(against, cell(), capped(cell()))
    assert "baseline old: new, stateless, easy: episodes ran under tool cap 80" in decision.words


def test_the_verdict_names_the_cap_and_the_settings_that_are_not_the_usual(tmp_path: Path) -> None:
    gates = file(tmp_path, GATES)
    assert "(opaque_knapsack/easy, seeds 0-19, tool cap 25; " in verdict(gates, cell()).words
    told = [replace(one, cue="true", names=True, packages=("numpy",)) for one in capped(cell())]
    said = "seeds 0-19, tool cap 80, cue true, names True, packages numpy; "
    assert said in verdict(gates, told).words
    assert "tool cap" not in verdict(gates, []).words


def test_a_baseline_of_several_caps_is_not_compared_with(tmp_path: Path) -> None:
    gates = file(tmp_path, gate("score", "not_lower_by = 0.1", BASELINE))
    decision = verdict(gates, cell(), [*cell(), *capped(cell())])
    assert decision.verdict == "incomplete"
    assert "baseline old: new, stateless, easy: episodes of several values" in decision.words


def test_a_run_that_is_to_hold_several_caps_is_incomplete_before_it_holds_them(
    tmp_path: Path,
) -> None:
    part = Planned("opaque_knapsack", "easy", "eval", "new", "stateless", 0, ((0, N),), 25)
    plan = msgspec.to_builtins([part, replace(part, tool_cap=80)])
    asked = Asked(("new",), ("stateless",))
    decision = decided(file(tmp_path, GATES), asked, Run({"plan": plan}, cell()), None)
    assert decision.verdict == "incomplete"
    assert "the run holds several values of tool_cap (cap25, cap80): gates" in decision.words


def test_a_model_must_be_named(tmp_path: Path) -> None:
    decision = verdict(file(tmp_path, GATES), cell(), models=())
    assert decision.verdict == "incomplete"
    assert decision.incomplete[0] == NO_MODEL
    assert {one.verdict for one in decision.gates} == {"incomplete"}
    assert as_json(decision)["gates"][0]["model"] is None


def test_every_model_that_was_named_must_be_there(tmp_path: Path) -> None:
    decision = verdict(file(tmp_path, GATES), cell(), models=("new", "second"))
    assert decision.verdict == "incomplete"
    assert "second, stateless, easy: none of 20" in decision.words
    assert [one.verdict for one in decision.gates] == ["pass", "incomplete"] * 2


def test_a_gate_of_a_model_that_was_not_named(tmp_path: Path) -> None:
    decision = verdict(file(tmp_path, gate("score", "at_least = 0.5", 'model = "x"')), cell())
    assert decision.verdict == "incomplete"
    assert "of a cell that was not asked for; models given: new" in decision.words


def test_a_run_without_runtimes_is_of_those_that_were_asked_for(tmp_path: Path) -> None:
    open_run = '[run]\ntiers = ["easy"]\nseeds = 20\n'
    decision = verdict(file(tmp_path, GATES, run=open_run), cell())
    assert [one.where and one.where.contract for one in decision.gates] == ["stateless"] * 2


def failing(folder: Path, extra: str, rows: list[Brief]) -> Decision:
    return verdict(file(folder, GATES, extra), rows)


def test_conditions_come_before_gates(tmp_path: Path) -> None:
    rows = [broken(0), *cell([0.1] * N)[1:]]
    decision = failing(tmp_path, "", rows)
    assert decision.verdict == "incomplete"
    assert (
        "infrastructure broke off 1 of 20 episodes (model: no answer); go on in" in decision.words
    )
    lenient = "\n[conditions]\ninfrastructure_failures_at_most = 0.05\n"
    assert failing(tmp_path, lenient, rows).verdict == "fail"
    for found, lowest, word in (
        ("T0", "T1", "incomplete"), ("T1", "T0", "pass"), ("none", "T0", "incomplete"),
        ("unsafe", "none", "pass"), ("not recorded", "none", "incomplete"),
    ):  # fmt: skip
        rows = [replace(one, isolation=found) for one in cell()]
        decision = failing(tmp_path, f'\n[conditions]\nisolation = "{lowest}"\n', rows)
        assert decision.verdict == word, (found, lowest)
    assert (
        "ran under isolation 'none'"
        in failing(tmp_path, "", [replace(one, isolation="none") for one in cell()]).words
    )


def test_a_gate_that_fails_on_whole_cells_decides(tmp_path: Path) -> None:
    gates = file(tmp_path, GATES, gate("turns", "ratio_at_most = 1.1", BASELINE, name="c"))
    bad = cell([0.1 + 0.001 * task for task in range(N)])
    decision = verdict(gates, bad)
    assert decision.verdict == "fail"
    assert decision.words.startswith("fail: 1 of 3 gates failed: a gate (new, stateless, easy) (op")
    assert verdict(gates, cell()).verdict == "incomplete"


# -- the baseline ---------------------------------------------------------------------------------

AGAINST = gate("score", "not_lower_by = 0.15", BASELINE)


def test_a_first_run_is_told_how_to_save_a_baseline(tmp_path: Path) -> None:
    decision = verdict(file(tmp_path, AGAINST), cell())
    assert decision.verdict == "incomplete"
    assert "okrt baseline save RUN NAME" in decision.words
    assert "--okrt-baseline NAME" in decision.words
    assert [one.reason for one in decision.gates] == ["no baseline was given"]


BASES: dict[str, tuple[Change, str]] = {
    "half": (
        lambda rows: rows[::2],
        "baseline old: m, stateless, easy: 10 of 20 episodes are miss",
    ),
    "none": (lambda rows: [], "baseline old: it has no model in stateless, easy"),
    "models": (
        lambda rows: [*rows, *(replace(r, model="n") for r in rows)],
        "baseline old: it has models m, n in stateless, easy: use one that has one model there",
    ),
    "settings": (
        lambda rows: [replace(r, temperature=0.0) for r in rows],
        "temperature: 0.2 here, 0.0 in the baseline",
    ),
    "stale": (
        lambda rows: [replace(r, task_id=r.task_id.replace("@1", "@0")) for r in rows],
        "20 episodes are of stale tasks",
    ),
}


@pytest.mark.parametrize("case", BASES)
def test_a_baseline_that_cannot_be_compared_is_said(tmp_path: Path, case: str) -> None:
    change, said = BASES[case]
    base = change([replace(one, model="m") for one in cell()])
    decision = verdict(file(tmp_path, AGAINST), cell(), base)
    assert decision.verdict == "incomplete"
    assert any(said in line for line in decision.incomplete), decision.incomplete


def test_a_baseline_may_hold_more_and_have_another_label(tmp_path: Path) -> None:
    base = [replace(one, model="m") for one in cell()]
    base += [replace(one, model="n", contract="persistent") for one in base]
    base += [row(task, model="m") for task in range(50, 60)]
    decision = verdict(file(tmp_path, AGAINST), cell(), base)
    assert decision.verdict == "pass", decision.words
    both = [*base, *(replace(one, model="new") for one in cell())]
    assert verdict(file(tmp_path, AGAINST), cell(), both).verdict == "pass"  # of the same label


def test_failures_of_the_baseline_count_too(tmp_path: Path) -> None:
    base = [broken(0, model="m"), *(replace(one, model="m") for one in cell()[1:])]
    decision = verdict(file(tmp_path, AGAINST), cell(), base)
    assert decision.verdict == "incomplete"
    assert "m, stateless, easy: infrastructure broke off 1 of 20" in decision.words


# -- words ----------------------------------------------------------------------------------------


def test_what_lacks_is_said_in_a_few_lines_and_a_count(tmp_path: Path) -> None:
    models = [f"m{number}" for number in range(9)]
    decision = verdict(file(tmp_path, gate("score", "at_least = 0.5", 'model = "m0"')), [], None,
                       models)  # fmt: skip
    shown = lines(decision)
    assert len(shown) < 12
    assert any("and 3 more" in line for line in shown)
    assert shown[-1].startswith("gates: incomplete: ")


def test_what_a_model_says_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    rows = [replace(one, model="a\x1b[2J\nb") for one in cell()]
    decision = verdict(file(tmp_path, GATES), rows, models=("a\x1b[2J\nb",))
    assert decision.verdict == "pass"
    assert "\x1b" not in "".join(lines(decision))
    assert all("\n" not in line for line in lines(decision))


def test_scripted_experts_are_no_evidence(tmp_path: Path) -> None:
    rows = [replace(one, model_spec="expert:stateless") for one in cell()]
    assert "self-check" in verdict(file(tmp_path, GATES), rows).words
    rows = [replace(one, model_spec="path") for one in cell()]
    assert "self-check" not in verdict(file(tmp_path, GATES), rows).words


def test_gates_json_has_its_fields(tmp_path: Path) -> None:
    base = [replace(one, model="m") for one in cell()]
    reason = 'reason = "why not"'
    gates = file(tmp_path, gate("score", "not_lower_by = 0.15", BASELINE, reason))
    found = as_json(verdict(gates, cell(), base))
    assert list(found) == [
        "schema", "verdict", "words", "file", "file_digest", "baseline", "incomplete",
        "conditions", "gates",
    ]  # fmt: skip
    assert found["baseline"]["name"] == "old"
    assert found["baseline"]["digest"] == "d1"
    (one,) = found["gates"]
    assert list(one) == [
        "name", "metric", "model", "runtime", "tier", "against", "kind", "limit", "verdict",
        "value", "low", "high", "level", "method", "n", "reason", "why",
    ]  # fmt: skip
    assert (one["model"], one["runtime"], one["tier"]) == ("new", "stateless", "easy")
    assert (one["against"], one["kind"], one["limit"]) == ("baseline", "not_lower_by", 0.15)
    assert (one["verdict"], one["level"], one["n"], one["why"]) == ("pass", 0.95, N, "why not")


def test_an_episode_that_was_tried_again_is_taken_once(tmp_path: Path) -> None:
    held = index([broken(0), *cell()])
    where = Where("new", "stateless", "easy")
    taken = take(file(tmp_path, GATES), where, held, VERSIONS)
    assert (len(taken.rows), taken.broken, taken.lacks) == (N, (), ())
