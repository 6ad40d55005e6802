"""One line that says how far long work is."""

from __future__ import annotations

import io

import pytest

from okrt.progress import Line, rewrites
from tests.terminal import Screen, terminal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_at_a_terminal_one_line_is_rewritten_and_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    clock = Clock()
    with terminal(columns=20) as (stream, written):
        line = Line(stream, pause_s=1, clock=clock)
        line.tell("a text that is too long for it")
        line.tell(lambda: pytest.fail("asked for a text that is not shown"))
        clock.now += 1
        line.tell(lambda: "short")
        line.close()
        line.close()
        stream.write("said")
    (shown,) = written
    assert shown == "\ra text that is too \x1b[K\rshort\x1b[K\r\x1b[Ksaid"
    assert Screen(3, 20).feed(shown).lines == ["said"]


def test_elsewhere_it_says_nothing_or_a_line_now_and_then() -> None:
    clock, quiet, log = Clock(), io.StringIO(), io.StringIO()
    silent, now_and_then = Line(quiet, clock=clock), Line(log, piped_s=10, clock=clock)
    for second in range(25):
        clock.now = second
        silent.tell("text")
        now_and_then.tell(f"after {second} s")
    silent.close()
    now_and_then.close()
    assert (quiet.getvalue(), log.getvalue()) == ("", "after 10 s\nafter 20 s\n")


def test_a_dumb_terminal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with terminal() as (stream, written):
        assert not rewrites(stream)
        Line(stream).tell("text")
    assert written == [""]
