"""The two marks that a score stands between: blind play below, scripted play above.

Both are means over `DRAWS` random plays of one task. The draws come from the raw 64-bit stream of
PCG64, which numpy keeps the same on every platform and in every version (its distributions it does
not promise to), seeded by a digest of a string; all plays advance together, one array a step.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from okrt.families.opaque_knapsack.instance import Instance

DRAWS = 100


@lru_cache(maxsize=4096)
def floor_score(instance: Instance, seed: str) -> float:
    """Returns the mean score of blind play.

    Blind play tries to take every item once, in uniformly random order, and inspects none. Refused
    takes cost nothing, so it takes each item that is allowed and still fits.
    """
    return _mean_score(instance, _random_keys(instance, f"{seed}/floor"))


@lru_cache(maxsize=4096)
def reference_score(instance: Instance, seed: str) -> float:
    """Returns the mean score of scripted play under the inspection budget.

    It inspects uniformly random items until the budget is spent, tries to take those by falling
    value/weight (of equal ones, the first listed), then the others blindly in random order.
    """
    keys = _random_keys(instance, f"{seed}/reference")
    turn = keys.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    density = np.array([item.value / item.weight for item in instance.items])
    rank = (-density).argsort(kind="stable").argsort(kind="stable")
    order = np.where(turn < instance.budget, rank, len(instance.items) + turn)
    return _mean_score(instance, order)


def _random_keys(instance: Instance, seed: str) -> NDArray[np.uint64]:
    digest = hashlib.sha256(seed.encode()).digest()
    shape = (DRAWS, len(instance.items))
    raw = np.random.PCG64(int.from_bytes(digest, "big")).random_raw(shape[0] * shape[1])
    return np.asarray(raw, dtype=np.uint64).reshape(shape)


def _mean_score(instance: Instance, keys: NDArray[np.uint64] | NDArray[np.int64]) -> float:
    """Returns the mean score of plays that try the items by rising key; keys: (plays, items)."""
    allowed = np.array([item.letter in instance.allowed for item in instance.items])
    weights = np.array([item.weight for item in instance.items])[allowed]
    values = np.array([item.value for item in instance.items])[allowed]
    order = keys[:, allowed].argsort(axis=1, kind="stable")
    left = np.full(len(keys), instance.capacity)
    total = np.zeros(len(keys), dtype=np.int64)
    for weight, value in zip(weights[order].T, values[order].T, strict=True):
        fits = weight <= left
        left -= weight * fits
        total += value * fits
    return int(total.sum()) / (len(keys) * instance.optimum)
