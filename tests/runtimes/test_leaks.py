"""Nothing of a stateless block, and nothing of a session, is met again."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from tests.runtimes.conftest import Play
from tests.runtimes.test_lifetime import descendants

LEAVES = {
    "variable": ("x = 1", "'x' in globals()"),
    "module attribute": ("import math; math.leak = 1", "hasattr(__import__('math'), 'leak')"),
    "module": ("import wave", "'wave' in __import__('sys').modules"),
    "builtin": ("import builtins; builtins.leak = 1", "hasattr(__builtins__, 'leak')"),
    "function attribute": ("tool.leak = 1", "hasattr(tool, 'leak')"),
    "error class attribute": ("ToolError.leak = 1", "hasattr(ToolError, 'leak')"),
    "random state": (
        "import random; random.seed(1)",
        "__import__('random').random() == __import__('random').Random(1).random()",
    ),
    "environment": ("import os; os.environ['LEAK'] = '1'", "'LEAK' in __import__('os').environ"),
    "directory": ("import os; os.chdir('/')", "__import__('os').getcwd() == '/'"),
    "file": ("open('leak', 'w').close()", "'leak' in __import__('os').listdir()"),
    "descriptor": (
        "import os; os.dup2(0, 77)",
        "__import__('os').path.exists(77)",
    ),
    "recursion limit": (
        "import sys; sys.setrecursionlimit(777)",
        "__import__('sys').getrecursionlimit() == 777",
    ),
    "signal handler": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "__import__('signal').getsignal(15) == 1",
    ),
    "trace": ("import sys; sys.settrace(print)", "__import__('sys').gettrace() is not None"),
    "thread": (
        "import threading; threading.Timer(30, print).start()",
        "__import__('threading').active_count() > 1",
    ),
    "decimal context": (
        "import decimal; decimal.getcontext().prec = 3",
        "__import__('decimal').getcontext().prec == 3",
    ),
    "codec": (
        "import codecs; codecs.register(lambda n: codecs.lookup('ascii') if n == 'leak' else None)",
        "bool('a'.encode('leak')) if 'codecs' in globals() else False",
    ),
    "resource limit": (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))",
        "__import__('resource').getrlimit(7)[0] == 99",
    ),
}
leaves = pytest.mark.parametrize(("leave", "look"), LEAVES.values(), ids=LEAVES)
TOOLS = {"tool": lambda: None}


@leaves
def test_a_stateless_block_leaves_nothing_to_the_next(play: Play, leave: str, look: str) -> None:
    first, second = play(f"{leave}", f"print({look})", contract=STATELESS, tools=TOOLS)
    assert (first.status, second.stdout) == ("ok", "False\n")


@leaves
def test_a_session_leaves_nothing_to_the_next(play: Play, leave: str, look: str) -> None:
    (first,) = play(leave, tools=TOOLS)
    (second,) = play(f"print({look})", tools=TOOLS)
    assert (first.status, second.stdout) == ("ok", "False\n")


KEPT = {name: case for name, case in LEAVES.items() if name not in ("random state", "trace")}


@pytest.mark.parametrize(("leave", "look"), KEPT.values(), ids=KEPT)
def test_a_persistent_session_does_keep_it(play: Play, leave: str, look: str) -> None:
    _, second = play(leave, f"print({look})", contract=PERSISTENT, tools=TOOLS)
    assert second.stdout == "True\n"


def test_nothing_of_the_host_is_in_the_process(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKRT_SECRET", "s")
    (block,) = play(
        "import os, sys\n"
        "found = [m for m in [*sys.modules, *sys.path] if 'okrt' in m or 'site-' in m]\n"
        "print(os.environ.get('OKRT_SECRET'), found, sys.argv, os.listdir())"
    )
    assert block.stdout == "None [] [''] []\n"


def test_a_process_has_its_own_descriptors_only(play: Play) -> None:
    (block,) = play("import os; print([n for n in range(5000) if os.path.exists(n)])")
    assert block.stdout == "[0, 1, 2, 3, 4]\n"


def test_blocks_run_in_a_group_of_their_own_in_another_session(play: Play) -> None:
    def sessions() -> list[int]:
        return [os.getsid(pid) for pid in descendants(os.getpid()) if is_zygotes(pid)]

    def is_zygotes(pid: int) -> bool:
        return b"zygote.py" in Path(f"/proc/{pid}/cmdline").read_bytes()

    (block,) = play(
        "import os; print(os.getpid() == os.getpgid(0), sessions())", tools={"sessions": sessions}
    )
    assert block.stdout.startswith("True [")
    assert block.stdout != "True []\n"
    # In the host's own numbers: a block sees 0 for a session that began outside its namespace.
    assert os.getsid(0) not in ast.literal_eval(block.stdout.removeprefix("True "))


def test_limits_hold(play: Play) -> None:
    (block,) = play(
        "import resource as r\n"
        "print([r.getrlimit(getattr(r, 'RLIMIT_' + n))[1] for n in 'AS NOFILE CORE'.split()])\n"
        "print(r.getrlimit(r.RLIMIT_CPU)[0] < 10_000)"
    )
    assert block.stdout == f"[{512 << 20}, 256, 0]\nTrue\n"
