"""What a running evaluation says of itself."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from okrt.analysis.rows import row
from okrt.cli import main
from okrt.engines.pace import Pace
from okrt.types import Failure
from tests.analysis.build import sample
from tests.terminal import terminal

LOST = row(sample())  # 92 tokens generated, one missing variable
FINE = replace(LOST, missing_variable_errors=0)
BROKEN = replace(
    LOST, missing_variable_errors=None, completion_tokens=None, failure=Failure("model", "E", "m")
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_says_how_many_how_fast_and_how_long_still() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.text(30, 100) == "30/100 episodes"  # what an earlier session left is no pace
    for one in (LOST, FINE, FINE, BROKEN):
        pace.add(one)
    clock.now = 2.0
    assert pace.text(34, 100) == (
        "34/100 episodes, 33 s left, 2.0/s, 138 tokens/s, missing variables 33%"
    )


@pytest.mark.parametrize(
    ("seconds", "left"), [(1, "89 s"), (2, "3 min"), (60, "89 min"), (120, "3.0 h")]
)
def test_time_left_is_in_a_unit_that_fits(seconds: float, left: str) -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.add(FINE)
    clock.now = seconds
    assert f", {left} left, " in pace.text(1, 90)


def test_tokens_that_nobody_counted_are_not_0() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.add(replace(FINE, completion_tokens=None))
    clock.now = 1.0
    assert pace.text(1, 2) == "1/2 episodes, 1 s left, 1.0/s, missing variables 0%"


RUN = ["run", "--model", "expert:stateless", "--runtime", "stateless", "--tier", "micro"]


def test_okrt_run_shows_it_at_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with terminal() as (stream, written):
        monkeypatch.setattr(sys, "stderr", stream)
        assert main([*RUN, "--seeds", "2", "--out", str(tmp_path / "run")]) == 0
    (shown,) = written
    assert shown.startswith("\rokrt: 1/2 episodes, ")
    assert shown.endswith("\r\x1b[K")


def test_okrt_run_says_nothing_of_it_in_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--seeds", "1", "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "\x1b" not in shown.out
