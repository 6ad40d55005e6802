"""Random blocks and attacks for a while, in one host process, leave nothing behind.

    OKRT_SOAK_MINUTES=60 pytest tests/attacks/test_soak.py -s

The default is a few seconds, which is part of every run. The seed is in the output; it decides what
is played, the clock decides how much of it.
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.types import Limits
from tests.attacks import world
from tests.attacks.conftest import SYSCALL, Outside, Runtimes, look
from tests.attacks.test_frames import BAD, SEND, STAY
from tests.attacks.test_memory import HUNGRY
from tests.attacks.test_output import FLOODS
from tests.attacks.test_processes import DEATHS, STARTS
from tests.attacks.test_scratch import FILLS
from tests.attacks.test_time import ENDLESS, LATE

MINUTES = float(os.environ.get("OKRT_SOAK_MINUTES", "0.05"))
SEED = os.environ.get("OKRT_SOAK_SEED", "soak")
GROWTH_MIB = 16.0
"""What this process may grow by after its first tenth: Python's allocator keeps some."""

PLAIN = [
    "x = 1",
    "print('x' * 100)",
    "x = [tool(n) for n in range(10)]",
    "raise ValueError('x')",
    "y",
    "import json, sqlite3, hashlib; print(json.dumps({'a': 1}))",
    "import tempfile; open(tempfile.mktemp(), 'w').write('x' * 1000)",
    "import sys; sys.exit(3)",
    "import threading\nt = threading.Thread(target=print, args=['t']); t.start(); t.join()",
    "x = = 1",
]
ATTACKS = [
    *ENDLESS.values(),
    *LATE.values(),
    *HUNGRY.values(),
    *FLOODS.values(),
    *DEATHS.values(),
    *(f"import os\n{code}" for code in FILLS.values()),
    *(f"{SYSCALL}{code}" for code in STARTS.values()),
    *(f"{SEND}{code}{STAY}" for code in BAD.values()),
]


@pytest.mark.soak
def test_a_soak_leaves_nothing(
    runtimes: Runtimes, tier: str, outside: Outside, temporary: Path
) -> None:
    random, counts = Random(f"{SEED}/{tier}"), Counter[str]()
    runtime = runtimes.of(tier)
    runtimes.neighbour(tier)
    before = look(outside, temporary)
    started, early_mib = time.monotonic(), 0.0
    while (passed := time.monotonic() - started) < MINUTES * 60:
        limits = Limits(block_s=random.choice([0.05, 0.2, 0.5]), output_bytes=4096, memory_mib=256)
        contract = random.choice([PERSISTENT, STATELESS])
        with runtime.open(
            contract, {"tool": lambda n=0: n}, limits, str(random.random())
        ) as opened:
            for _ in range(random.randrange(1, 6)):
                code = random.choice(PLAIN if random.random() < 0.6 else ATTACKS)
                counts[opened.execute(code).status] += 1
        if passed < MINUTES * 6:
            early_mib = _resident_mib()
    assert runtimes.neighbour(tier).execute("print(kept)").stdout == "still here\n"
    assert world.settled(lambda: look(outside, temporary), before) == before
    gc.collect()
    grown_mib = _resident_mib() - early_mib
    print(  # noqa: T201 - the figure of the run, seen with -s
        f"\nsoak on {tier}, seed {SEED!r}: {MINUTES:g} min, {sum(counts.values()):,} blocks "
        f"({dict(counts)}), the host grew by {grown_mib:.1f} MiB"
    )
    assert counts["ok"]
    assert grown_mib < GROWTH_MIB


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
