"""Opaque Knapsack: items with hidden value, weight and class, a budget to look, one try to pack.

Source: arXiv 2603.01209, whose public tiers `easy` and `hard` it follows; `docs/departures.md` says
where it leaves them.
"""

from __future__ import annotations

from okrt.families.opaque_knapsack.environment import OpaqueKnapsackEnvironment
from okrt.families.opaque_knapsack.generate import FAMILY, TIERS, make_task
from okrt.families.seeds import check_coordinates
from okrt.types import Environment, Split, Task


class OpaqueKnapsack:
    """The family: makes tasks, and environments that judge them."""

    name = FAMILY
    tiers = tuple(TIERS)

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        """Returns the instance; a pure function of its arguments.

        Raises:
            ValueError: the tier or split is unknown or the seed is negative.
        """
        check_coordinates(FAMILY, self.tiers, seed, tier, split)
        return make_task(seed, tier, split)

    def environment(self, task: Task) -> Environment:
        """Returns a fresh environment. Raises: FamilyError where the task is not this family's."""
        return OpaqueKnapsackEnvironment(task)
