"""How long a cell may take."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic

from okrt.errors import OkrtError


class NotRun(OkrtError):
    """The time of a cell was over before its case had ended; nothing is known of the model."""


class CellClock:
    """Measures the time of each cell from when it is first asked for."""

    def __init__(self, minutes: float | None, now: Callable[[], float] = monotonic) -> None:
        self._minutes, self._now = minutes, now
        self._began: dict[Hashable, float] = {}

    def is_over(self, cell: Hashable) -> bool:
        began = self._began.setdefault(cell, self._now())
        return self._minutes is not None and self._now() - began >= 60 * self._minutes

    def not_run(self) -> NotRun:
        return NotRun(
            f"not run: the {self._minutes:g} minutes of its cell (--okrt-cell-minutes) were over"
        )
