"""Ledgers: their figures, and that the answer is the one which brute force finds in the rows."""

from __future__ import annotations

import dataclasses
import json
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.families.ledger_audit import LedgerAudit
from okrt.families.ledger_audit.generate import TIERS, draw_instance
from okrt.families.ledger_audit.instance import Answer, Instance, from_task
from okrt.families.ledger_audit.reference import reference_score
from okrt.types import Split

FAMILY = LedgerAudit()
FIGURES = {  # accounts, entries, page, cap
    "micro": ((6, 9), (12, 20), 3, 4),
    "easy": ((24, 36), (80, 120), 5, 10),
    "hard": ((60, 90), (240, 360), 6, 12),
}


def brute_force(instance: Instance) -> Answer:
    """Returns the answer of a nested loop over both tables, without a single dictionary."""
    pairs = [
        (account, entry)
        for account, entry in product(instance.accounts, instance.entries)
        if entry.account == account.id
        and account.region == instance.region
        and entry.kind == instance.kind
    ]
    sums = [
        (sum(entry.amount for other, entry in pairs if other == account), account)
        for account in instance.accounts
    ]
    most = max(amount for amount, _ in sums)
    (best,) = [account for amount, account in sums if amount == most]
    return Answer(sum(entry.amount for _, entry in pairs), best.id, best.contact)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["micro", "easy"]),
    st.integers(0, 10**6),
    st.sampled_from(["eval", "train", "val"]),
)
def test_the_answer_is_that_of_brute_force(tier: str, seed: int, split: Split) -> None:
    instance = from_task(FAMILY.task(seed, tier, split))
    assert instance.answer == brute_force(instance)


def test_the_answer_of_a_large_ledger_is_that_of_brute_force() -> None:
    instance = from_task(FAMILY.task(0, "hard"))
    assert instance.answer == brute_force(instance)


@pytest.mark.parametrize("tier", TIERS)
def test_tiers_have_their_figures(tier: str) -> None:
    accounts, entries, page, cap = FIGURES[tier]
    for seed in range(30):
        task = FAMILY.task(seed, tier)
        instance = from_task(task)
        assert accounts[0] <= len(instance.accounts) <= accounts[1]
        assert entries[0] <= len(instance.entries) <= entries[1]
        assert (instance.page, task.tool_cap) == (page, cap)
        assert all(1 <= entry.amount <= 500 for entry in instance.entries)
        ids = [one for a in instance.accounts for one in (a.id, a.contact)]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("tier", TIERS)
def test_the_budget_shows_both_tables_once_and_not_twice(tier: str) -> None:
    for seed in range(30):
        instance = from_task(FAMILY.task(seed, tier))
        read = sum(-(-len(t) // instance.page) for t in (instance.accounts, instance.entries))
        assert instance.pages == read
        assert read + 1 < instance.budget < 2 * read
        assert reference_score(instance) == 1.0


def test_too_small_a_budget_costs_the_reference_its_score() -> None:
    instance = from_task(FAMILY.task(0, "easy"))
    scores = [
        reference_score(_with_budget(instance, budget)) for budget in (1, 2, instance.pages, 999)
    ]
    assert scores[0] == 0.0
    assert scores[-1] == 1.0
    assert scores == sorted(scores)
    assert scores[1] < 1.0


def _with_budget(instance: Instance, budget: int) -> Instance:
    parts = {name: getattr(instance, name) for name in instance.__struct_fields__}
    return Instance(**{**parts, "budget": budget})


def test_prompt_tells_the_question_and_nothing_of_the_answer() -> None:
    task = FAMILY.task(17, "easy")
    instance = from_task(task)
    assert f"\nTable accounts: {len(instance.accounts)} rows" in task.prompt
    assert f"\nTable entries: {len(instance.entries)} rows" in task.prompt
    assert f"\nReading budget: {instance.budget}\n" in task.prompt
    assert f"of kind {instance.kind} whose account is in region {instance.region}," in task.prompt
    for part in (instance.answer.account, instance.answer.contact, str(instance.answer.total)):
        assert part not in task.prompt


def test_private_data_is_json() -> None:
    task = FAMILY.task(0, "micro")
    assert json.loads(json.dumps(task.private)) == task.private


def test_a_tier_that_cannot_be_met_raises() -> None:
    with pytest.raises(ValueError, match="200"):
        draw_instance(Random("never"), dataclasses.replace(TIERS["micro"], min_matched=99))


def test_no_two_accounts_share_the_largest_sum() -> None:
    tight = dataclasses.replace(TIERS["micro"], amount=(1, 2))
    for seed in range(50):
        instance = draw_instance(Random(f"tight/{seed}"), tight)
        assert brute_force(instance) == instance.answer
