"""What every family asks of a task's coordinates, and the opaque ids that its tasks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

SPLITS = ("eval", "train", "val")


def check_coordinates(family: str, tiers: Sequence[str], seed: int, tier: str, split: str) -> None:
    """Raises ValueError where the tier or split is unknown or the seed is negative."""
    if tier not in tiers:
        raise ValueError(f"unknown tier {tier!r} of {family}; known: {', '.join(tiers)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"seed {seed} is negative; seeds start at 0")


def draw_ids(rng: Random, prefix: str, count: int, digits: int) -> list[str]:
    """Returns distinct ids, `prefix` and so many hex digits, in the order of drawing."""
    ids: dict[str, None] = {}  # a dict keeps that order and drops a repeated id
    while len(ids) < count:
        ids[f"{prefix}_{rng.getrandbits(4 * digits):0{digits}x}"] = None
    return list(ids)
