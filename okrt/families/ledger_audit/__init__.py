"""Ledger audit: two tables shown page by page, a question that joins them, one answer.

The second family, so that what is said of a runtime does not hang on a knapsack. Ours; not
published. Its steps depend on each other (filter, join, aggregate, look-up), the cap on tool calls
parts them into turns, and its budget of reads is too small to read the tables twice: what was found
must be carried to the next turn, by name or as literals.

The answer is exact and taken once. It has three parts, each of which needs the one before: the sum
(filter, join), the account (aggregate), its contact (look-up). The score is the share that is
right. What the experts' idioms cost in each runtime is measured in `docs/families.md`.
"""

from __future__ import annotations

from okrt.families.ledger_audit.environment import LedgerAuditEnvironment
from okrt.families.ledger_audit.generate import FAMILY, TIERS, make_task
from okrt.families.seeds import check_coordinates
from okrt.types import Environment, Split, Task


class LedgerAudit:
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
        return LedgerAuditEnvironment(task)
