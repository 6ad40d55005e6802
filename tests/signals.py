"""For processes that tests interrupt."""

from __future__ import annotations

import signal


def hear_interrupts() -> None:
    """A `preexec_fn`: SIGINT is heard, though whoever started the tests may have had it ignored,
    as a shell does for what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
