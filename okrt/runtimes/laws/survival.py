"""Laws of the contracts beyond two, and the one law that holds any contract, a user's own too."""

from __future__ import annotations

from okrt import asking
from okrt.runtimes.contracts import CARRYOVER, CONTRACTS, FILES, NOTHING, ResetEvery
from okrt.runtimes.laws.law import OK, TOOLS, Block, Law, plays, raises, shows
from okrt.runtimes.laws.memory import LEAKS
from okrt.types import Contract, Limits, Runtime

_CAP = Limits(tool_cap=3)
_CUT = "for n in range(5):\n    echo(n)"
_CUT_SHORT = {"status": "cap", "refused_calls": 1}
_NOT_CUT = "x = 1\nfor n in range(5):\n    try: echo(n)\n    except ToolCapExceeded: pass"
_GONE: Block = ("x", {**raises("NameError"), "missing_name": "x", "carried_names": ()})

CARRIES = [
    plays(
        "a carryover runtime keeps for one turn the names of a block that the cap cut short",
        CARRYOVER,
        (f"x = 1\n{_CUT}", _CUT_SHORT),
        ("print(x)", {**shows(1), "carried_names": ("n", "x")}),
        _GONE,
        limits=_CAP,
    ),
    plays(
        "a carryover runtime keeps on what the cap cuts short again",
        CARRYOVER,
        (f"x = 1\n{_CUT}", _CUT_SHORT),
        (f"y = 2\n{_CUT}", _CUT_SHORT),
        ("print(x, y)", shows("1 2")),
        _GONE,
        limits=_CAP,
    ),
    *(
        plays(
            f"a carryover runtime forgets a block that {end}", CARRYOVER, block, _GONE, limits=_CAP
        )
        for end, block in {
            "ends well": ("x = 1", OK),
            "raises": ("x = 1\n1 / 0", raises("ZeroDivisionError")),
            "catches the cap": (_NOT_CUT, {**OK, "refused_calls": 2}),
        }.items()
    ),
]  # fmt: skip

_LIST = "import os; print(sorted(os.listdir()))"
_WRITE = "open('f', 'w').write('left')"
_DEATHS: dict[str, Block] = {
    "an error": (f"{_WRITE}\n1 / 0", raises("ZeroDivisionError")),
    "a death": (f"{_WRITE}\nimport os; os._exit(1)", {"status": "died", "restarted": False}),
    "a time limit": (f"{_WRITE}\nwhile True: pass", {"status": "timeout", "restarted": False}),
}
_ELSE = [case for name, case in LEAKS.items() if not name.endswith("files")]

SPARES = [
    *(
        plays(f"a files runtime keeps files: {what}", FILES, (write, OK), (read, shows(text)))
        for what, write, read, text in (
            ("their text", _WRITE, "print(open('f').read())", "left"),
            ("directories", "import os; os.makedirs('a/b')", _LIST, ["a"]),
            ("links", f"{_WRITE}\nimport os; os.symlink('f', 'l')", "print(open('l').read())",
             "left"),
            ("temporary files", "import tempfile; tempfile.mkdtemp(prefix='tmp')",
             "import os, tempfile; print(os.listdir(tempfile.gettempdir())[0][:3])", "tmp"),
        )
    ),
    plays(
        "a files runtime keeps files from turn to turn",
        FILES,
        *[("open('f', 'a').write('x')", OK)] * 4,
        ("print(open('f').read())", shows("xxxx")),
    ),
    *(
        plays(
            f"a files runtime keeps files through {what}",
            FILES,
            block,
            ("print(open('f').read())", {**shows("left"), "carried_names": ()}),
            limits=Limits(block_s=0.5),
        )
        for what, block in _DEATHS.items()
    ),
    plays("a files runtime keeps no name", FILES, ("x = 1", OK), _GONE),
    plays(
        "a files runtime leaks nothing else",
        FILES,
        ("\n".join(write for write, _ in _ELSE), OK),
        ("\n".join(read for _, read in _ELSE), shows("\n".join(["False"] * len(_ELSE)))),
    ),
]  # fmt: skip

RESETS = [
    plays(
        "a runtime that is reset every 3 blocks keeps names in between, and nothing beyond",
        ResetEvery(3),
        (f"x = 1\n{_WRITE}", OK),
        ("y = 2", {**OK, "carried_names": ("x",)}),
        ("print(x, y)", {**shows("1 2"), "carried_names": ("x", "y")}),
        _GONE,
        (_LIST, shows([])),
        ("z = 1; print(os.name != '')", shows(True)),
        _GONE,
    ),
]

_SEE = (
    "import os\n"
    "print(sorted(n for n in globals() if n.startswith('name')), end=' ')\n"
    "print(sorted(n for n in os.listdir() if n.startswith('file')))\n"
    "name{0} = open('file{0}', 'w').close()\n"
)
_ENDS = ("", _CUT, "1 / 0", _CUT, "os._exit(1)", "", "")


def obeys(contract: Contract) -> Law:
    """Returns the law that a session keeps what this contract says, however its blocks end."""

    def broken(runtime: Runtime) -> str | None:
        names: list[str] = []
        files: list[str] = []
        with runtime.open(contract, TOOLS, _CAP, "check") as session:
            for turn, end in enumerate(_ENDS):
                found = session.execute(_SEE.format(turn) + end)
                if found.stdout.splitlines()[:1] != [f"{names} {files}"]:
                    return f"block {turn} should find {names} and {files}: {found!r:.600}"
                if not set(names) <= set(found.carried_names or ()):
                    return f"carried names of block {turn} should hold {names}: {found!r:.600}"
                kept = asking.kept(contract, turn + 1, found)
                if kept.names and found.bound_names is None:
                    kept = NOTHING  # the process is lost, and with it what it had
                names = [*names, f"name{turn}"] if kept.names else []
                files = [*files, f"file{turn}"] if kept.files else []
        return None

    return Law(f"a session keeps what its contract says: {contract.name}", broken)


OBEYS = [obeys(contract) for contract in (*CONTRACTS, ResetEvery(2), ResetEvery(3))]
