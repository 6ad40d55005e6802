"""Training seeds: what a way of training gives, which tasks alone cannot tell.

Intervals over tasks speak about these checkpoints. A claim about training needs several seeds of
it, and is conditional on the tasks that they were measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from okrt.analysis.stats.estimate import FEWEST, LEVEL, Estimate
from okrt.analysis.stats.means import mean, student

CONDITIONAL = "conditional on these tasks"


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A figure for each training seed, and their mean."""

    values: Mapping[str, float]
    """By the seed's name, in the order given; seeds without a value are left out."""
    estimate: Estimate
    """Over seeds: its n counts them. Its method says that it is conditional on the tasks."""


def over_seeds(values: Mapping[str, float | None], level: float = LEVEL) -> OverSeeds:
    """Returns the mean over training seeds: by Student's t below ten of them, else by BCa.

    Raises:
        ValueError: a value is infinite, or the level does not lie in (0, 1).
    """
    kept = {seed: value for seed, value in values.items() if value is not None and value == value}
    few = len(kept) < FEWEST
    found = (student if few else mean)(kept.values()).estimate(level)
    if found.method.startswith("none: "):
        reason = found.method if len(kept) != 1 else "none: one training seed"
        return OverSeeds(kept, replace(found, method=reason))
    method = "Student's t" if few else found.method
    seeds = f"{method} over {len(kept)} training seeds, {CONDITIONAL}"
    return OverSeeds(kept, replace(found, method=seeds))
