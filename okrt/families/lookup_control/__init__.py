"""Lookup control: a queue of small look-ups, of which none needs anything of an earlier one.

The state-free control. What to do next, and with what, is always one call away: the queue itself
keeps its place. Nothing has to be carried from turn to turn, so a runtime that forgets takes
nothing away, and a contrast between runtimes that is seen elsewhere must vanish here. One that
stays shows an agent that counts on names which it had no need to keep, or a fault of the harness.
The experts' cells are identical in both runtimes: `docs/families.md`.

Ours; not published. The score is the share of the tickets that were answered rightly. In a row,
`repeated_inspections` counts the calls of `ticket`, which are alike by design.
"""

from __future__ import annotations

from okrt.families.lookup_control.environment import LookupControlEnvironment
from okrt.families.lookup_control.generate import FAMILY, TIERS, make_task
from okrt.families.seeds import check_coordinates
from okrt.types import Environment, Split, Task


class LookupControl:
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
        return LookupControlEnvironment(task)
