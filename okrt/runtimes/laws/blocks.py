"""Laws of one block: how it ends, what its tools answer, what it prints."""

from __future__ import annotations

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.laws.law import OK, ON, Block, Wanted, plays, raises, shows
from okrt.types import Limits, ToolCall

# -- how a block ends ------------------------------------------------------------------------------

_LOST: Wanted = {"error_type": None, "bound_names": None}
_DIED: Wanted = {"status": "died", **_LOST}
_LATE: Wanted = {"status": "timeout", **_LOST}
_SHORT = Limits(block_s=0.5)
_EMPTY: Block = ("print('on')", {**ON[1], "carried_names": ()})

DEATHS = {
    "an exit": "import os; os._exit(1)",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}
ENDLESS = {
    "a loop": "while True: pass",
    "a sleep": "import time; time.sleep(60)",
    "a loop that catches everything": "while True:\n    try: 1 / 0\n    except BaseException: pass",
    "a loop that prints": "while True: print('x' * 1000)",
}

ENDS = [
    *(
        plays(f"an error is data: {kind}", PERSISTENT, (code, raises(kind)), ON)
        for code, kind in (
            ("1 / 0", "ZeroDivisionError"),
            ("x =", "SyntaxError"),
            ("exit(3)", "SystemExit"),
            ("def f(): f()\nf()", "RecursionError"),
            ("class Own(BaseException): pass\nraise Own", "Own"),
        )
    ),
    plays(
        "a missing name is that of an uncaught NameError",
        STATELESS,
        ("gone", {**raises("NameError"), "missing_name": "gone"}),
        ("try:\n    gone\nexcept NameError:\n    pass", {**OK, "missing_name": None}),
        ("x = 1\ndef f():\n    x += 1\nf()", {**raises("UnboundLocalError"), "missing_name": None}),
    ),
    *(
        plays(
            f"death is data, and a persistent session then starts empty: {what}",
            PERSISTENT,
            ("a = 1", OK),
            (f"print('seen')\n{code}", {**_DIED, "stdout": "seen\n", "restarted": True}),
            _EMPTY,
        )
        for what, code in DEATHS.items()
    ),
    *(
        plays(
            f"an endless block is stopped, and a persistent session then starts empty: {what}",
            PERSISTENT,
            ("a = 1", OK),
            (code, {**_LATE, "restarted": True}),
            _EMPTY,
            limits=_SHORT,
        )
        for what, code in ENDLESS.items()
    ),
    plays(
        "a stateless session that loses a process lost nothing",
        STATELESS,
        ("import os; os._exit(1)", {**_DIED, "restarted": False}),
        _EMPTY,
    ),
    plays(
        "a stateless session whose block is stopped lost nothing",
        STATELESS,
        ("while True: pass", {**_LATE, "restarted": False}),
        limits=_SHORT,
    ),
]

# -- tools -----------------------------------------------------------------------------------------

ARGUMENTS = {
    "an object": "object()",
    "a set": "{1}",
    "bytes": "b'x'",
    "nan": "float('nan')",
    "a key that is no text": "{1: 2}",
    "a lone surrogate": "'\\ud800'",
    "a giant integer": "1 << 100",
}
_DATA = "[None, True, -1.5, 'é', {'k': [[], {}]}, 2**53]"

CALLS = [
    plays(
        "tools answer, and calls are recorded by position",
        STATELESS,
        ("print(add(1, b=2))", {**shows(3), "calls": (ToolCall("add", (1, 2), 3),)}),
    ),
    plays(
        "JSON data goes through a tool unchanged",
        STATELESS,
        (f"print(echo({_DATA}) == {_DATA})", shows(True)),
    ),
    plays(
        "a tool's refusal is a ToolError in the block",
        STATELESS,
        (
            "try:\n    refuse('no')\nexcept ToolError as error:\n    print(error)",
            {**shows("no"), "calls": (ToolCall("refuse", ("no",), error="ToolError: no"),)},
        ),
        ("refuse('no')", raises("ToolError")),
    ),
    plays(
        "a tool's builtin error reaches the block as it is",
        STATELESS,
        ("try:\n    find('k')\nexcept KeyError as error:\n    print(repr(error))",
         shows("KeyError('k')")),
    ),
    plays("arguments that do not fit a tool raise TypeError", STATELESS,
          ("add(1)", raises("TypeError"))),
    *(
        plays(
            f"arguments that are no JSON data raise TypeError: {what}",
            STATELESS,
            (f"echo({value})", {**raises("TypeError"), "calls": ()}),
        )
        for what, value in ARGUMENTS.items()
    ),
    plays(
        "calls from threads each get their own answer",
        STATELESS,
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "with ThreadPoolExecutor(4) as pool:\n"
            "    print(list(pool.map(echo, range(20))) == list(range(20)))",
            shows(True),
        ),
    ),
]  # fmt: skip

_FIVE = "for n in range(5):\n    echo(n)"
_CAUGHT = "refused = 0\nfor n in range(5):\n    try:\n        echo(n)\n    except {}:\n        pass"

CAPS = [
    plays(
        "the cap ends a block, and calls beyond it are counted",
        STATELESS,
        (
            _FIVE,
            {
                "status": "cap",
                "error_type": "ToolCapExceeded",
                "calls": tuple(ToolCall("echo", (n,), n) for n in range(3)),
                "refused_calls": 1,
            },
        ),
        limits=Limits(tool_cap=3),
    ),
    plays(
        "a cap that the block catches ends nothing",
        STATELESS,
        (_CAUGHT.format("ToolCapExceeded"), {**OK, "refused_calls": 2}),
        limits=Limits(tool_cap=3),
    ),
    plays(
        "the cap is no ToolError",
        STATELESS,
        (_CAUGHT.format("ToolError"), {"status": "cap"}),
        limits=Limits(tool_cap=3),
    ),
    plays(
        "each block has the whole cap",
        PERSISTENT,
        ("echo(1); echo(2)", OK),
        ("echo(1); echo(2)", {**OK, "refused_calls": 0}),
        limits=Limits(tool_cap=3),
    ),
]

# -- output ----------------------------------------------------------------------------------------

OUTPUT = [
    plays(
        "output and errors come in the order they were written",
        STATELESS,
        (
            "import os, sys\nprint('a')\nprint('b', file=sys.stderr)\nos.write(1, b'c\\n')",
            shows("a\nb\nc"),
        ),
    ),
    plays(
        "output is cut at its cap and the cut counted",
        STATELESS,
        ("print('x' * 999)", {**OK, "truncated_chars": 0, "stdout": "x" * 999 + "\n"}),
        ("print('x' * 1500)", {**OK, "truncated_chars": 501}),
        limits=Limits(output_bytes=1000),
    ),
    plays(
        "a flood of output ends no block",
        STATELESS,
        ("for _ in range(50): print('x' * 99_999)", {**OK, "truncated_chars": 4_999_000}),
        limits=Limits(output_bytes=1000),
    ),
    plays(
        "output that is no text is replaced",
        STATELESS,
        ("import os; os.write(1, b'a\\xff\\n')", shows("a\ufffd")),
    ),
    plays(
        "there is no input",
        STATELESS,
        ("input()", raises("EOFError")),
    ),
]
