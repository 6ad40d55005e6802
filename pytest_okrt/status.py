"""How far a session is: one line beneath those of pytest, at a terminal alone.

It stands in the row below the cursor, which is left where pytest had it, and it is gone whenever
pytest is about to write. So pytest's dots, and its reckoning of where its line ends, stay as they
are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

import pytest

from okrt.progress import PAUSE_S, rewrites

_MAKE_ROOM = "\x1bD\x1b[A"
"""Down by one row, which scrolls at the screen's end, and up again: the row below is there."""
_BELOW, _BACK = "\x1b7\x1b[B\r", "\x1b[K\x1b8"
_CLEAR = "\x1b[J"
"""From the cursor to the screen's end: the rest of the line, which is empty, and the rows below."""


class Reporter(Protocol):
    """pytest's own, as far as it is asked."""

    def flush(self) -> None: ...


class Status:
    """A plugin that shows a text below what pytest writes.

    Args:
        reporter: who writes above.
        text: asked for what is to be shown, on one line.
    """

    def __init__(self, reporter: Reporter, text: Callable[[], str]) -> None:
        self._reporter, self._ask = reporter, text
        self._terminal = os.dup(sys.stdout.fileno())
        """Not what standard output is while a test runs: pytest captures that."""
        self._shown = self._writing = False
        self._text = ""
        self._asked = 0.0

    def show(self) -> None:
        """Shows how things stand, unless pytest is writing, who is followed at once."""
        if not self._writing:
            self._draw()

    def clear(self) -> None:
        """Takes the line away: somebody else is to write."""
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    def close(self) -> None:
        """Takes the line away for good."""
        if self._terminal >= 0:
            self.clear()
            self._writing = True
            os.close(self._terminal)
            self._terminal = -1

    def _draw(self) -> None:
        if not self._text or monotonic() - self._asked > PAUSE_S:
            self._text, self._asked = self._ask(), monotonic()
        elif self._shown:
            return
        try:
            width = os.get_terminal_size(self._terminal).columns
        except OSError:  # it has gone
            return
        self._shown = True
        self._write(f"{_MAKE_ROOM}{_BELOW}{self._text[: width - 1]}{_BACK}")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # it has gone
            os.write(self._terminal, text.encode())

    def _around(self) -> Generator[None, Any, Any]:
        if self._terminal < 0:
            return (yield)
        self.clear()
        self._writing = True
        found = yield
        self._writing = False
        self._reporter.flush()
        self._draw()
        return found

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, Any, Any]:
        return (yield from self._around())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, Any, Any]:
        return (yield from self._around())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, Any, Any]:
        return (yield from self._around())

    @pytest.hookimpl(wrapper=True, tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self) -> Generator[None, Any, Any]:
        return (yield from self._around())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self.clear()  # with -s, what fixtures and tests print is written at once

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        self.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_exception_interact(self) -> None:
        self.clear()


def status(config: pytest.Config, text: Callable[[], str]) -> Status | None:
    """Returns the line of a session, registered as a plugin; None where nobody watches, or pytest
    is to be quiet, or writes at any moment (live logs)."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or not reporter.isatty or config.getoption("verbose") < 0:
        return None
    if not rewrites(sys.stdout) or _logs(config):
        return None
    found = Status(reporter, text)
    config.pluginmanager.register(found, "okrt-status")
    return found


def _logs(config: pytest.Config) -> bool:
    if not config.pluginmanager.hasplugin("logging"):
        return False
    return bool(config.getini("log_cli")) or config.getoption("log_cli_level") is not None
