"""Names that were gone when a block wanted them, turn by turn.

Pure functions of the turns of one trajectory. What a block bound is what the runtime saw alive when
the block ended; only where the process was lost do the names that its code binds stand in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Literal

from okrt.analysis.defuse import Block, block
from okrt.types import Execution, Turn

MissingVariable = Literal["lost", "typo", "undefined"]

SHORT_NAME = 5
"""Characters. One edit makes a typo of a name this short, two of a longer one."""

_NOTHING = Block()


def missing_variables(
    turns: Sequence[Turn], tools: Iterable[str] = ()
) -> list[MissingVariable | None]:
    """Returns, for each turn, the class of the missing variable that ended it, or None.

    `lost`: an earlier turn of the episode had bound the name. `typo`: it is one edit away (two
    beyond five characters) from a name bound so far or from a tool.
    `undefined`: the rest, and where the interpreter did not give the name.

    Source: arXiv 2603.01209 counts episodes with an uncaught NameError; differs: the three classes
    are ours. UnboundLocalError, a subclass, is no missing variable: the name is a function's own
    and no runtime keeps or loses it.
    """
    before = bound_before(turns)
    provided = frozenset(tools)
    found: list[MissingVariable | None] = []
    for turn, earlier in zip(turns, before, strict=True):
        if turn.execution is None or not _ended_by_name_error(turn.execution):
            found.append(None)
        else:
            known = earlier | bound_by(turn) | provided
            found.append(_classify(turn.execution.missing_name, earlier, known))
    return found


def bound_before(turns: Sequence[Turn]) -> list[frozenset[str]]:
    """Returns, for each turn, every name that a turn before it had bound, alive or not."""
    before: list[frozenset[str]] = []
    earlier: frozenset[str] = frozenset()
    for turn in turns:
        before.append(earlier)
        earlier |= bound_by(turn)
    return before


def bound_by(turn: Turn) -> frozenset[str]:
    """Returns the names alive when the block ended; where that is not known, those it binds."""
    if turn.execution is None:
        return frozenset()
    if turn.execution.bound_names is not None:
        return frozenset(turn.execution.bound_names)
    return block(turn.code or "").bound


def guarded_losses(turns: Sequence[Turn]) -> int:
    """Returns how many turns guard themselves against a loss that had happened."""
    return sum(map(bool, guarded_names(turns)))


def guarded_names(turns: Sequence[Turn]) -> list[frozenset[str]]:
    """Returns, for each turn, the names whose loss it guards itself against.

    It reads them in a `try` with a handler that names NameError; an earlier turn had bound them,
    and they were not alive when the block began.
    """
    return [
        names.guarded & earlier - frozenset(turn.execution.carried_names)
        if turn.execution is not None and turn.execution.carried_names is not None
        else frozenset()
        for turn, earlier, names in _static(turns)
    ]


def redefinitions(turns: Sequence[Turn]) -> int:
    """Returns how many names were bound anew by a later block, summed over the blocks."""
    return sum(map(len, rebound_names(turns)))


def rebound_names(turns: Sequence[Turn]) -> list[frozenset[str]]:
    """Returns, for each turn, the names of earlier turns that its block bound anew.

    By `def`, `class`, an import or an assignment that does not read the name, at the outermost
    level of the block; whether the name was still alive makes no difference.
    """
    return [names.rebound & earlier for _, earlier, names in _static(turns)]


def recovery_turns(turns: Sequence[Turn]) -> int:
    """Returns how many turns it took to get back to a block that runs, after missing variables.

    Counted from the turn after the error up to and including the first whose block ends `ok`; a
    turn that serves several errors counts once.
    """
    count, recovering = 0, False
    for turn, missing in zip(turns, missing_variables(turns), strict=True):
        count += recovering
        if turn.execution is not None and turn.execution.status == "ok":
            recovering = False
        recovering = recovering or missing is not None
    return count


def within_edits(one: str, other: str, edits: int) -> bool:
    """Whether at most so many insertions, deletions and substitutions lead from one to the other.

    Source: the distance of Levenshtein (1966). A swap of neighbours is two edits.
    """
    if abs(len(one) - len(other)) > edits:
        return False
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    same = sum(1 for _ in pairs)
    one, other = one[same:], other[same:]
    if not one or not other:
        return True
    return edits > 0 and (
        within_edits(one[1:], other[1:], edits - 1)
        or within_edits(one[1:], other, edits - 1)
        or within_edits(one, other[1:], edits - 1)
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that this one may be a typo of: fewest edits first, then by name."""
    others = sorted(other for other in known if other != name)
    for edits in (1,) if len(name) <= SHORT_NAME else (1, 2):
        for other in others:
            if within_edits(name, other, edits):
                return other
    return None


def _classify(name: str | None, earlier: frozenset[str], known: frozenset[str]) -> MissingVariable:
    if name is None:
        return "undefined"
    if name in earlier:
        return "lost"
    return "undefined" if nearest(name, known) is None else "typo"


def _ended_by_name_error(execution: Execution) -> bool:
    return execution.error_type == "NameError" or execution.missing_name is not None


def _static(turns: Sequence[Turn]) -> list[tuple[Turn, frozenset[str], Block]]:
    """The turns with the names bound before each and those of its block.

    A turn that ran no block, or before which nothing was bound, has none.
    """
    return [
        (turn, earlier, _NOTHING)
        if turn.code is None or turn.execution is None or not earlier
        else (turn, earlier, block(turn.code))
        for turn, earlier in zip(turns, bound_before(turns), strict=True)
    ]
