"""Laws that take more than one session, or a host that does something meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from okrt.errors import FamilyError
from okrt.runtimes.contracts import ALL, NOTHING, PERSISTENT, STATELESS
from okrt.runtimes.laws.law import Law
from okrt.types import Contract, Execution, Kept, Limits, Runtime

_DRAW = "import random; print(random.random(), random.gauss(0, 1), hash('apple'))"
_LATER = """
import threading, time
def late():
    time.sleep(0.1)
    {}
threading.Thread(target=late).start()
"""
_PAUSES_S = (0.3, 1.0, 3.0)


def _texts(runtime: Runtime, contract: Contract, seed: str, *blocks: str) -> list[str]:
    with runtime.open(contract, {}, Limits(), seed) as session:
        return [session.execute(block).stdout for block in blocks]


def _draws_differ(runtime: Runtime) -> str | None:
    first, second = _texts(runtime, PERSISTENT, "a", _DRAW, _DRAW)
    (other,) = _texts(runtime, PERSISTENT, "b", _DRAW)
    same = first in (second, other)
    return f"{first!r}, {second!r} and, of another seed, {other!r}" if same else None


def _draws_repeat(runtime: Runtime) -> str | None:
    wanted = _texts(runtime, PERSISTENT, "a", _DRAW, _DRAW)
    for contract in (PERSISTENT, STATELESS):
        found = _texts(runtime, contract, "a", _DRAW, _DRAW)
        if found != wanted:
            return f"{contract.name} sessions of one seed printed {wanted} and {found}"
    return None


def _draws_start_anew(runtime: Runtime) -> str | None:
    for contract in (PERSISTENT, STATELESS):
        *_, wanted = _texts(runtime, contract, "a", "", _DRAW)
        spoil = "import random; random.seed(1); random.gauss(0, 1)"
        *_, found = _texts(runtime, contract, "a", spoil, _DRAW)
        if found != wanted:
            return f"a {contract.name} block printed {wanted!r}, after other draws {found!r}"
    return None


def _separate(runtime: Runtime) -> str | None:
    with runtime.open(PERSISTENT, {}, Limits(), "a") as one:
        one.execute("x = 1; import json; json.leak = 1")
        with runtime.open(PERSISTENT, {}, Limits(), "b") as other:
            read = other.execute("import json; print(hasattr(json, 'leak'), 'x' in globals())")
            other.execute("x = 2")
        kept = one.execute("print(x)")
    if (read.stdout, kept.stdout) == ("False False\n", "1\n"):
        return None
    return f"the other printed {read.stdout!r}, and the one then {kept.stdout!r}"


def _closes(runtime: Runtime) -> str | None:
    with runtime.open(PERSISTENT, {}, Limits(), "a") as session:
        session.execute("")
        session.close()
    session.close()
    return None


@dataclass
class _OddTurns:
    """A contract of a user's own, which writes down what it is asked."""

    name: str = "odd-turns"
    notice: str = "Names survive into odd turns."
    false_notice: str = "Names survive."
    asked: list[tuple[int, Execution]] = field(default_factory=list)

    def keeps(self, turn: int, last: Execution) -> Kept:
        self.asked.append((turn, last))
        return ALL if turn % 2 == 1 else NOTHING


def _asks_the_contract(runtime: Runtime) -> str | None:
    contract = _OddTurns()
    with runtime.open(contract, {}, Limits(), "a") as session:
        done = [session.execute(code) for code in ("a = 1", "a", "a", "")]
    carried = [one.carried_names for one in done]
    if carried != [(), ("a",), (), ()]:
        return f"names carried into turns 0 to 3: {carried}"
    asked = contract.asked[:3]
    if asked != list(zip((1, 2, 3), done, strict=False)):
        return f"it was asked about {[(turn, last.status) for turn, last in asked]}"
    return None


# -- tools -----------------------------------------------------------------------------------------


def _late_calls(runtime: Runtime) -> str | None:
    served: list[str] = []
    with runtime.open(PERSISTENT, {"tool": served.append}, Limits(), "a") as session:
        first = session.execute(_LATER.format("tool('late')"))
        time.sleep(_PAUSES_S[0])
        second = session.execute("tool('next')")
    if served == ["next"] and first.calls == () and len(second.calls) == 1:
        return None
    return f"calls that were served: {served}; the next block: {second!r:.600}"


def _late_output(runtime: Runtime) -> str | None:
    for pause_s in _PAUSES_S:  # on a busy machine it may come later still
        with runtime.open(PERSISTENT, {}, Limits(), "a") as session:
            session.execute(_LATER.format("print('late')"))
            time.sleep(pause_s)
            second = session.execute("print('on')")
        if (second.stdout, second.late_output_bytes) == ("on\n", 5):
            return None
    return f"the next block: {second!r:.600}"


def _tool_time(runtime: Runtime) -> str | None:
    tools = {"slow": lambda: time.sleep(0.6)}
    with runtime.open(STATELESS, tools, Limits(block_s=0.5), "a") as session:
        found = session.execute("slow()\nprint('not seen')")
    return None if (found.status, found.stdout) == ("timeout", "") else repr(found)


def _records(runtime: Runtime) -> str | None:
    state: list[int] = []

    def grow(given: list[int]) -> list[int]:
        given.append(0)
        state.append(1)
        return state

    with runtime.open(STATELESS, {"grow": grow}, Limits(), "a") as session:
        calls = session.execute("grow([]); grow([])").calls
    found = [(call.args, call.result) for call in calls]
    return None if found == [(([],), [1]), (([],), [1, 1])] else f"recorded was {found}"


def _broken_tools(runtime: Runtime) -> str | None:
    def fails() -> None:
        raise RuntimeError("a fault of the family")

    tools: dict[str, Any] = {"fails": fails, "gives": lambda: {1, 2}}
    for name in tools:
        with runtime.open(STATELESS, tools, Limits(), "a") as session:
            try:
                found = session.execute(f"try:\n    {name}()\nexcept BaseException:\n    pass")
            except FamilyError:
                continue
        return f"{name} raised nothing: {found!r:.600}"
    return None


def _memory(runtime: Runtime) -> str | None:
    limits = Limits(memory_mib=256)
    with runtime.open(PERSISTENT, {}, limits, "a") as session:
        found = session.execute("x = bytearray(400 << 20)")
        after = session.execute("print('on')")
    if found.status in ("raised", "died") and after.stdout == "on\n":
        return None
    return f"400 MiB where 256 are allowed: {found!r:.600}"


SESSIONS = [
    Law("random draws differ by seed and turn", _draws_differ),
    Law("the same seed gives the same draws and hashes under every contract", _draws_repeat),
    Law("random draws of a block do not hang on those before it", _draws_start_anew),
    Law("sessions are separate", _separate),
    Law("a session can be closed twice", _closes),
    Law("a contract is asked at every boundary, of the block before it", _asks_the_contract),
    Law("a call after the block's end is refused", _late_calls),
    Law("output after the block's end is dropped and counted", _late_output),
    Law("the time of tools counts", _tool_time),
    Law("the record of a call does not follow later changes", _records),
    Law("a tool that breaks its protocol raises FamilyError", _broken_tools),
    Law("memory ends at its limit", _memory),
]
