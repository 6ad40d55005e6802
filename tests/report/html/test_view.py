from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from okrt.analysis.rows import row
from okrt.report.html.episodes import view
from okrt.types import Completion, Episode, Execution, Failure, ToolCall, ToolRequest, Turn, Usage
from tests.analysis.build import call, episode, episodes, law, missing, ran, sample, turn

GOLDEN: dict[str, Any] = {
    "id": "0f3a",
    "task": "opaque_knapsack/easy/eval/17@1",
    "repeat": 0,
    "model": "expert:persistent",
    "trained_under": "persistent",
    "contract": "stateless",
    "score": 0.9,
    "solved": False,
    "ending": "finished",
    "tokens": {"prompt": 660, "completion": 92},
    "prompt": "Fill the knapsack.",
    "turns": [
        {
            "said": "Look first.",
            "tokens": {"prompt": 100, "completion": 30, "fresh": 100},
            "observation": "{'item_1': 7, 'item_2': 9}",
            "marks": [{"kind": "bound", "name": "seen", "line": 2, "missed": [2]}],
            "block": 1,
            "status": "ok",
            "calls": [["inspect", '"item_1"', '"{}"'], ["inspect", '"item_2"', '"{}"']],
            "names": {"lost": [], "kept": [], "new": ["json", "seen"], "deleted": []},
            "code": "import json\nseen = {i: json.loads(inspect(i)) for i in ids}\nprint(seen)",
            "colours": "6k40-3k3-2k6-5b",
        },
        {
            "tokens": {"prompt": 150, "completion": 10, "fresh": 20},
            "observation": "NameError: name 'seen' is not defined",
            "marks": [{"kind": "lost", "name": "seen", "line": 1, "bound": [1, 2]}],
            "block": 2,
            "status": "raised",
            "error_type": "NameError",
            "error": "NameError: name 'seen' is not defined",
            "names": {"lost": ["json", "seen"], "kept": [], "new": [], "deleted": []},
            "code": "print(seen)",
            "colours": "5b",
        },
        {
            "said": "It is gone.",
            "tokens": {"prompt": 180, "completion": 40, "fresh": 20},
            "observation": "7",
            "marks": [
                {"kind": "rewritten", "name": "json", "line": 1, "bound": [1, 1], "alive": False},
                {"kind": "rewritten", "name": "seen", "line": 2, "bound": [1, 2], "alive": False},
            ],
            "block": 3,
            "status": "ok",
            "calls": [["inspect", '"item_1"', '"{}"']],
            "refused": 1,
            "names": {"lost": [], "kept": [], "new": ["json", "seen"], "deleted": []},
            "code": "import json\nseen = {'item_1': 7}\nprint(inspect('item_1'))",
            "colours": "6k14-8s2-1n2-5b9-8s",
        },
        {
            "tokens": {"prompt": 230, "completion": 12, "fresh": 10},
            "block": 4,
            "status": "ok",
            "calls": [["take_item", '"item_1"', None, "ToolError: no"], ["finish", "", '"{}"']],
            "names": {"lost": ["json", "seen"], "kept": [], "new": [], "deleted": []},
            "code": "take_item('item_1')\nfinish()",
            "colours": "10-8s",
        },
    ],
}


def turns(*made: Turn, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = view(episode(*made, **fields))["turns"]
    return found


def marks(*made: Turn) -> list[list[dict[str, Any]]]:
    return [one.get("marks", []) for one in turns(*made)]


def written(reply: str, code: str | None, **fields: Any) -> Turn:
    """A turn whose completion is its reply."""
    return replace(turn(code, reply=reply), **fields)


def test_the_view_of_the_sample() -> None:
    assert view(sample()) == GOLDEN


def test_an_episode_without_a_trajectory_says_what_failed() -> None:
    found = view(episode(failure=Failure("model", "ConnectionError", "<b>refused")))
    assert found["failure"] == "model failed, ConnectionError: <b>refused"
    assert "turns" not in found
    assert "score" not in found


# -- what was written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        ("Look.\n```python\nx = 1\n```\n", "x = 1\n", "Look."),
        ("```\n\nx = 1\n```", "\nx = 1\n", ""),
        ("x = 1 it is\n```py\nx = 1\n```", "x = 1\n", "x = 1 it is"),
        ("Look.\n<code>\nx = 1\n</code>", "x = 1\n", "Look."),
        ("Cut\n```python\nx = 1", None, "Cut\n```python\nx = 1"),
        ("no such block", "x = 1\n", "no such block"),
    ],
)
def test_what_stands_before_the_block_is_told_from_it(
    reply: str, code: str | None, said: str
) -> None:
    (found,) = turns(written(reply, code))
    assert found.get("said", "") == said


