"""The gates of a session: decided when its record is closed, and when it has none.

A job of GitHub Actions is told of the outcome, with gates and without.
"""

from __future__ import annotations

from okrt.engines.record import NO_GATES, Record, shown
from okrt.errors import StoreError
from okrt.gates.deciding import asked_in, decided, write
from okrt.gates.decision import Decision, Run
from okrt.gates.file import GateFile
from okrt.gates.words import as_json, lines
from okrt.report import github
from okrt.selection.arguments import Options


class SessionGates:
    """Decides once, where gates were given, whatever became of the session."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.decision: Decision | None = None
        """None: none were given, or the session is not over."""
        self.not_written = ""
        """Why `gates.json` could not be written, or nothing."""
        self._annotations: list[str] = []

    def decide(self, record: Record, *problems: str) -> bool:
        """Decides by a record that is closed, or was never opened; writes `gates.json` into its
        run directory. Returns whether the session may end with 0: no gates, or all passed.

        `problems` are what the session did in the place of running what was asked.
        """
        if self._options.gates is not None:
            self.decision = self._decided(self._options.gates, record, problems)
        told = None if self.decision is None else as_json(self.decision)
        if told is not None or record.is_open:
            self._annotations = github.tell(told, lambda: record.results, shown(record.path))
        return self.decision is None or (self.decision.verdict == "pass" and not self.not_written)

    def _decided(self, file: GateFile, record: Record, problems: tuple[str, ...]) -> Decision:
        run, rows = record.held
        if not record.is_open and not problems:
            problems = ("no case was run: none was collected, or all were deselected",)
        if record.not_written:
            problems = (*problems, f"not written: {record.not_written}")
        asked = asked_in(run) if record.is_open else self._options.asked  # by all of its sessions
        found = decided(file, asked, Run(run, rows, problems), self._options.baseline)
        if record.is_open:
            try:
                write(record.path, found)
            except StoreError as error:
                self.not_written = str(error)
        return found

    @property
    def lines(self) -> list[str]:
        """What a summary ends in."""
        if self.decision is None:
            return [NO_GATES, *self._annotations]
        more = [f"gates.json was not written: {self.not_written}"] if self.not_written else []
        return [*more, *lines(self.decision), *self._annotations]
