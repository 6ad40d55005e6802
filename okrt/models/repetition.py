"""When a reply goes round in circles."""

from __future__ import annotations

from collections.abc import Sequence

ROUNDS = 8
"""Times that a piece must stand in a row, at least."""
SHORTEST = 64
"""The shortest window that a user may ask for: less would stop what is meant."""
EVERY = 16
"""A reply is looked at once in so many tokens."""


def is_due(length: int) -> bool:
    """Whether a reply of so many tokens is looked at."""
    return length % EVERY == 0


def repeats(ids: Sequence[int], window: int) -> bool:
    """Whether the last `window` ids are one piece over and over, at least `ROUNDS` times.

    Conservative, because a reply may well repeat itself for a while (a list of zeros, a row of
    dashes) and end in sense: nothing less than a verbatim cycle counts, and it must have filled the
    whole window. A model decoded greedily seldom leaves such a cycle: each round makes the next one
    likelier. Source: Holtzman et al., The Curious Case of Neural Text Degeneration, arXiv
    1904.09751.
    """
    tail = list(ids[-window:])
    if len(tail) < window:
        return False
    last = tail[-1]
    return any(
        tail[-1 - period] == last and tail[period:] == tail[:-period]
        for period in range(1, window // ROUNDS + 1)
    )