@pytest.mark.parametrize("kept", [False, True])
def test_thinking_and_what_was_dropped_stand_apart(kept: bool) -> None:
    block = "Go.\n```python\nx = 1\n```"
    thought = "<think>x = 1\nthen?</think>"
    whole = f"{thought}\n{block}\nObservation: 1"
    one = replace(
        written(f"{thought}\n{block}" if kept else block, "x = 1\n", discarded_chars=15),
        completion=Completion(whole, "length", Usage(), looped=True),
    )
    (found,) = turns(one)
    assert found["thought"] == thought
    assert found["said"] == "Go."
    assert found["dropped"] == "Observation: 1"
    assert found["cut"]
    assert found["looped"]


def test_a_call_is_shown_as_its_code() -> None:
    reply = 'Look.\n<tool_call>\n{"name": "python", "arguments": {"code": "x = 1"}}\n</tool_call>'
    request = ToolRequest("1", "python", '{"code": "x = 1"}', reply.index("<tool_call>"))
    (found,) = turns(written(reply, "x = 1", call=request))
    assert found["said"] == "Look."
    assert found["code"] == "x = 1"
    (unread,) = turns(written(reply, None, call=replace(request, name="rm")))
    assert unread["asked"] == 'rm({"code": "x = 1"})'
    assert "code" not in unread


# -- names and tokens ------------------------------------------------------------------------------


def test_names_are_told_apart_by_what_became_of_them() -> None:
    first = turn(execution=ran(("a", "b", "c")))
    second = turn(execution=ran(("b", "d"), ("b", "c")))
    died = turn(execution=ran(None, ("b", "d"), status="died", restarted=True))
    unsaid = turn(execution=ran(("e",), None))
    found = turns(first, second, turn(None), died, turn(execution=ran()), unsaid)
    assert found[1]["names"] == {"lost": ["a"], "kept": ["b"], "new": ["d"], "deleted": ["c"]}
    assert found[3]["names"] == {"lost": [], "before": ["b", "d"]}
    assert found[3]["restarted"]
    assert found[4]["names"]["lost"] == ["b", "d"]
    assert "names" not in found[5]
    assert [one.get("block") for one in found] == [1, 2, None, 3, 4, 5]


# -- marks -----------------------------------------------------------------------------------------


def test_a_lost_name_is_marked_where_it_was_bound_and_wherever_it_was_missed() -> None:
    bind = turn("import os\nx = 1\nx = 2", execution=ran(("os", "x")))
    again = turn("y = 1\nx = 3", execution=ran(("x", "y")))
    error = 'File "<block 4>", line 2, in <module>\n  File "<block 2>", line 1, in f\nNameError: x'
    lose = turn("y = 1\nprint(x)", execution=replace(missing("x"), error=error))
    found = marks(bind, again, turn(None), turn(), lose, turn("x", execution=missing("x")))
    assert found[0] == []
    assert found[1][-1] == {"kind": "bound", "name": "x", "line": 2, "missed": [5, 6]}
    lost = [mark for mark in found[4] if mark["kind"] == "lost"]
    assert lost == [{"kind": "lost", "name": "x", "line": 2, "bound": [2, 2]}]
    assert found[5] == [{"kind": "lost", "name": "x", "line": 1, "bound": [2, 2]}]


def test_a_name_bound_out_of_sight_is_marked_on_its_turn() -> None:
    found = marks(turn("exec('x = 1')", execution=ran(("x",))), turn("x", execution=missing("x")))
    assert found[0] == [{"kind": "bound", "name": "x", "line": None, "missed": [2]}]
    assert found[1][0]["bound"] == [1, None]


