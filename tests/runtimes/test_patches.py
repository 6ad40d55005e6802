"""A persistent session outlives whatever a block does to the interpreter it shares with us."""

from __future__ import annotations

import pytest

from okrt.runtimes.contracts import PERSISTENT
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Limits
from tests.runtimes.conftest import Play

PATCHES = {
    "len and isinstance": "import builtins; builtins.len = builtins.isinstance = None",
    "every builtin": (
        "import builtins\nfor n in list(vars(builtins)):\n"
        "    if n not in ('print', '__build_class__'): setattr(builtins, n, None)"
    ),
    "no builtins": "import builtins; vars(builtins).clear()",
    "builtins of the namespace": "__builtins__ = {}",
    "no builtins in the namespace": "del __builtins__",
    "the modules of the runner": (
        "import json, socket, os, io, traceback, linecache, re, threading, random, math, resource\n"
        "for m in (json, json.encoder, json.decoder, socket, os, io, traceback, linecache, re,\n"
        "          threading, random, math, resource):\n"
        "    for n in list(vars(m)): setattr(m, n, None)"
    ),
    "all of sys": "import sys\nfor n in list(vars(sys)): delattr(sys, n)",
    "no modules": "import sys; sys.modules.clear()",
    "no recursion": "import sys; sys.setrecursionlimit(20)",
    "trace and profile": (
        "import sys\ndef f(*a): raise ValueError\nsys.settrace(f); sys.setprofile(f)"
    ),
    "an audit hook": "import sys; sys.addaudithook(lambda name, _: name == 'open' and 1 / 0)",
    "exit": "import sys; sys.exit()",
    "a base exception": "class E(BaseException): pass\nraise E",
    "closed output": "import os, sys; sys.stdout.close(); sys.stderr.close(); os.close(1)",
    "no error type": "BaseException = Exception = ToolError = None",
    "a thread that raises": (
        "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"
    ),
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_a_session_outlives_what_a_block_breaks(runtime: ZygoteRuntime, patch: str) -> None:
    with runtime.open(PERSISTENT, {"tool": lambda x: x + 1}, Limits()) as session:
        session.execute("kept = 41")
        broken = session.execute(patch)
        assert broken.status in ("ok", "raised")
        assert not broken.restarted
        used = session.execute("kept = tool(kept)")
        assert (used.status, [call.result for call in used.calls]) == ("ok", [42]), used.error
        raised = session.execute("1 / 0")
        assert raised.error_type == "ZeroDivisionError"
        assert raised.carried_names is not None
        assert "kept" in raised.carried_names


def test_what_a_block_patched_it_finds_patched(play: Play) -> None:
    *_, last = play(
        "import builtins; builtins.len = lambda x: 7; builtins.mine = 1; del builtins.sum",
        "1 / 0",
        "print(len(''), mine, hasattr(builtins, 'sum'))",
    )
    assert last.stdout == "7 1 False\n"


def test_an_error_is_shown_in_full_whatever_is_patched(play: Play) -> None:
    _, error = play(
        "import builtins; builtins.len = builtins.isinstance = builtins.str = None",
        "def f():\n    return [].gone\nf()",
    )
    assert error.error is not None
    assert "return [].gone" in error.error
    assert error.error.endswith("AttributeError: 'list' object has no attribute 'gone'\n")


def test_an_error_that_cannot_be_formatted_is_named(play: Play) -> None:
    _, error = play("import traceback; traceback.TracebackException = None", "1 / 0")
    assert error.error == "ZeroDivisionError: division by zero"


def test_rebound_tools_stay_rebound_and_the_session_goes_on(play: Play) -> None:
    _, second, third = play("tool = print", "tool('x')", "del tool", tools={"tool": lambda x: x})
    assert (second.stdout, second.calls) == ("x\n", ())
    assert third.status == "ok"


def test_a_stream_written_in_python_is_flushed_whatever_is_patched(play: Play) -> None:
    block, _ = play(
        "import builtins, sys\n"
        "class Late:\n"
        "    def __init__(self, stream): self.stream, self.kept = stream, []\n"
        "    def write(self, text): self.kept.append(text)\n"
        "    def flush(self): self.stream.write(str(len(self.kept)))\n"
        "sys.stdout = Late(sys.stdout)\n"
        "print('a')\nbuiltins.len = builtins.str = None",
        "",
    )
    assert block.stdout == "2"


def test_cpu_time_is_renewed_for_each_block(play: Play) -> None:
    _, block = play(
        "import resource\n_, most = resource.getrlimit(resource.RLIMIT_CPU)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (1, most))",
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0] > 5)",
    )
    assert block.stdout == "True\n"


def test_little_recursion_stays_and_errors_are_shown(play: Play) -> None:
    _, error, last = play(
        "import sys; sys.setrecursionlimit(60)",
        "def f(): return 1 / 0\nf()",
        "print(sys.getrecursionlimit())",
    )
    assert error.error is not None
    assert error.error.endswith("ZeroDivisionError: division by zero\n")
    assert last.stdout == "60\n"
