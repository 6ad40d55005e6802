"""Facts -> what happened in which turn, of the episodes of one cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from statistics import fmean, quantiles
from typing import Any

from okrt.report.html.facts import Facts
from okrt.report.plain import one_line

KINDS = 8
"""Kinds of errors told apart; the rarer ones are one."""
OTHER = "other errors"
COLUMNS = 40
"""Columns of turns; of longer episodes, a column is of several turns."""
_LONGEST = 40
"""Characters of a kind: code names its own exceptions."""


def tokens_by_turn(episodes: Sequence[Facts]) -> list[dict[str, Any]]:
    """Returns, for each turn, mean and quartiles of the tokens of the episodes that reached it."""
    found = []
    for number, column in enumerate(zip_longest(*(one.turn_tokens for one in episodes)), 1):
        known = [value for value in column if value is not None]
        if known:
            low, _, high = quantiles(known, method="inclusive") if len(known) > 1 else known * 3
            mean = fmean(known)
            found.append({"turn": number, "mean": mean, "low": low, "high": high, "n": len(known)})
    return found


def errors_by_turn(episodes: Sequence[Facts], longest: int = 0) -> list[dict[str, Any]]:
    """Returns how often each kind of error ended a turn, by turn or by several turns at a time.

    `share` is of the turns that were taken there, `of` their number.
    """
    longest = max([longest, *(len(one.turn_tokens) for one in episodes)])
    wide = max(1, -(-longest // COLUMNS))
    taken = Counter(turn // wide for one in episodes for turn in range(len(one.turn_tokens)))
    kinds = Counter(kind for one in episodes for _, kind in one.errors)
    kept = {kind for kind, _ in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:KINDS]}
    counts = Counter(
        (one_line(kind, _LONGEST) if kind in kept else OTHER, (turn - 1) // wide)
        for one in episodes
        for turn, kind in one.errors
    )
    return [
        {
            "kind": kind, "first": place * wide + 1, "last": (place + 1) * wide,
            "count": count, "of": taken[place], "share": count / taken[place],
        }
        for (kind, place), count in sorted(counts.items())
    ]  # fmt: skip
