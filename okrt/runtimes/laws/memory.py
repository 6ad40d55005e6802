"""Laws of what survives from one block to the next, and of what does not."""

from __future__ import annotations

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.laws.law import OK, ON, Block, plays, raises, shows

# -- what a persistent runtime keeps ---------------------------------------------------------------

_STATE: Block = ("import math\nx = 41\ndef f():\n    return x + 1\n", OK)

KEEPS = [
    *(
        plays(f"a persistent runtime keeps names: {what}", PERSISTENT, _STATE, (read, shows(text)))
        for what, read, text in (
            ("variables", "print(x)", 41),
            ("functions", "print(f())", 42),
            ("imports", "print(math.floor(1.5))", 1),
        )
    ),
    plays(
        "a tool's name stays with what the agent gave it to",
        PERSISTENT,
        ("echo = 7", {"bound_names": ("echo",)}),
        ("print(echo)", shows(7)),
    ),
    plays(
        "bound names are those of the agent, after an error as well",
        PERSISTENT,
        ("z = 1; import os; _p = 2; __h = 3; 1 / 0", {"bound_names": ("_p", "os", "z")}),
        ("del z", {"bound_names": ("_p", "os")}),
    ),
    plays(
        "carried names are those alive when a block begins",
        PERSISTENT,
        ("b = a = 1", {"carried_names": ()}),
        ("del a", {"carried_names": ("a", "b")}),
        ("", {"carried_names": ("b",)}),
    ),
]

# -- what a stateless runtime forgets --------------------------------------------------------------

LEAKS = {
    "attributes of modules": (
        "import json; json.leak = 1", "import json; print(hasattr(json, 'leak'))",
    ),
    "patched functions": (
        "import math; math.floor = len", "import math; print(math.floor is len)",
    ),
    "attributes of functions": (
        "import textwrap; textwrap.dedent.leak = 1",
        "import textwrap; print(hasattr(textwrap.dedent, 'leak'))",
    ),
    "modules": (
        "import sys; sys.modules['leak'] = sys", "import sys; print('leak' in sys.modules)",
    ),
    "the path of imports": (
        "import sys; sys.path.append('leak')", "import sys; print('leak' in sys.path)",
    ),
    "builtins": (
        "import builtins; builtins.leak = 1", "import builtins; print(hasattr(builtins, 'leak'))",
    ),
    "attributes of tools": ("echo.leak = 1", "print(hasattr(echo, 'leak'))"),
    "attributes of error classes": ("ToolError.leak = 1", "print(hasattr(ToolError, 'leak'))"),
    "the environment": (
        "import os; os.environ['LEAK'] = '1'", "import os; print('LEAK' in os.environ)",
    ),
    "files": ("open('leak', 'w').close()", "import os; print(os.path.exists('leak'))"),
    "temporary files": (
        "import tempfile; tempfile.mkstemp(prefix='leak')",
        "import os, tempfile\n"
        "print(any(name.startswith('leak') for name in os.listdir(tempfile.gettempdir())))",
    ),
    "the working directory": (
        "import os; os.mkdir('leak'); os.chdir('leak')",
        "import os; print(os.path.basename(os.getcwd()) == 'leak')",
    ),
    "descriptors": (
        "import os; os.dup2(os.open('leak', os.O_CREAT), 77)",
        "import os\ntry:\n    print(os.fstat(77) is not None)\nexcept OSError:\n    print(False)",
    ),
    "threads": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[2]).start()",
        "import threading; print(threading.active_count() > 1)",
    ),
    "signal handlers": (
        "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "import signal; print(signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN)",
    ),
    "the limit of recursion": (
        "import sys; sys.setrecursionlimit(777)",
        "import sys; print(sys.getrecursionlimit() == 777)",
    ),
    "settings of a thread": (
        "import decimal; decimal.getcontext().prec = 3",
        "import decimal; print(decimal.getcontext().prec == 3)",
    ),
}  # fmt: skip
"""What leaves something behind, and what then prints whether it is there."""

FORGETS = [
    *(
        plays(
            f"a stateless runtime keeps no name: {name}",
            STATELESS,
            _STATE,
            (read, {**raises("NameError"), "missing_name": name, "carried_names": ()}),
        )
        for name, read in (("x", "print(x)"), ("f", "f()"), ("math", "math.pi"))
    ),
    plays(
        "a stateless runtime gives a tool its name back",
        STATELESS,
        ("echo = 7", OK),
        ("print(echo(1))", shows(1)),
    ),
    *(
        plays(
            f"a stateless runtime leaks nothing: {what}",
            STATELESS,
            (write, OK),
            (read, shows(False)),
        )
        for what, (write, read) in LEAKS.items()
    ),
]

# -- what a session outlives -----------------------------------------------------------------------

SPOILS = {
    "sys.exit": "import sys; sys.exit(3)",
    "exit": "exit()",
    "a base exception": "class E(BaseException): pass\nraise E",
    "an interrupt": "raise KeyboardInterrupt",
    "patched builtins": (
        "import builtins\nbuiltins.len = builtins.isinstance = builtins.str = None"
    ),
    "no builtins": "del __builtins__",
    "a patched library": (
        "import json, os, io, random, traceback\n"
        "for module in (json, os, io, random, traceback):\n"
        "    for name in list(vars(module)): setattr(module, name, None)"
    ),
    "no modules": "import sys; sys.modules.clear()",
    "a closed stdout": "import sys; sys.stdout.close()",
    "a replaced stdout": "import io, sys; sys.stdout = io.StringIO()",
    "closed descriptors": "import os; os.close(1); os.close(2)",
    "a trace function": "import sys\ndef f(*a): raise ValueError\nsys.settrace(f)",
    "little recursion": "import sys; sys.setrecursionlimit(50)",
    "a thread that goes on": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[2]).start()"
    ),
}

SURVIVES = [
    plays(
        f"a session outlives, its names intact: {what}",
        PERSISTENT,
        ("kept = 1", OK),
        (code, {"restarted": False}),
        ("kept; print('on')", ON[1]),
    )
    for what, code in SPOILS.items()
]
