"""What a reader should look at in the blocks of an episode, and where: turns and lines.

A mark stands on a line of the block of one turn, and may point to the turn and line where the name
had been bound; that place has a mark of its own, which points to where the name was missed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from okrt.analysis.defuse import Block, block
from okrt.analysis.missing import (
    bound_by,
    guarded_names,
    missing_variables,
    nearest,
    rebound_names,
)
from okrt.types import Execution, Turn

Mark = dict[str, Any]

_FRAME = re.compile(r'File "<block (\d{1,9})>", line (\d{1,9})')


def marks(turns: Sequence[Turn], tools: Sequence[str]) -> list[list[Mark]]:
    """Returns the marks of each turn, in the order of their lines.

    `kind` is `lost`, `typo` or `undefined` for the missing variable that ended the block,
    `guarded` for a loss that the code caught itself, `rewritten` for a name of an earlier turn that
    the block binds anew (`alive`: it need not have), `bound` where a name was bound that later
    turns (`missed`) lost. `line` is None where it is not known, `bound` is a turn and a line.
    """
    found: list[list[Mark]] = [[] for _ in turns]
    held = [bound_by(turn) for turn in turns]
    _missing(found, turns, tools, held)
    for at, names in enumerate(guarded_names(turns)):
        for name in sorted(names):
            line = _block(turns[at]).guarded_at.get(name)
            found[at].append(_pointing("guarded", name, line, turns, held[:at]))
    for at, names in enumerate(rebound_names(turns)):
        for name in sorted(names):
            line = _block(turns[at]).bound_at.get(name)
            mark = _pointing("rewritten", name, line, turns, held[:at])
            found[at].append({**mark, "alive": _alive(turns[at], name)})
    _sources(found)
    for one in found:
        one.sort(key=lambda mark: mark["line"] or 0)
    return found


def _missing(
    found: list[list[Mark]],
    turns: Sequence[Turn],
    tools: Sequence[str],
    held: Sequence[frozenset[str]],
) -> None:
    number = 0
    for at, (turn, kind) in enumerate(zip(turns, missing_variables(turns, tools), strict=True)):
        number += turn.execution is not None
        if kind is None or turn.execution is None:
            continue
        name = turn.execution.missing_name
        line = _missed_at(turn.code or "", turn.execution, number)
        mark: Mark = {"kind": kind, "name": name, "line": line}
        if kind == "lost" and name is not None:
            mark = _pointing(kind, name, line, turns, held[:at])
        if kind == "typo" and name is not None:
            mark["near"] = nearest(name, frozenset(tools).union(*held[: at + 1]))
        found[at].append(mark)


def _missed_at(code: str, execution: Execution, number: int) -> int | None:
    """The line of this block that the traceback names last; else the first that reads the name."""
    frames = _FRAME.finditer(execution.error or "")
    lines = [int(frame[2]) for frame in frames if frame[1] == str(number)]
    if lines and 1 <= lines[-1] <= len(code.splitlines()):
        return lines[-1]
    return block(code).read_at.get(execution.missing_name or "")


def _pointing(
    kind: str, name: str, line: int | None, turns: Sequence[Turn], held: Sequence[frozenset[str]]
) -> Mark:
    """A mark that says where the name had been bound: the last block that binds it visibly."""
    mark: Mark = {"kind": kind, "name": name, "line": line}
    holders = [at for at, names in enumerate(held) if name in names]
    for at in reversed(holders):
        if bound := _block(turns[at]).bound_at.get(name):
            return {**mark, "bound": [at + 1, bound]}
    return {**mark, "bound": [holders[0] + 1, None]} if holders else mark


def _sources(found: list[list[Mark]]) -> None:
    """Marks where names were bound that later turns lost."""
    sources: dict[tuple[int, int | None, str], list[int]] = {}
    for number, one in enumerate(found, start=1):
        for mark in one:
            if mark["kind"] in ("lost", "guarded") and "bound" in mark:
                turn, line = mark["bound"]
                sources.setdefault((turn, line, mark["name"]), []).append(number)
    for (turn, line, name), missed in sources.items():
        found[turn - 1].append({"kind": "bound", "name": name, "line": line, "missed": missed})


def _alive(turn: Turn, name: str) -> bool | None:
    carried = turn.execution.carried_names if turn.execution else None
    return None if carried is None else name in carried


def _block(turn: Turn) -> Block:
    return block(turn.code or "")
