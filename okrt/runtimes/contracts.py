"""The independent variable: what survives between two code blocks.

A contract is any object with these four members (`okrt.types.Contract`); a user may pass one of
their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from okrt.types import Contract, Execution, Kept

_KEPT = "Variables, functions and imports defined in one code block stay available in later blocks."
_FRESH = "Each code block starts in a fresh interpreter"
_GONE = "variables, functions and imports of earlier blocks are gone"
_LOST = f"{_FRESH}: {_GONE}."
_CARRIED = (
    f"{_FRESH}, unless the tool-call cap cut the block before it short: "
    "then that block's variables, functions and imports are still there."
)
_CARRIES = (
    "The tool-call cap cut this block short: "
    "its variables, functions and imports stay available in the next block."
)

ALL, NOTHING = Kept(names=True, files=True), Kept(names=False, files=False)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A contract that answers the same at every turn boundary, whatever the last block did."""

    name: str
    notice: str
    false_notice: str
    kept: Kept

    def keeps(self, turn: int, last: Execution) -> Kept:
        return self.kept


@dataclass(frozen=True, slots=True)
class _Carryover:
    """Stateless, but the namespace of a block that the cap cut short lives for one turn more.

    Source: cap-boundary carryover of "Evaluating Agents Across Runtime Contracts" (IAEval 2026).
    If the cap cuts the next block short as well, what it was handed lives on with its own.
    """

    name: str
    note: str = ""
    notice: str = _CARRIED
    false_notice: str = _KEPT

    def keeps(self, turn: int, last: Execution) -> Kept:
        return Kept(names=True, files=True, note=self.note) if last.status == "cap" else NOTHING


@dataclass(frozen=True, slots=True)
class ResetEvery:
    """`reset-every-K`: a persistent runtime that starts afresh after every K blocks.

    Raises:
        ValueError: fewer than 2 blocks, which is `stateless`.
    """

    blocks: int
    false_notice: str = _KEPT

    def __post_init__(self) -> None:
        if self.blocks < 2:
            raise ValueError(f"a runtime is reset every 2 blocks or more, not {self.blocks}")

    @property
    def name(self) -> str:
        return f"reset-every-{self.blocks}"

    @property
    def notice(self) -> str:
        return (
            f"The interpreter starts afresh after every {self.blocks} code blocks; in between, "
            "variables, functions and imports stay available."
        )

    def keeps(self, turn: int, last: Execution) -> Kept:
        return ALL if turn % self.blocks else NOTHING


PERSISTENT: Contract = _Fixed("persistent", _KEPT, _LOST, ALL)
STATELESS: Contract = _Fixed("stateless", _LOST, _KEPT, NOTHING)
CARRYOVER: Contract = _Carryover("carryover")
CARRYOVER_ANNOUNCED: Contract = _Carryover("carryover-announced", _CARRIES)
FILES: Contract = _Fixed(
    "files",
    f"{_FRESH}: {_GONE}, but the files that they wrote to the working directory are still there.",
    _KEPT,
    Kept(names=False, files=True),
)
CONTRACTS = (PERSISTENT, STATELESS, CARRYOVER, CARRYOVER_ANNOUNCED, FILES)
"""Those of a fixed name; `ResetEvery` makes the others."""
