from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given

from okrt.analysis.rows import SCHEMA_VERSION, Row, decode, encode, row
from okrt.errors import StoreError
from okrt.store import decode_episode, encode_episode
from okrt.types import (
    Episode,
    Execution,
    Failure,
    Message,
    ModelCard,
    Outcome,
    Settings,
    ToolRequest,
    Trajectory,
)
from tests.analysis.build import (
    CARD,
    OUTCOME,
    TASK,
    call,
    episode,
    episodes,
    law,
    missing,
    ran,
    reread,
    sample,
    turn,
)

JUDGED = {
    "score", "floor_score", "reference_score", "relative_score", "selection_score", "solved",
}  # fmt: skip
COUNTED = {
    "turns", "tool_calls", "cap_hits", "refused_calls", "prompt_tokens", "completion_tokens",
    "new_tokens", "total_tokens", "transcript_chars", "errors", "missing_variable_errors",
    "lost_errors", "typo_errors", "undefined_errors", "guarded_losses", "redefinitions",
    "repeated_inspections", "restarts", "recovery_turns", "transcript_digest", "blocks",
    "max_demand", "cut_blocks",
}  # fmt: skip


def test_fields_are_those_of_the_contract_with_readers() -> None:
    assert [field.name for field in fields(Row)] == [
        "schema", "episode_id", "task_id", "family", "tier", "split", "seed", "repeat", "contract",
        "runtime", "model", "model_spec", "model_digest", "model_kind", "trained_under",
        "prompt_set", "prompt_digest", "cue", "names", "format", "thinking", "tokenizer",
        "tool_cap", "max_turns", "temperature", "ending", "failure", "score", "floor_score",
        "reference_score", "relative_score", "selection_score", "solved", "turns", "tool_calls",
        "cap_hits", "refused_calls", "prompt_tokens", "completion_tokens", "new_tokens",
        "total_tokens", "transcript_chars", "errors", "missing_variable_errors", "lost_errors",
        "typo_errors", "undefined_errors", "guarded_losses", "redefinitions",
        "repeated_inspections", "restarts", "recovery_turns", "timing", "packages",
        "trained_on_tier", "repetition_stops", "adapter_verified", "transcript_digest", "salt",
        "blocks", "max_demand", "cut_blocks",
    ]  # fmt: skip


def test_identity_is_the_episodes() -> None:
    settings = Settings(cue="true", names=True, format="code_tag", thinking="keep", temperature=0)
    card = ModelCard("m", "path/m", "local", "d1", "mixed", "t1")
    one = row(episode(repeat=2, contract="persistent", asked=settings, model=card))
    assert (one.schema, one.episode_id, one.repeat) == (SCHEMA_VERSION, "0f3a", 2)
    assert one.task_id == "opaque_knapsack/easy/eval/17@1" == TASK.id
    assert (one.family, one.tier, one.split, one.seed) == ("opaque_knapsack", "easy", "eval", 17)
    assert one.contract == one.runtime == "persistent"
    assert (one.model, one.model_spec, one.model_kind) == ("m", "path/m", "local")
    assert (one.model_digest, one.trained_under, one.tokenizer) == ("d1", "mixed", "t1")
    assert (one.cue, one.names, one.format, one.thinking) == ("true", True, "code_tag", "keep")
    assert (one.prompt_set, one.prompt_digest) == ("matched", "5d41")
    assert one.trained_on_tier is None
    for tiers, expected in ((("micro", "easy"), True), (("micro",), False), ((), False)):
        trained = row(episode(model=replace(card, tiers=tiers)))
        assert trained.trained_on_tier is expected
    assert (one.temperature, one.max_turns) == (0.0, 40)
    assert one.timing == {"wall_s": 0.25, "isolation": "process"}


@pytest.mark.parametrize(("asked", "cap"), [(None, 25), (6, 6), (0, 0)])
def test_tool_cap_is_the_tasks_unless_set(asked: int | None, cap: int) -> None:
    assert row(episode(asked=Settings(tool_cap=asked))).tool_cap == cap


@pytest.mark.parametrize(
    ("score", "floor", "reference", "relative"),
    [
        (0.7, 0.7, 0.9, 0.0),
        (0.9, 0.7, 0.9, 1.0),
        (0.6, 0.7, 0.9, -0.5),
        (1.0, 0.7, 0.9, 1.5),
        (0.8, None, 0.9, None),
        (0.8, 0.7, None, None),
        (0.8, 0.7, 0.7, None),
        (0.8, 0.9, 0.7, None),
        (1.0, 0.0, 5e-324, None),
    ],
)
def test_relative_score_stands_between_floor_and_reference(
    score: float, floor: float | None, reference: float | None, relative: float | None
) -> None:
    outcome = Outcome(score, False, {"floor_score": floor, "reference_score": reference})
    one = row(episode(outcome=outcome))
    assert (one.score, one.floor_score, one.reference_score) == (score, floor, reference)
    assert one.relative_score == (None if relative is None else pytest.approx(relative))


