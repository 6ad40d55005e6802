"""What every runtime promises, as executable laws: `okrt.testing.check_runtime` holds them.

Where a law's name ends in a colon and a phrase, there are several of its kind.
"""

from __future__ import annotations

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.laws.blocks import CALLS, CAPS, ENDS, OUTPUT
from okrt.runtimes.laws.law import Law, plays, shows
from okrt.runtimes.laws.memory import FORGETS, KEEPS, SURVIVES
from okrt.runtimes.laws.sessions import SESSIONS
from okrt.runtimes.laws.survival import CARRIES, OBEYS, RESETS, SPARES
from okrt.runtimes.probe import FORBIDDEN
from okrt.types import Runtime


def laws(runtime: Runtime) -> list[Law]:
    """Returns the laws for a runtime. Being closed is asked of all but `unsafe` and `none`."""
    closed = [] if runtime.isolation in ("unsafe", "none") else CLOSED
    two = [*KEEPS, *FORGETS, *SURVIVES, *ENDS, *CALLS, *CAPS, *OUTPUT, *SESSIONS]
    return [*two, *CARRIES, *SPARES, *RESETS, *OBEYS, *closed]


CLOSED = [
    *(
        plays(f"a block cannot {what}", PERSISTENT, (code, {"status": "raised"}))
        for what, code in FORBIDDEN.items()
    ),
    plays(
        "a block starts in an empty directory",
        STATELESS,
        ("import os; print(os.listdir())", shows([])),
    ),
]
