"""What a trace is refused for, one filter at a time, at its very edge."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.types import Ending, Episode, Outcome, Settings, Trajectory, Turn
from tests.analysis.build import CARD, TASK, ran, turn
from training.filters import Filters, alike, has_loop, is_error, reasons

FILTERS = Filters()


def episode(*turns: Turn, score: float = 1.0, ending: Ending = "finished") -> Episode:
    trajectory = Trajectory("go", turns or (turn(),), ending)
    outcome = Outcome(score, solved=False)
    return Episode("id", TASK, 0, "persistent", CARD, Settings(), "", trajectory, outcome)


def distinct(*words: str) -> list[Turn]:
    return [turn(reply=word, observation=f"saw {word}") for word in words]


FAILED = turn(execution=ran(status="raised", error_type="NameError"), reply="failed")


def test_a_good_trace_passes() -> None:
    assert reasons(episode(), 10, FILTERS) == ()


@pytest.mark.parametrize(("score", "refused"), [(0.5, ()), (0.49, ("score",)), (1.0, ())])
def test_a_low_score(score: float, refused: tuple[str, ...]) -> None:
    assert reasons(episode(score=score), 10, FILTERS) == refused


@pytest.mark.parametrize("ending", ["max_turns", "context", "token_budget"])
def test_a_task_that_was_not_finished(ending: Ending) -> None:
    assert reasons(episode(ending=ending), 10, FILTERS) == ("finish",)


@pytest.mark.parametrize(("tokens", "refused"), [(16_384, ()), (16_385, ("window",))])
def test_the_training_window(tokens: int, refused: tuple[str, ...]) -> None:
    assert reasons(episode(), tokens, FILTERS) == refused


def test_a_tenth_of_the_turns_may_fail() -> None:
    nine = distinct(*"abcdefghi")
    assert reasons(episode(*nine, FAILED), 10, FILTERS) == ()
    assert reasons(episode(*nine[:8], FAILED), 10, FILTERS) == ("errors",)


def test_some_failures_pass_however_short_the_episode() -> None:
    one = episode(*distinct("a"), FAILED)
    two = episode(*distinct("a"), FAILED, *distinct("b"), FAILED)
    assert reasons(one, 10, replace(FILTERS, error_turns=1)) == ()
    assert reasons(two, 10, replace(FILTERS, error_turns=1)) == ("errors",)


@pytest.mark.parametrize(
    ("one", "error"),
    [
        (turn(), False),
        (turn(execution=ran(status="cap", error_type="ToolCapExceeded")), False),
        (turn(execution=ran(status="raised", error_type="ToolError")), False),
        (turn(execution=ran(status="raised", error_type="NameError")), True),
        (turn(execution=ran(status="timeout")), True),
        (turn(execution=ran(None, status="died")), True),
        (turn(code=None), True),
    ],
    ids=["ok", "cap", "tool error", "exception", "timeout", "died", "no block"],
)
def test_what_counts_as_an_error(one: Turn, error: bool) -> None:
    assert is_error(one) is error


def test_four_alike_in_a_row_are_a_loop() -> None:
    same, other = turn(reply="again and again"), turn(reply="x", observation="y")
    assert has_loop([same] * 4)
    assert has_loop([other, *[same] * 4, other])
    assert not has_loop([same] * 3)
    assert not has_loop([same, same, same, other, same, same, same])
    assert reasons(episode(*[same] * 4), 10, FILTERS) == ("loop",)
    assert reasons(episode(*[same] * 4), 10, replace(FILTERS, refuse_loops=False)) == ()


def test_the_same_block_that_shows_something_new_is_no_loop() -> None:
    steps = [turn(reply="next", observation=f"item {n} seen") for n in range(8)]
    assert not has_loop(steps)


@pytest.mark.parametrize(("shared", "loop"), [(90, False), (91, True)])
def test_over_nine_tenths_is_alike(shared: int, loop: bool) -> None:
    common = " ".join(f"w{n}" for n in range(shared))
    turns = [
        turn(reply=common, observation=" ".join(f"{t}x{n}" for n in range(100 - shared)))
        for t in range(4)
    ]
    assert alike(*turns[:2]) == pytest.approx(shared / 100)
    assert has_loop(turns) is loop


texts = st.text(alphabet="ab \n", max_size=30)
turns = st.builds(lambda reply, seen: turn(reply=reply, observation=seen), texts, texts)


@given(turns, turns)
def test_likeness_is_a_share_that_goes_both_ways(one: Turn, other: Turn) -> None:
    assert 0 <= alike(one, other) <= 1
    assert alike(one, other) == alike(other, one)
    assert alike(one, one) in (0, 1)  # 0: without a word


def test_several_reasons_are_all_told() -> None:
    bad = episode(*[FAILED] * 4, score=0.0, ending="max_turns")
    assert reasons(bad, 20_000, FILTERS) == ("score", "finish", "loop", "errors", "window")


def test_an_episode_broken_off_is_not_judged() -> None:
    with pytest.raises(ValueError, match="was broken off"):
        reasons(replace(episode(), outcome=None), 10, FILTERS)
