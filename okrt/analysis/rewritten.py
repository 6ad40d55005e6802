"""Tokens that went into writing state again, estimated from the code."""

from __future__ import annotations

from collections.abc import Sequence

from okrt.analysis.defuse import block
from okrt.analysis.missing import bound_before
from okrt.types import Turn


def rewritten_tokens(turns: Sequence[Turn]) -> float | None:
    """Returns how many of the generated tokens bound names anew that earlier turns had bound.

    Of each completion, the share of its characters that are such statements (as `redefinitions`
    counts them: at the block's outermost level, not reading the name). Statements that fill what
    was bound anew, such as loops, are not among them: a lower bound. None where tokens were not
    counted.
    """
    total = 0.0
    for turn, earlier in zip(turns, bound_before(turns), strict=True):
        generated = turn.completion.usage.completion_tokens
        if generated is None:
            return None
        if turn.code is not None and turn.execution is not None and earlier:
            again = _characters(turn.code, earlier)
            total += generated * min(1.0, again / max(1, len(turn.completion.text)))
    return total


def _characters(code: str, earlier: frozenset[str]) -> int:
    """Of whole lines, as far as they belong to a statement that binds an earlier name anew."""
    again = {
        number
        for names, first, last in block(code).rebindings
        if not names.isdisjoint(earlier)
        for number in range(first - 1, last)
    }
    if not again:
        return 0
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as the parser counts
    return sum(len(lines[number]) + 1 for number in again)
