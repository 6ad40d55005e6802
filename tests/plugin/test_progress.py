"""A long run says how far it is to who sits at a terminal, and leaves pytest's lines alone."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_okrt.status import Status, status
from tests.plugin.conftest import EVALUATION, ROOT
from tests.terminal import Screen, run_in_terminal, terminal

LINE = re.compile(r"okrt: \d+/8 episodes, \d+ s left, [\d.]+/s, [\d,]+ tokens/s, missing variables")
DOTS = "........ "
ROWS, COLUMNS = 7, 90


def play(folder: Path, *arguments: str) -> str:
    """Returns what a session of eight episodes writes to a small terminal."""
    (folder / "test_fit.py").write_text(EVALUATION)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "COLUMNS", "LINES"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    found, shown = run_in_terminal(command, folder, environment, ROWS, COLUMNS)
    assert found == 0, shown
    return shown


def screens(shown: str) -> list[list[str]]:
    """Returns the screen after each time that the cursor was put back, and at the end."""
    screen = Screen(ROWS, COLUMNS)
    found = []
    for part in re.split(r"(?<=\x1b8)", shown):
        found.append(screen.feed(part).lines)
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-v"], id="verbose"),
        pytest.param([], id="alone", marks=pytest.mark.thorough),
        pytest.param(["-n", "2", "-v"], id="n2", marks=pytest.mark.thorough),
        pytest.param(["-s"], id="s", marks=pytest.mark.thorough),
    ],
)
def test_at_a_terminal_a_line_stands_below_those_of_pytest(
    tmp_path: Path, arguments: Sequence[str]
) -> None:
    shown = play(tmp_path, *arguments)
    *during, _ = screens(shown)
    assert LINE.search(shown)
    assert all(lines[-1].startswith("okrt: ") for lines in during)
    assert all(sum(line.startswith("okrt: ") for line in lines) == 1 for lines in during)
    # Taken out of what was written, nothing of it is left, and pytest wrote what it always does.
    rest = re.sub(r"\x1bD\x1b\[A\x1b7\x1b\[B\r[^\x1b]*\x1b\[K\x1b8|\x1b\[J", "", shown)
    assert "okrt: " not in rest
    assert Screen(200, COLUMNS).feed(shown).lines == Screen(200, COLUMNS).feed(rest).lines
    if not arguments:
        assert re.search(rf"test_fit.py {re.escape(DOTS)} +\[100%\]", uncoloured(rest))


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [["-q"], ["-n", "2", "-q"], ["-o", "log_cli=1"]])
def test_at_a_terminal_it_keeps_quiet_where_it_is_to(
    tmp_path: Path, arguments: Sequence[str]
) -> None:
    assert "episodes, " not in play(tmp_path, *arguments)


class Config:
    """Of a session: what the line asks of it."""

    def __init__(self, tty: bool, verbose: int, log_cli: bool) -> None:
        self.plugins: list[object] = []
        self.isatty, self.verbose, self.log_cli = tty, verbose, log_cli
        self.pluginmanager = self

    def getplugin(self, name: str) -> Config | None:
        return self if name == "terminalreporter" else None

    def hasplugin(self, name: str) -> bool:
        return name == "logging"

    def getoption(self, name: str) -> int | None:
        return {"verbose": self.verbose, "log_cli_level": None}[name]

    def getini(self, name: str) -> bool:
        return self.log_cli

    def register(self, plugin: object, name: str) -> None:
        self.plugins.append(plugin)

    def flush(self) -> None:
        """Nothing is held back."""


@pytest.mark.parametrize(
    ("tty", "verbose", "log_cli", "term", "watched"),
    [
        (True, 0, False, "xterm", True),
        (True, 2, False, "xterm", True),
        (False, 0, False, "xterm", False),
        (True, -1, False, "xterm", False),
        (True, 0, True, "xterm", False),
        (True, 0, False, "dumb", False),
    ],
)
def test_the_line_is_for_those_who_watch(
    monkeypatch: pytest.MonkeyPatch,
    tty: bool,
    verbose: int,
    log_cli: bool,
    term: str,
    watched: bool,
) -> None:
    monkeypatch.setenv("TERM", term)
    config: Any = Config(tty, verbose, log_cli)
    with terminal() as (stream, _):
        monkeypatch.setattr(sys, "stdout", stream)
        found = status(config, lambda: "text")
        monkeypatch.undo()
        assert (found is not None) == watched == bool(config.plugins)
        if found is not None:
            found.close()


def test_the_line_is_gone_while_others_write_and_for_good_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(columns=20) as (stream, written):
        monkeypatch.setattr(sys, "stdout", stream)
        line = Status(Config(True, 0, False), lambda: "okrt: a text too long for it")
        monkeypatch.undo()
        stream.write("test_a.py ")
        stream.flush()
        line.show()
        line.clear()
        line.clear()
        stream.write("..")
        stream.flush()
        line.show()
        line.close()
        line.close()
    (shown,) = written
    *during, last = [
        Screen(5, 20).feed(shown[: found.end()]).lines for found in re.finditer("\x1b8|$", shown)
    ]
    assert during == [
        ["test_a.py", "okrt: a text too lo"],
        ["test_a.py ..", "okrt: a text too lo"],
    ]
    assert last == ["test_a.py .."]
