"""A block that does not end is stopped at its deadline, whatever it does not to be."""

from __future__ import annotations

import pytest

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.types import Contract, Limits
from tests.attacks.conftest import SHORT, Attack

ENDLESS = {
    "a loop": "while True: pass",
    "a regular expression": "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
    "a big power": "x = 7 ** (3 ** 20)",
    "a big integer as text": "import sys; sys.set_int_max_str_digits(0); str(1 << 40_000_000)",
    "a long range": "sum(range(10 ** 12))",
    "a sleep": "import time; time.sleep(3600)",
    "a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a read of stdin's twin": "import os; r, w = os.pipe(); os.read(r, 1)",
    "a loop that catches everything": "while True:\n    try: 1 / 0\n    except BaseException: pass",
    "an endless loop in C": "import collections as c, itertools; c.deque(itertools.count(), 0)",
    "endless printing": "while True: print('x' * 1000)",
    "busy threads": (
        "import threading\ndef spin():\n    while True: pass\n"
        "for _ in range(3): threading.Thread(target=spin).start()\nspin()"
    ),
    "blocked signals": (
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "time.sleep(3600)"
    ),
    "ignored signals": (
        "import signal, time\nfor n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: time.sleep(1)"
    ),
    "a parent-death signal turned off": (
        "import ctypes, time; ctypes.CDLL(None).prctl(1, 0); time.sleep(3600)"
    ),
    "descriptors closed first": "import os; os.closerange(0, 3); os.close(4)\nwhile True: pass",
    "an exception whose text sleeps": (
        "import time\nclass E(Exception):\n    def __str__(self): time.sleep(3600)\nraise E"
    ),
    "a destructor that sleeps": (
        "class A:\n    def __del__(self):\n        import time; time.sleep(3600)\nA()"
    ),
    "a trace function that sleeps": (
        "import sys, time\nsys.settrace(lambda *args: time.sleep(3600))\ndef f(): pass\nf()"
    ),
    "a tool called for ever": (
        "while True:\n    try: tool()\n    except BaseException: pass"
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS)
def test_a_block_is_stopped_at_its_deadline(attack: Attack, code: str) -> None:
    block = attack(code, tools={"tool": lambda: None})
    assert (block.status, block.bound_names) == ("timeout", None), block


def test_a_stateless_block_is_stopped_as_well(attack: Attack) -> None:
    assert attack("while True: pass", contract=STATELESS).status == "timeout"


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda contract: contract.name)
def test_a_process_that_stops_itself_is_killed(attack: Attack, contract: Contract) -> None:
    """Being the first process of its namespace it may be immune to its own signals."""
    code = "import os, signal\nwhile True: os.kill(os.getpid(), signal.SIGSTOP)"
    assert attack(code, contract=contract).status == "timeout"


def test_a_block_cannot_raise_its_own_deadline(attack: Attack) -> None:
    """The CPU limit is a backstop alone: the deadline is the host's."""
    code = (
        "import resource\ntry: resource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))\n"
        "except (OSError, ValueError): pass\nwhile True: pass"
    )
    assert attack(code).status == "timeout"


LATE = {
    "a destructor that sleeps": (
        "class A:\n    def __del__(self):\n        import time; time.sleep(3600)\na = A()"
    ),
    "an exit handler that sleeps": "import atexit, time; atexit.register(time.sleep, 3600)",
    "an exit handler and an exit": (
        "import atexit, time, sys; atexit.register(time.sleep, 3600); sys.exit()"
    ),
    "a thread that sleeps": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=[3600]).start()",
    "a thread that spins": "import threading\ndef spin():\n    while True: pass\n"
    "threading.Thread(target=spin).start()",
    "an alarm": "import signal; signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n"
    "signal.signal(signal.SIGALRM, lambda *args: None)",
}


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda contract: contract.name)
@pytest.mark.parametrize("code", LATE.values(), ids=LATE)
def test_what_a_block_leaves_running_holds_up_nobody(
    attack: Attack, code: str, contract: Contract
) -> None:
    """Ending the session, which `attack` does, ends it."""
    block = attack(code, "print('next')", contract=contract, limits=Limits(block_s=5))
    assert (block.status, block.stdout) == ("ok", "next\n")


def test_a_late_thread_calls_no_tool(attack: Attack) -> None:
    served: list[str] = []
    late = (
        "import threading, time\ndef late():\n    for _ in range(200):\n"
        "        time.sleep(0.002)\n        try: tool('late')\n        except RuntimeError: pass\n"
        "threading.Thread(target=late).start()"
    )
    block = attack(
        late,
        "import time; tool('next'); time.sleep(0.1)",
        contract=STATELESS,
        tools={"tool": served.append},
        limits=SHORT,
    )
    assert [call.args for call in block.calls] == [("next",)]
    assert served[-1] == "next"
