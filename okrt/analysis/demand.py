"""How many tool calls blocks want, and how many blocks a cap would cut short.

Pure functions of turns and numbers. `okrt.analysis.caps` says what caps do to quality and cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from okrt.types import Turn


@dataclass(frozen=True, slots=True)
class Demand:
    """K_t: the tool calls that a block tried to make, those beyond the cap counted."""

    calls: int
    at_least: bool
    """Whether it was ended before it could make more: by the cap, which ends a block at the first
    refused call unless the block catches that, by its deadline, or with its process."""


def demands(turns: Sequence[Turn]) -> list[Demand]:
    """Returns the demand of each block that was run, in their order."""
    return [
        Demand(len(done.calls) + done.refused_calls, done.status in ("cap", "timeout", "died"))
        for done in (turn.execution for turn in turns)
        if done is not None
    ]


def exposure(demands: Iterable[int], cap: int) -> float | None:
    """Returns E_c = Pr(K_t > c), the share of blocks that want more calls than the cap; None of no
    blocks.

    Of blocks that ran under a cap of their own it is exact for that cap and any below it, as a
    block that hit its cap wanted one call more at least. A block that its deadline or its death
    ended before counts as one that wanted no more than it made: with such, it is a lower bound.
    Above the cap, demand must have been measured without one: by running the blocks again.

    Source: the follow-up of arXiv 2603.01209 on runtime contracts, which measures it so.

    Raises:
        ValueError: the cap is below one, or a demand is negative.
    """
    if cap < 1:
        raise ValueError(f"a cap is at least 1, got {cap}")
    wanted = list(demands)
    if min(wanted, default=0) < 0:
        raise ValueError(f"a block makes no {min(wanted)} calls")
    return sum(one > cap for one in wanted) / len(wanted) if wanted else None