def test_typos_and_undefined_names_are_marked_differently() -> None:
    found = view(
        replace(
            episode(
                turn("seen = 1", execution=ran(("seen",))),
                turn("\nsen", execution=missing("sen")),
                turn("inspct(1)", execution=missing("inspct")),
                turn("zebra", execution=missing("zebra")),
                turn("1 / 0", execution=missing(None)),
            ),
            tools=("inspect",),
        )
    )["turns"]
    assert [one["marks"] for one in found[1:]] == [
        [{"kind": "typo", "name": "sen", "line": 2, "near": "seen"}],
        [{"kind": "typo", "name": "inspct", "line": 1, "near": "inspect"}],
        [{"kind": "undefined", "name": "zebra", "line": 1}],
        [{"kind": "undefined", "name": None, "line": None}],
    ]


def test_a_guarded_loss_and_state_written_again_are_marked() -> None:
    guarded = "try:\n    state\nexcept NameError:\n    state = {}"
    first = turn("state = {}", execution=ran(("state",)))
    found = marks(first, turn(guarded, execution=ran(("state",))))
    assert found[0] == [{"kind": "bound", "name": "state", "line": 1, "missed": [2]}]
    assert found[1] == [{"kind": "guarded", "name": "state", "line": 2, "bound": [1, 1]}]
    needless = turn("state = {}", execution=ran(("state",), ("state",)))
    assert marks(first, needless)[1] == [
        {"kind": "rewritten", "name": "state", "line": 1, "bound": [1, 1], "alive": True}
    ]


def test_a_traceback_of_absurd_numbers_moves_no_mark() -> None:
    error = f'File "<block 1>", line {"9" * 5000}\nFile "<block 7>", line 3'
    found = marks(turn("a\nb", execution=replace(missing("b"), error=error)))
    assert found[0][0]["line"] == 2


# -- what others wrote -----------------------------------------------------------------------------

HOSTILE = "</script><script>alert(1)</script><!-- \x1b[2J \u202e \u2028 \0 \ud800 " + "x" * 100_000


def test_hostile_text_stands_in_the_view_unchanged_and_makes_no_key() -> None:
    calls = (ToolCall(HOSTILE, (HOSTILE,), {"a": HOSTILE}), call("inspect", error=HOSTILE))
    ran_so = Execution("ok", HOSTILE, bound_names=(HOSTILE,), carried_names=(), calls=calls)
    one = turn(HOSTILE, execution=ran_so, reply=HOSTILE, observation=HOSTILE)
    found = view(episode(one, replace(one, observation="")))
    assert found["turns"][0]["observation"] == found["turns"][0]["code"] == HOSTILE
    assert found["turns"][0]["calls"][0][0] == HOSTILE
    assert found["turns"][0]["calls"][1][3] == HOSTILE
    assert found["turns"][1]["unseen"] == HOSTILE
    assert json.loads(json.dumps(found)) == found


def test_what_is_no_number_is_left_out() -> None:
    nan = float("nan")
    one = episode(replace(turn(), timing={"sandbox_s": nan, "other_s": 0.12345678}))
    assert one.outcome is not None
    found = view(replace(one, outcome=replace(one.outcome, score=nan)))
    assert "score" not in found
    assert found["turns"][0]["seconds"] == {"other_s": 0.123457}


@law
@given(episodes())
def test_any_episode_has_a_view_that_adds_up_to_its_row(one: Episode) -> None:
    found, derived = view(one), row(one)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    made = found.get("turns", [])
    if derived.new_tokens is not None:
        tokens = [turn["tokens"] for turn in made]
        assert sum(used["fresh"] + used["completion"] for used in tokens) == derived.new_tokens
    kinds = [[mark["kind"] for mark in turn.get("marks", [])] for turn in made]
    every = Counter(kind for turn in kinds for kind in turn)
    assert every["lost"] == (derived.lost_errors or 0)
    assert every["typo"] == (derived.typo_errors or 0)
    assert every["undefined"] == (derived.undefined_errors or 0)
    assert every["rewritten"] == (derived.redefinitions or 0)
    assert sum("guarded" in turn for turn in kinds) == (derived.guarded_losses or 0)
    for number, shown in enumerate(made, start=1):
        for mark in shown.get("marks", []):
            assert mark.get("bound", [0])[0] < number
            assert all(missed > number for missed in mark.get("missed", ()))
