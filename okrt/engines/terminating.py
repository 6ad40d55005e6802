"""SIGTERM, which schedulers and containers send, ends a session as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Termination:
    """Whether SIGTERM came."""

    came: bool = False


@contextmanager
def interrupted_by_sigterm() -> Iterator[Termination]:
    """While it lasts, SIGTERM does what Ctrl-C does; where somebody else handles it, or this is not
    the main thread, nothing is changed."""
    found = Termination()

    def interrupt(number: int, frame: FrameType | None) -> None:
        found.came = True
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if callable(on_ctrl_c):
            on_ctrl_c(signal.SIGINT, frame)
        else:  # ignored, as shells have it for what they run in the background
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield found
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield found
    finally:
        if signal.getsignal(signal.SIGTERM) is interrupt:  # Ray may have come in between
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
