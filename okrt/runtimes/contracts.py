"""The independent variable: what survives between two code blocks.

A contract is any object with these four members (`okrt.types.Contract`); a user may pass one of
their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from okrt.types import Contract, Execution

_KEPT = "Variables, functions and imports defined in one code block stay available in later blocks."
_LOST = (
    "Each code block starts in a fresh interpreter: "
    "variables, functions and imports of earlier blocks are gone."
)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A contract that answers the same at every turn boundary, whatever the last block did."""

    name: str
    notice: str
    false_notice: str
    keeps: bool

    def keeps_names(self, turn: int, last: Execution) -> bool:
        return self.keeps


PERSISTENT: Contract = _Fixed("persistent", _KEPT, _LOST, keeps=True)
STATELESS: Contract = _Fixed("stateless", _LOST, _KEPT, keeps=False)
