"""Colour: where it is wanted, and never a difference in what is read."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.report.colour import colours, painted, unpainted
from okrt.report.plain import pieces, plain, plain_json
from okrt.report.tables import terminal as tables
from okrt.report.transcript import transcript
from okrt.types import Failure
from tests.analysis.build import episode, episodes, law, sample, turn
from tests.report.test_tables import cross, experts
from tests.terminal import terminal

few = settings(law, max_examples=20)
HOSTILE = "\x1b[31mred\x1b[0m\x9b1m\u202eabc\u2066\r\x07 turn 9: 1 tokens read"


def unpaint(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.parametrize(
    ("environment", "at_terminal", "piped"),
    [
        ({"TERM": "xterm"}, True, False),
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_who_has_colours(environment: dict[str, str], at_terminal: bool, piped: bool) -> None:
    with terminal() as (stream, _):
        assert colours(stream, environment) == at_terminal
    assert colours(io.StringIO(), environment) == piped


def test_tables_read_the_same_in_colour_at_any_width() -> None:
    for width in (30, 80, 100):
        shown = tables(experts(), width, paint=painted)
        assert unpaint(shown) == tables(experts(), width)
        assert tables(experts(), width, paint=unpainted) == tables(experts(), width)


def test_in_tables_what_went_wrong_is_marked_and_nothing_else() -> None:
    shown = tables(experts(), 100, paint=painted)
    lost = painted("lost", "100.0% [29.2, 100.0]")
    assert shown.count(lost) == 2  # missing and lost, of the one cell away from home
    assert shown.count("\x1b[1;35m") == 2
    assert tables(cross("m"), 100, paint=painted).count("\x1b[1;35m") == 4  # equal side by side
    assert painted("heading", "expert:persistent") in shown
    failed = [line for line in shown.splitlines() if line.startswith("  infrastructure failures")]
    assert [line.count("\x1b[31m") for line in failed] == [0, 1]


@few
@given(episodes())
def test_transcripts_read_the_same_in_colour(one: object) -> None:
    shown = transcript(one, paint=painted)  # type: ignore[arg-type]  # an episode
    assert unpaint(shown) == transcript(one)  # type: ignore[arg-type]


def test_in_a_transcript_code_losses_and_errors_are_marked() -> None:
    shown = transcript(sample(), paint=painted).splitlines()
    assert painted("heading", "turn 2: 150 tokens read, 10 generated") in shown
    assert painted("code", "  | print(seen)") in shown
    assert "  | ```python" in shown  # the fence is no code
    assert painted("bad", "block: raised (NameError); tool calls: none") in shown
    assert painted("lost", "missing variable: lost (seen)") in shown
    broken = transcript(episode(failure=Failure("model", "E", "gone")), paint=painted)
    assert painted("bad", "no trajectory: the episode was broken off") in broken


def test_nothing_that_a_model_says_colours_or_moves_anything() -> None:
    one = episode(turn(HOSTILE, reply=HOSTILE, observation=HOSTILE))
    shown = transcript(one, 60, painted)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", unpaint(shown))


@few
@given(episodes(), st.integers(0, 60))
def test_a_line_that_is_broken_for_a_terminal_keeps_its_bar(one: object, width: int) -> None:
    """Or what a model wrote could pass for a line of the transcript."""
    whole = transcript(one)  # type: ignore[arg-type]
    shown = transcript(one, width)  # type: ignore[arg-type]
    assert all(len(line) <= max(width, 20) for line in shown.splitlines())
    starts = {line[:8] for line in whole.splitlines() if not line.startswith("  |")}
    for line in shown.splitlines():
        assert line.startswith(("  | ", "  |", "  : ", "    ")) or line[:8] in starts


def test_a_line_is_broken_by_what_it_takes_on_the_screen() -> None:
    one = episode(turn(None, reply="x" * 40 + " turn 2: 1 tokens read"))
    shown = transcript(one, 44)
    assert f"  | {'x' * 40}\n  :  turn 2: 1 tokens read\n" in shown
    assert list(pieces("漢字漢字", 5)) == ["漢字", "漢字"]
    assert list(pieces("e\u0301e\u0301e\u0301", 2)) == ["e\u0301e\u0301", "e\u0301"]
    assert list(pieces("", 5)) == [""]
    assert list(pieces("漢", 1)) == ["漢"]


@law
@given(st.text())
def test_json_reads_the_same_and_steers_no_terminal(text: str) -> None:
    shown = plain_json(msgspec.json.encode(text))
    assert msgspec.json.decode(shown) == text
    assert plain(shown) == shown


def test_json_of_a_hostile_text_is_ascii_where_it_matters() -> None:
    shown = plain_json(msgspec.json.encode([HOSTILE, "\U000e0041"]))
    assert plain(shown) == shown
    assert msgspec.json.decode(shown) == [HOSTILE, "\U000e0041"]


def test_a_very_long_line_is_shown() -> None:
    one = episode(turn(None, reply="x" * 50_000))
    shown = transcript(replace(one, id="y" * 10_000), 80)
    assert max(map(len, shown.splitlines())) <= 80
