"""How fast the episodes of a session come, and what shows in them so far."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from okrt.analysis.rows import Row


class Pace:
    """Counts the episodes of this session, from now on; what earlier sessions left is not in it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._episodes = self._tokens = self._counted = self._missing = 0
        self._measured = True

    def add(self, row: Row) -> None:
        """Takes note of an episode."""
        self._episodes += 1
        if row.missing_variable_errors is not None:
            self._counted += 1
            self._missing += row.missing_variable_errors > 0
        if row.completion_tokens is not None:
            self._tokens += row.completion_tokens
        elif row.failure is None:
            self._measured = False

    def text(self, done: int, total: int) -> str:
        """Returns one line, what matters most first: `done` of `total` are on disk, those of
        earlier sessions included. Tokens are those generated."""
        parts = [f"{done:,}/{total:,} episodes"]
        if self._episodes:
            rate = self._episodes / max(self._clock() - self._started, 1e-9)
            parts += [f"{_time((total - done) / rate)} left", f"{rate:.1f}/s"]
            if self._measured:
                tokens = rate * self._tokens / self._episodes
                parts.append(f"{tokens:,.0f} tokens/s")
        if self._counted:
            parts.append(f"missing variables {self._missing / self._counted:.0%}")
        return ", ".join(parts)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