def test_scores_of_a_family_without_such_metrics_are_not_known() -> None:
    one = row(episode(outcome=Outcome(1, True)))
    assert (one.score, one.solved) == (1.0, True)
    assert (one.floor_score, one.relative_score, one.selection_score) == (None, None, None)


def test_a_failed_episode_has_no_counts_no_judgement_and_no_ending() -> None:
    failure = Failure("model", "ConnectionError", "refused")
    one = row(episode(failure=failure))
    assert one.failure == failure
    assert all(getattr(one, name) is None for name in COUNTED | JUDGED | {"ending"})


def test_what_failed_is_never_judged_even_if_it_left_an_outcome() -> None:
    left = replace(episode(turn()), failure=Failure("family", "KeyError", "tool"))
    one = row(left)
    assert (one.score, one.solved, one.ending, one.turns) == (None, None, None, 1)


def test_tokens_count_the_history_again_and_new_ones_do_not() -> None:
    one = row(episode(turn(tokens=(100, 30)), turn(tokens=(150, 10)), turn(tokens=(155, 5))))
    assert (one.prompt_tokens, one.completion_tokens, one.total_tokens) == (405, 45, 450)
    # 100 read; 30; 20 more read; 10; the third prompt is shorter than the history: nothing; 5
    assert one.new_tokens == 100 + 30 + 20 + 10 + 0 + 5


def test_tokens_that_one_turn_did_not_measure_are_not_known() -> None:
    one = row(episode(turn(tokens=(100, 30)), turn(tokens=(None, 10))))
    assert (one.prompt_tokens, one.completion_tokens) == (None, 40)
    assert (one.total_tokens, one.new_tokens) == (None, None)


def test_an_episode_without_a_turn_used_no_tokens() -> None:
    one = row(episode(ending="context"))
    assert (one.turns, one.prompt_tokens, one.total_tokens, one.new_tokens) == (0, 0, 0, 0)


def test_transcripts_are_told_apart_by_what_was_shown_and_said() -> None:
    plays = [
        episode(turn(reply="a", observation="b")),
        episode(turn(reply="ab", observation="")),
        episode(turn(reply="auserb", observation="")),
        episode(turn(reply="a", observation="c")),
        episode(turn(reply="c", observation="b")),
        episode(turn(reply="a", observation="b"), turn(reply="", observation="")),
        episode(turn(reply="a", observation="b"), task=replace(TASK, prompt="Another.")),
    ]
    assert len({row(one).transcript_digest for one in plays}) == len(plays)


def test_a_transcript_is_the_same_whoever_plays_it_and_however_long_it_takes() -> None:
    one = episode(turn(tokens=(10, 5)))
    other = episode(turn(tokens=(20, 9)), model=replace(CARD, label="other"), repeat=1)
    slow = replace(other, timing={"wall_s": 9.0}, id="1111")
    assert row(slow).transcript_digest == row(one).transcript_digest


def test_ids_that_servers_draw_are_no_part_of_a_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(**changes: Any) -> str | None:
        asked = replace(ToolRequest("call_1", "python", "{}", 0), **changes)
        messages = [Message("assistant", "", (asked,))]
        monkeypatch.setattr(Trajectory, "messages", lambda trajectory: messages)
        return row(episode()).transcript_digest

    assert digest(id="call_2") == digest()
    assert len({digest(), digest(arguments="[]"), digest(name="shell")}) == 3


def test_a_digest_outlives_being_stored() -> None:
    """What is no valid Unicode is escaped in the file."""
    one = episode(turn(reply="\ud800"))
    stored = decode_episode(encode_episode(one))
    assert row(stored).transcript_digest == row(one).transcript_digest


def test_transcript_chars_are_those_of_the_messages() -> None:
    one = episode(turn(reply="abc", observation="de"), turn(reply="f", observation=""))
    assert one.trajectory is not None
    assert one.trajectory.messages()[0] == Message("user", TASK.prompt)
    assert row(one).transcript_chars == len(TASK.prompt) + 6


def test_calls_are_those_served_and_cap_hits_are_turns() -> None:
    calls = (call("inspect", "a"), call("take_item", "b", error="ToolError: no"))
    one = row(
        episode(
            turn(execution=ran((), (), *calls, refused=3)),
            turn(execution=ran((), (), refused=1, status="cap", error_type="ToolCapExceeded")),
            turn(execution=ran((), (), *calls)),
            turn(None),
        )
    )
    assert (one.turns, one.tool_calls, one.cap_hits, one.refused_calls) == (4, 4, 2, 4)


def test_errors_are_turns_by_type_sorted() -> None:
    one = row(
        episode(
            turn(execution=ran(status="raised", error_type="KeyError")),
            turn(execution=ran(None, status="timeout")),
            turn(execution=ran(None, status="died")),
            turn(execution=ran(status="raised", error_type="KeyError")),
            turn(execution=ran(status="cap", error_type="ToolCapExceeded")),
            turn(execution=missing("a")),
            turn(),
        )
    )
    assert one.errors is not None
    assert list(one.errors.items()) == [
        ("Died", 1), ("KeyError", 2), ("NameError", 1), ("Timeout", 1), ("ToolCapExceeded", 1),
    ]  # fmt: skip


