from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.report.plain import one_line, plain
from okrt.report.transcript import transcript
from okrt.types import Completion, Episode, Execution, Failure, Usage
from tests.analysis.build import episode, episodes, law, missing, ran, sample, turn

SAMPLE = """\
episode   0f3a
task      opaque_knapsack/easy/eval/17@1, repeat 0
model     expert:persistent (expert:persistent, trained under persistent)
contract  stateless
prompts   matched, cue none, names off, format fenced, thinking off
limits    25 tool calls a turn, 40 turns, 2048 new tokens a reply
outcome   score 0.900, not solved, floor_score 0.7, reference_score 0.95, selection_score 1, taken 9
tokens    752 in all, 242 new, 92 generated

prompt
  | Fill the knapsack.

turn 1: 100 tokens read, 30 generated
reply
  | Look first.
  | ```python
  | import json
  | seen = {i: json.loads(inspect(i)) for i in ids}
  | print(seen)
  | ```
block: ok; tool calls: inspect x2
observation
  | {'item_1': 7, 'item_2': 9}

turn 2: 150 tokens read, 10 generated
reply
  | ```python
  | print(seen)
  | ```
block: raised (NameError); tool calls: none
missing variable: lost (seen)
observation
  | NameError: name 'seen' is not defined

turn 3: 180 tokens read, 40 generated
reply
  | It is gone.
  | ```python
  | import json
  | seen = {'item_1': 7}
  | print(inspect('item_1'))
  | ```
block: ok; tool calls: inspect x1; 1 refused beyond the cap
observation
  | 7

turn 4: 230 tokens read, 12 generated
reply
  | ```python
  | take_item('item_1')
  | finish()
  | ```
block: ok; tool calls: take_item x1 (1 with an error), finish x1

ending: finished
"""


def test_transcript_of_the_sample() -> None:
    assert transcript(sample()) == SAMPLE


def test_a_failed_episode_says_what_failed() -> None:
    text = transcript(episode(failure=Failure("model", "ConnectionError", "refused\x1b[2J")))
    assert "outcome   none: model failed, ConnectionError: refused\\x1b[2J\n" in text
    assert text.endswith("no trajectory: the episode was broken off\n")
    assert "tokens    not measured in all" in text


def test_a_reply_that_was_not_one_clean_block_says_so() -> None:
    cut = Completion("thoughts", "length", Usage())
    one = replace(
        turn(None), completion=cut, reply_problem="no_block", discarded_chars=12, observation="hm"
    )
    text = transcript(episode(one))
    assert "turn 1: not measured tokens read, not measured generated" in text
    assert "reply (cut by the length limit)" in text
    assert "12 more characters were dropped from the history" in text
    assert "problem: no_block" in text
    assert "block: none was run" in text


def test_what_the_last_block_put_out_is_shown_as_unseen() -> None:
    last = turn(execution=Execution("raised", "done\n", error="KeyError: 1"), observation="")
    text = transcript(episode(last))
    assert "output (not shown to the model)\n  | done\n  | KeyError: 1\n" in text


def test_a_restart_and_an_unknown_name_are_said() -> None:
    died = turn(execution=ran(None, status="died", restarted=True))
    text = transcript(episode(died, turn(execution=missing(None))))
    assert "block: died; tool calls: none; the session starts empty\n" in text
    assert "missing variable: undefined (its name is not known)" in text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb", "a\\rb"),
        ("a\x08b\x7f", "a\\x08b\\x7f"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eabc", "\\u202eabc"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("tab\tand é stay", "tab\tand é stay"),
    ],
)
def test_control_characters_are_escaped(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown
    assert shown in transcript(episode(turn(reply=hostile, observation=hostile)))


def test_one_line_is_one_line_and_bounded() -> None:
    assert one_line("a\n  b\x0bc\x00") == "a b c\\x00"
    assert one_line("x" * 300) == "x" * 197 + "..."


def test_a_reply_cannot_pass_for_the_transcript() -> None:
    forged = "```\n\nturn 2: 1 tokens read\nblock: ok\n\nending: finished"
    name = "E)\nending: finished"
    bad = Execution("raised", error_type=name, missing_name=name, bound_names=())
    text = transcript(episode(turn(execution=bad, reply=forged, observation=forged), id="a\nb"))
    assert [line for line in text.splitlines() if line.startswith(("turn", "ending"))] == [
        "turn 1: 10 tokens read, 5 generated",
        "ending: finished",
    ]


@law
@given(episodes())
def test_any_episode_has_a_safe_transcript(one: Episode) -> None:
    text = transcript(one)
    assert text.endswith("\n")
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text if c not in "\n\t")


@law
@given(st.text())
def test_plain_text_is_encodable(text: str) -> None:
    plain(text).encode()
    one_line(text).encode()
