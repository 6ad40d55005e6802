"""The exact optimum of a 0/1 knapsack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Solution:
    value: int
    chosen: tuple[int, ...]
    """Indices, ascending. Where several sets are optimal, later items are left out first."""


def solve(weights: Sequence[int], values: Sequence[int], capacity: int) -> Solution:
    """Returns the most valuable set of items that fits.

    Weights are positive, values are not negative. Dynamic programming over capacities, one numpy
    operation per item: O(items x capacity) time and memory.
    """
    best = np.zeros(capacity + 1, dtype=np.int64)
    improves = np.zeros((len(weights), capacity + 1), dtype=np.bool_)
    for index, (weight, value) in enumerate(zip(weights, values, strict=True)):
        if weight > capacity:
            continue
        with_item = best[: capacity + 1 - weight] + value
        improves[index, weight:] = with_item > best[weight:]
        best[weight:] = np.maximum(with_item, best[weight:])
    chosen: list[int] = []
    left = capacity
    for index in reversed(range(len(weights))):
        if improves[index, left]:
            chosen.append(index)
            left -= weights[index]
    return Solution(int(best[capacity]), tuple(reversed(chosen)))
