"""For processes that tests interrupt."""

from __future__ import annotations

import signal


def hear_interrupts() -> None:
    """A `preexec_fn`: SIGINT and SIGTERM are heard, though whoever started the tests may have had
    them ignored, as a shell does for what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
