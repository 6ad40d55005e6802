"""One line that says how far long work is, to whoever watches."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import TextIO

PAUSE_S = 0.2
"""Between two lines at a terminal: more than an eye follows."""
PIPED_S = 30.0
"""Between two lines of a log: of work that takes hours, enough to see that it goes on."""


class Line:
    """At a terminal one line, rewritten in place; elsewhere a line now and then, or nothing.

    Args:
        stream: where a person may be watching.
        pause_s: how long a line stands at a terminal before the next takes its place.
        piped_s: seconds between two lines where none can be rewritten; None: nothing is said there.
    """

    def __init__(
        self,
        stream: TextIO,
        pause_s: float = PAUSE_S,
        piped_s: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stream, self._clock = stream, clock
        self._rewrites = rewrites(stream)
        self._pause = pause_s if self._rewrites else piped_s
        self._next = clock() + (0.0 if self._rewrites else piped_s or 0.0)
        self._shown = False

    def tell(self, text: str | Callable[[], str]) -> None:
        """Shows the text, on one line, unless another was shown a moment ago."""
        if self._pause is None or self._clock() < self._next:
            return
        self._next = self._clock() + self._pause
        line = text if isinstance(text, str) else text()
        if self._rewrites:
            line = f"\r{line[: columns(self._stream) - 1]}\x1b[K"
        self._stream.write(line if self._rewrites else f"{line}\n")
        self._stream.flush()
        self._shown = True

    def close(self) -> None:
        """Takes the line away, so that something else can be said in its place."""
        if self._rewrites and self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def rewrites(stream: TextIO) -> bool:
    """Whether what was written to the stream can be written over: it is a terminal that moves its
    cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns(stream: TextIO) -> int:
    """Returns how wide the terminal behind a stream is; 80 where that is not known."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