def test_repeated_inspections_are_successful_calls_of_earlier_turns() -> None:
    first = turn(
        execution=ran(
            (), (), call("inspect", "a"), call("inspect", "a"), call("inspect", "b", error="no")
        )
    )
    again = turn(
        execution=ran(
            (), (), call("inspect", "a"), call("inspect", "b"), call("look", "a"), call("finish")
        )
    )
    assert row(episode(first)).repeated_inspections == 0
    assert row(episode(first, again)).repeated_inspections == 1
    assert row(episode(again, again)).repeated_inspections == 3


def test_arguments_may_be_any_json() -> None:
    odd = turn(execution=ran((), (), call("inspect", {"b": [1, None], "a": float("inf")})))
    turned = turn(execution=ran((), (), call("inspect", {"a": float("inf"), "b": [1, None]})))
    assert row(episode(odd, turned)).repeated_inspections == 1


def test_restarts_are_counted() -> None:
    assert (
        row(episode(turn(execution=ran(None, status="died", restarted=True)), turn())).restarts == 1
    )


def test_missing_variables_guards_and_recovery_reach_the_row() -> None:
    guard = "try:\n    seen\nexcept NameError:\n    pass\nseen = {}"
    one = row(
        episode(
            turn(execution=ran(("seen",))),
            turn(execution=missing("seen")),
            turn(execution=missing("seem")),
            turn(execution=missing("other")),
            turn(guard, execution=ran(("seen",))),
        )
    )
    assert one.missing_variable_errors == 3
    assert (one.lost_errors, one.typo_errors, one.undefined_errors) == (1, 1, 1)
    assert (one.guarded_losses, one.redefinitions, one.recovery_turns) == (1, 1, 3)


def test_sample_episode() -> None:
    one = row(sample())
    assert (one.turns, one.tool_calls, one.lost_errors, one.repeated_inspections) == (4, 5, 1, 1)
    assert (one.redefinitions, one.recovery_turns, one.refused_calls) == (2, 1, 1)


# -- laws -----------------------------------------------------------------------------------


@law
@given(episodes())
def test_json_goes_round(one: Episode) -> None:
    made = row(one)
    assert decode(encode(made)) == made
    assert encode(decode(encode(made))) == encode(made)
    assert b"\n" not in encode(made)


@law
@given(episodes())
def test_a_row_can_be_made_again_from_the_saved_episode(one: Episode) -> None:
    assert encode(row(reread(one))) == encode(row(one))


@law
@given(episodes())
def test_counts_add_up(one: Episode) -> None:
    made = row(one)
    if one.failure is not None:
        assert made.missing_variable_errors is None
        return
    assert made.errors is not None
    assert made.turns is not None
    classes = (made.lost_errors, made.typo_errors, made.undefined_errors)
    assert made.missing_variable_errors == sum(count or 0 for count in classes)
    assert made.missing_variable_errors == made.errors.get("NameError", 0)
    assert sum(made.errors.values()) <= made.turns
    for counted in (made.cap_hits, made.guarded_losses, made.restarts, made.recovery_turns):
        assert counted is not None
        assert 0 <= counted <= made.turns
    if made.new_tokens is not None:
        assert made.completion_tokens is not None
        assert made.total_tokens is not None
        assert made.completion_tokens <= made.new_tokens <= made.total_tokens


@law
@given(episodes())
def test_turns_only_add(one: Episode) -> None:
    """What is counted in the first turns stays counted as more turns follow."""
    if one.trajectory is None or not one.trajectory.turns:
        return
    shorter = Trajectory("", one.trajectory.turns[:-1], one.trajectory.ending)
    before, after = row(replace(one, trajectory=shorter)), row(one)
    for name in ("tool_calls", "lost_errors", "guarded_losses", "redefinitions", "recovery_turns"):
        assert getattr(before, name) <= getattr(after, name)


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    made = row(sample())
    later = encode(made)[:-1] + b',"added_later":[1]}'
    assert decode(later) == made


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b'{"schema":"x"}', b"\xff", b"[" * 100_000])
def test_what_is_no_row_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(StoreError, match="not a row: "):
        decode(line)


def test_a_row_without_one_of_its_fields_is_no_row() -> None:
    data = msgspec.json.decode(encode(row(sample())))
    del data["restarts"]
    with pytest.raises(StoreError, match="restarts"):
        decode(msgspec.json.encode(data))


def test_importing_rows_imports_no_scipy() -> None:
    script = "import sys, okrt.analysis.rows; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_execution_defaults_are_counted_as_nothing() -> None:
    one = row(episode(turn(execution=Execution("ok")), model=CARD, outcome=OUTCOME))
    assert (one.tool_calls, one.errors, one.missing_variable_errors) == (0, {}, 0)
