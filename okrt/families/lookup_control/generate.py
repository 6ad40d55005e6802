"""Makes queues of look-ups: the same tier, split and seed are the same bytes anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import get_args

from okrt.families.lookup_control.instance import Instance, Sought, Ticket, to_private
from okrt.families.seeds import draw_ids
from okrt.types import Split, Task

FAMILY = "lookup_control"
VERSION = 1
"""Raised whenever a seed comes to mean another task."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The ranges of a tier, ends included."""

    tickets: tuple[int, int]
    numbers: int
    """In each record."""
    tool_cap: int
    """A ticket takes three calls."""
    number: tuple[int, int] = (1, 99)
    id_digits: int = 12


TIERS = {
    "micro": Tier((6, 9), numbers=3, tool_cap=6, id_digits=4),
    "easy": Tier((20, 30), numbers=4, tool_cap=12),
    "hard": Tier((60, 90), numbers=8, tool_cap=12),
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
        prompt=PROMPT.format(count=len(instance.tickets)),
        private=to_private(instance),
        tool_cap=TIERS[tier].tool_cap,
    )


def draw_instance(rng: Random, tier: Tier) -> Instance:
    count = rng.randint(*tier.tickets)
    ids = draw_ids(rng, "ticket", count, tier.id_digits)
    records = draw_ids(rng, "record", count, tier.id_digits)
    sought: tuple[Sought, ...] = get_args(Sought)
    return Instance(
        tuple(
            Ticket(
                ticket,
                rng.choice(sought),
                record,
                tuple(rng.randint(*tier.number) for _ in range(tier.numbers)),
            )
            for ticket, record in zip(ids, records, strict=True)
        )
    )


PROMPT = """\
Work off a queue of {count} tickets. Each names a record and what to find in it: the sum, the \
largest or the smallest of its numbers. The queue shows one ticket at a time, the next one once \
you have answered.

Rules:
- A ticket is answered once, rightly or wrongly, with a whole number.
- No ticket has to do with another.

Tools (ticket, record and answer return JSON text; a call that is refused raises ToolError):
- ticket() -> {{"left": ..., "ticket": id, "record": id, "find": "sum", "largest" or "smallest"}}; \
{{"left": 0}} when all are answered
- record(id) -> list of numbers
- answer(ticket, value) -> {{"left": ...}}
- finish() -> ends the task

Your score is the share of the tickets that you answered rightly."""
