"""Makes ledger tasks: the same tier, split and seed are the same bytes anywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from okrt.families.ledger_audit.instance import (
    Account,
    Answer,
    Entry,
    Instance,
    to_private,
    totals_of,
)
from okrt.families.seeds import draw_ids
from okrt.types import Split, Task

FAMILY = "ledger_audit"
VERSION = 1
"""Raised whenever a seed comes to mean another task."""

REGIONS = ("east", "north", "south", "west")
KINDS = ("fee", "loan", "sale", "tax")
MAX_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Tier:
    """The ranges of a tier, ends included."""

    accounts: tuple[int, int]
    entries: tuple[int, int]
    page: int
    tool_cap: int
    regions: int
    """Names that the accounts' regions are drawn from."""
    kinds: int = 2
    amount: tuple[int, int] = (1, 500)
    id_digits: int = 12
    slack: float = 0.25
    """Reads beyond those that show both tables once, as a share of them; rounded up."""
    min_matched: int = 3
    """Accounts in the region that have an entry of the kind, at least."""


TIERS = {
    # Small enough for models trained from nothing.
    "micro": Tier((6, 9), (12, 20), page=3, tool_cap=4, regions=2, id_digits=4, min_matched=2),
    "easy": Tier((24, 36), (80, 120), page=5, tool_cap=10, regions=2),
    "hard": Tier((60, 90), (240, 360), page=6, tool_cap=12, regions=3),
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
    """Returns an instance; None where too few accounts match or two share the largest total."""
    regions = sorted(rng.sample(REGIONS, tier.regions))
    kinds = sorted(rng.sample(KINDS, tier.kinds))
    count = rng.randint(*tier.accounts)
    ids = draw_ids(rng, "acct", count, tier.id_digits)
    contacts = draw_ids(rng, "person", count, tier.id_digits)
    accounts = tuple(
        Account(account, rng.choice(regions), contact)
        for account, contact in zip(ids, contacts, strict=True)
    )
    entries = tuple(
        Entry(rng.choice(ids), rng.choice(kinds), rng.randint(*tier.amount))
        for _ in range(rng.randint(*tier.entries))
    )
    region, kind = rng.choice(regions), rng.choice(kinds)
    totals = totals_of(accounts, entries, region, kind)
    ranked = sorted(totals, key=lambda account: totals[account], reverse=True)
    if sum(total > 0 for total in totals.values()) < tier.min_matched:
        return None
    if totals[ranked[0]] == totals[ranked[1]]:
        return None
    contact = contacts[ids.index(ranked[0])]
    answer = Answer(sum(totals.values()), ranked[0], contact)
    drawn = Instance(accounts, entries, region, kind, tier.page, 0, answer)
    budget = drawn.pages + math.ceil(tier.slack * drawn.pages) + 1
    return Instance(accounts, entries, region, kind, tier.page, budget, answer)


PROMPT = """\
Audit a ledger. It is two tables, behind a tool that shows a few rows at a time.

Table accounts: {accounts} rows like {{"account": "acct_...", "region": "..."}}
Table entries: {entries} rows like {{"account": "acct_...", "kind": "...", "amount": 12}}
Rows shown at a time: {page}
Reading budget: {budget}

Look at the entries of kind {kind} whose account is in region {region}, and find
- total: the sum of their amounts
- account: of all accounts, the one whose share of that sum is the largest
- contact: the contact of that account

Rules:
- The rows of a table are numbered from 0 and stand in no order.
- Each call of rows or contact costs one unit of the budget, a repeated one again. A refused call \
costs nothing.
- An answer is taken once and cannot be changed.

Tools (rows and contact return JSON text; a call that is refused raises ToolError):
- rows(table, start) -> list of the rows from number start on, as many as are shown at a time
- contact(account) -> {{"contact": ...}}
- submit(answer) -> takes {{"total": ..., "account": ..., "contact": ...}}
- finish() -> ends the task

Your score is the share of the three that you submitted right."""


def render_prompt(instance: Instance) -> str:
    """Returns the task as the agent reads it."""
    return PROMPT.format(
        accounts=len(instance.accounts),
        entries=len(instance.entries),
        page=instance.page,
        budget=instance.budget,
        kind=instance.kind,
        region=instance.region,
    )
