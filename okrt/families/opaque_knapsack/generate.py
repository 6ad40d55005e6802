"""Makes Opaque Knapsack tasks: the same tier, split and seed are the same bytes anywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from okrt.families.opaque_knapsack.instance import Instance, Item, to_private
from okrt.families.opaque_knapsack.optimum import solve
from okrt.families.seeds import draw_ids
from okrt.types import Split, Task

FAMILY = "opaque_knapsack"
VERSION = 1
"""Raised whenever a seed comes to mean another task."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_DRAWS = 200
"""Source: arXiv 2603.01209, public code. Differs: the last draw is not kept, an error is raised."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The ranges of a tier, ends included."""

    items: tuple[int, int]
    weight: tuple[int, int]
    value: tuple[int, int]
    classes: tuple[int, int]
    """Letters that the items' classes are drawn from; on few items some may not occur."""
    allowed: tuple[int, int]
    ratio: tuple[float, float]
    """Capacity over the total weight of the allowed items; the capacity is rounded down."""
    tool_cap: int = 25
    id_digits: int = 12
    min_allowed_items: int = 5
    min_optimum_items: int = 3
    max_value_share: float = 0.4
    """The most that one item of the optimum may be worth, as a share of the optimum."""
    min_capacity: int = 0
    budget_share: float | None = None
    """Inspection budget as a share of the items; None: the published formula, see `_budget`."""


TIERS = {
    # Ours, small enough for models trained from nothing. Not published.
    "micro": Tier(
        items=(8, 14),
        weight=(5, 20),
        value=(10, 100),
        classes=(4, 5),
        allowed=(2, 3),
        ratio=(0.35, 0.50),
        tool_cap=6,
        id_digits=4,
        min_allowed_items=3,
        min_optimum_items=2,
        max_value_share=1.0,
        min_capacity=20,
        budget_share=0.75,
    ),
    # Source: arXiv 2603.01209.
    "easy": Tier(
        items=(25, 40),
        weight=(5, 20),
        value=(10, 100),
        classes=(15, 15),
        allowed=(3, 3),
        ratio=(0.35, 0.50),
    ),
    # Source: "Evaluating Agents Across Runtime Contracts" (IAEval workshop, NeurIPS 2026).
    "medium": Tier(
        items=(40, 65),
        weight=(5, 35),
        value=(10, 300),
        classes=(26, 26),
        allowed=(4, 4),
        ratio=(0.35, 0.50),
    ),
    # Source: arXiv 2603.01209.
    "hard": Tier(
        items=(80, 120),
        weight=(5, 50),
        value=(10, 500),
        classes=(26, 26),
        allowed=(5, 5),
        ratio=(0.40, 0.60),
    ),
}


def make_task(seed: int, tier: str, split: Split) -> Task:
    """Returns the task; every draw comes from one string seed that names the split and version."""
    rng = Random(f"{FAMILY}/{tier}/{split}/{seed}@{VERSION}")
    instance = draw_instance(rng, TIERS[tier])
    return Task(
        family=FAMILY,
        tier=tier,
        split=split,
        seed=seed,
        version=VERSION,
        prompt=render_prompt(instance),
        private=to_private(instance),
        tool_cap=TIERS[tier].tool_cap,
    )


def draw_instance(rng: Random, tier: Tier) -> Instance:
    """Returns the first draw that meets the tier's conditions.

    Raises:
        ValueError: none of `MAX_DRAWS` draws did; the tier's ranges contradict its conditions.
    """
    for _ in range(MAX_DRAWS):
        instance = _draw(rng, tier)
        if instance is not None:
            return instance
    raise ValueError(f"no draw of {MAX_DRAWS} met the conditions of {tier}; widen its ranges")


def _draw(rng: Random, tier: Tier) -> Instance | None:
    letters = sorted(rng.sample(ALPHABET, rng.randint(*tier.classes)))
    allowed = sorted(rng.sample(letters, rng.randint(*tier.allowed)))
    items = _draw_items(rng, tier, letters, allowed)
    candidates = [item for item in items if item.letter in allowed]
    if len(candidates) < tier.min_allowed_items:
        return None
    weights = [item.weight for item in candidates]
    values = [item.value for item in candidates]
    capacity = max(int(rng.uniform(*tier.ratio) * sum(weights)), tier.min_capacity)
    optimum = solve(weights, values, capacity)
    if len(optimum.chosen) < tier.min_optimum_items:
        return None
    if max(values[i] for i in optimum.chosen) > tier.max_value_share * optimum.value:
        return None
    return Instance(
        items=tuple(items),
        allowed=tuple(allowed),
        capacity=capacity,
        budget=_budget(tier, len(items), len(letters), len(allowed), capacity, len(optimum.chosen)),
        optimum=optimum.value,
    )


def _draw_items(rng: Random, tier: Tier, letters: list[str], allowed: list[str]) -> list[Item]:
    """Returns items in random order; where chance allowed none of them, one at random is."""
    count = rng.randint(*tier.items)
    ids = draw_ids(rng, "item", count, tier.id_digits)
    drawn = [rng.choice(letters) for _ in ids]
    if not set(drawn) & set(allowed):
        drawn[rng.randrange(count)] = rng.choice(allowed)
    return [
        Item(item_id, letter, value=rng.randint(*tier.value), weight=rng.randint(*tier.weight))
        for item_id, letter in zip(ids, drawn, strict=True)
    ]


def _budget(
    tier: Tier, items: int, classes: int, allowed: int, capacity: int, optimum_items: int
) -> int:
    """Returns ceil(max(1.5 capacity / mean weight / (allowed / classes), 1.1 |optimum|)).

    Clamped to [5, items]; the mean weight is the middle of its range, |optimum| a number of items.
    Source: arXiv 2603.01209, public code.
    """
    if tier.budget_share is not None:
        return math.ceil(tier.budget_share * items)
    mean_weight = sum(tier.weight) / 2
    search = 1.5 * capacity / mean_weight / (allowed / classes)
    return min(max(math.ceil(max(search, 1.1 * optimum_items)), 5), items)


PROMPT = """\
Fill a knapsack. Each item has a class, a value and a weight, hidden until you inspect the item.

Capacity: {capacity}
Inspection budget: {budget}
Classes that occur: {classes}

Rules:
- The weights of the items you take may not add up to more than the capacity.
- Only items of some classes may be taken, and which classes is not told. Taking an item of \
another class is refused, and so is one that is too heavy for the capacity left.
- A refused take costs nothing. A take that succeeds cannot be undone.
- Inspecting an item costs one unit of the budget the first time and nothing after that.

Tools (the first three return JSON text; a call that is refused raises ToolError):
- list_items() -> list of item ids
- inspect(item_id) -> {{"class": ..., "value": ..., "weight": ...}}
- take_item(item_id) -> {{"taken": item_id, "capacity_left": ...}}
- finish() -> ends the task

Your score is the value of what you took divided by the best value possible."""


def render_prompt(instance: Instance) -> str:
    """Returns the task as the agent reads it; the classes are those of the items, sorted."""
    return PROMPT.format(
        capacity=instance.capacity,
        budget=instance.budget,
        classes=", ".join(sorted({item.letter for item in instance.items})),
    )
