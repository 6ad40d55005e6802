"""The interpreter of smolagents: `LocalPythonExecutor`, one for each session, in one process."""

from __future__ import annotations

import threading
from typing import Any

from smolagents.local_python_executor import LocalPythonExecutor

from okrt.errors import SpecError
from okrt.probe.target import Answer, TargetSpec


class SmolagentsSession:
    """Nothing stops a block of this executor from outside: one that is late is waited for before
    the next."""

    def __init__(self, imports: list[str]) -> None:
        self._executor: Any = LocalPythonExecutor(imports)
        self._executor.send_tools({})  # print and its like
        self._late: threading.Thread | None = None

    def run(self, code: str, timeout_s: float) -> Answer:
        answers: list[Answer] = []
        before = self._late

        def work() -> None:
            if before is not None:
                before.join()
            answers.append(self._run(code))

        self._late = threading.Thread(target=work, daemon=True)
        self._late.start()
        self._late.join(timeout_s)
        return answers[0] if answers else Answer("", "timeout")

    def _run(self, code: str) -> Answer:
        try:
            return Answer(str(self._executor(code).logs))
        except Exception as error:  # what an agent is shown: what was printed, then the error
            return Answer(f"{self._executor.state['_print_outputs']}{error}", "error")

    def close(self) -> None:
        """An executor has nothing to close."""


class SmolagentsTarget:
    def __init__(self, imports: list[str]) -> None:
        self._imports = imports

    def open(self) -> SmolagentsSession:
        try:
            return SmolagentsSession(self._imports)
        except Exception as error:  # it is picky about modules that are not installed
            raise SpecError(f"smolagents:{','.join(self._imports)}: {error}") from None

    def close(self) -> None:
        """Likewise."""


def make(spec: TargetSpec) -> SmolagentsTarget:
    return SmolagentsTarget([name for name in spec.detail.split(",") if name])
