"""Targets of a user's own, good and bad, named as `tests.probe.fakes:NAME`."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
from collections.abc import Callable

from okrt.probe.target import Answer


def execute(code: str, names: dict[str, object]) -> Answer:
    """Runs a block in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            exec(code, names)
        except BaseException:
            traceback.print_exc()
            return Answer(out.getvalue(), "error")
    return Answer(out.getvalue())


class Fake:
    """A session, and the target that gives it out: `run` is the only thing that differs."""

    def __init__(self, run: Callable[[str], Answer], ends: Callable[[], None] = lambda: None):
        self._run = run
        self._ends = ends

    def open(self) -> Fake:
        return self

    def run(self, code: str, timeout_s: float) -> Answer:
        return self._run(code)

    def close(self) -> None:
        self._ends()


def keeps() -> Fake:
    """Keeps its names, in one namespace for all sessions."""
    names: dict[str, object] = {}
    return Fake(lambda code: execute(code, names))


def resets_on_error() -> Fake:
    names: dict[str, object] = {}

    def run(code: str) -> Answer:
        answer = execute(code, names)
        if answer.status == "error":
            names.clear()
        return answer

    return Fake(run)


def resets_every_fifth() -> Fake:
    names: dict[str, object] = {}
    count = 0

    def run(code: str) -> Answer:
        nonlocal count
        count += 1
        if count % 5 == 0:
            names.clear()
        return execute(code, names)

    return Fake(run)


def keeps_functions() -> Fake:
    """Keeps what can be called and what is imported, and no data."""
    names: dict[str, object] = {}

    def run(code: str) -> Answer:
        answer = execute(code, names)
        for name in [n for n, value in names.items() if isinstance(value, str | int | float)]:
            del names[name]
        return answer

    return Fake(run)


def hides_output() -> Fake:
    """Shows nothing after the first block: nothing can be observed."""
    names: dict[str, object] = {}
    shown = False

    def run(code: str) -> Answer:
        nonlocal shown
        answer = execute(code, names)
        answer, shown = (Answer("done") if shown else answer), True
        return answer

    return Fake(run)


def hangs_on_close() -> Fake:
    names: dict[str, object] = {}
    return Fake(lambda code: execute(code, names), lambda: time.sleep(600))


def never_returns() -> Fake:
    return Fake(lambda code: time.sleep(600) or Answer(""))  # type: ignore[func-returns-value]


def floods() -> Fake:
    def run(code: str) -> Answer:
        parts: list[str] = []
        while True:
            parts.append(str(len(parts)) * (1 << 22))

    return Fake(run)


def answers_text() -> Fake:
    return Fake(lambda code: "6 * 7 = 42")  # type: ignore[arg-type,return-value]


def prints_surrogates() -> Fake:
    names: dict[str, object] = {}
    return Fake(lambda code: Answer(f"\ud800\x1b[31m{execute(code, names).text}\x00"))


class Incomplete:
    def open(self) -> None:
        """It cannot be closed."""
