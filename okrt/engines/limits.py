"""How long a cell and a session may take."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic

from okrt.errors import OkrtError
from okrt.types import Episode


class NotRun(OkrtError):
    """Time or tokens were used up before a case had ended; nothing is known of the model."""


class CellClock:
    """Measures the time of each cell from when it is first asked for."""

    def __init__(self, minutes: float | None, now: Callable[[], float] = monotonic) -> None:
        self._minutes, self._now = minutes, now
        self._began: dict[Hashable, float] = {}

    def over(self, cell: Hashable) -> str:
        """Returns why a cell is over, or nothing."""
        began = self._began.setdefault(cell, self._now())
        if self._minutes is None or self._now() - began < 60 * self._minutes:
            return ""
        return f"the {self._minutes:g} minutes of its cell (--okrt-cell-minutes) were over"


class SessionLimits:
    """Measures a session from its beginning: its time, and the tokens of what it recorded."""

    def __init__(
        self, hours: float | None, tokens: int | None, now: Callable[[], float] = monotonic
    ) -> None:
        self._hours, self._tokens, self._now = hours, tokens, now
        self._began, self._spent = now(), 0

    @property
    def left_s(self) -> float | None:
        """Seconds that are left; None: no limit."""
        if self._hours is None:
            return None
        return max(0.0, 3600 * self._hours - (self._now() - self._began))

    def spend(self, episode: Episode) -> None:
        """Takes note of an episode. One whose tokens nobody counted has none."""
        if episode.trajectory is not None:
            usage = episode.trajectory.usage
            self._spent += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)

    def over(self) -> str:
        """Returns why the session is over, or nothing."""
        if self.left_s == 0:
            return f"the {self._hours:g} hours of the session (--okrt-max-hours) were over"
        if self._tokens is not None and self._spent >= self._tokens:
            return f"the {self._tokens:,} tokens of the session (--okrt-max-tokens) were spent"
        return ""
