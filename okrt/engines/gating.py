"""The gates of a session: decided when its record is closed, and when it has none."""

from __future__ import annotations

from okrt.engines.record import NO_GATES, Record
from okrt.errors import StoreError
from okrt.gates.deciding import asked_in, decided, write
from okrt.gates.decision import Decision, Run
from okrt.gates.words import lines
from okrt.selection.arguments import Options


class SessionGates:
    """Decides once, where gates were given, whatever became of the session."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.decision: Decision | None = None
        """None: none were given, or the session is not over."""
        self.not_written = ""
        """Why `gates.json` could not be written, or nothing."""

    def decide(self, record: Record, *problems: str) -> bool:
        """Decides by a record that is closed, or was never opened; writes `gates.json` into its
        run directory. Returns whether the session may end with 0: no gates, or all passed.

        `problems` are what the session did in the place of running what was asked.
        """
        file = self._options.gates
        if file is None:
            return True
        run, rows = record.held
        if not record.is_open and not problems:
            problems = ("no case was run: none was collected, or all were deselected",)
        if record.not_written:
            problems = (*problems, f"not written: {record.not_written}")
        asked = asked_in(run) if record.is_open else self._options.asked  # by all of its sessions
        self.decision = decided(file, asked, Run(run, rows, problems), self._options.baseline)
        if record.is_open:
            try:
                write(record.path, self.decision)
            except StoreError as error:
                self.not_written = str(error)
        return self.decision.verdict == "pass" and not self.not_written

    @property
    def lines(self) -> list[str]:
        """What a summary ends in."""
        if self.decision is None:
            return [NO_GATES]
        more = [f"gates.json was not written: {self.not_written}"] if self.not_written else []
        return [*more, *lines(self.decision)]
