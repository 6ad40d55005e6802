"""The experts: answers, losses and tokens in each cell."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import astuple
from functools import cache
from typing import Literal

import pytest

from okrt.families.ledger_audit import LedgerAudit
from okrt.families.ledger_audit.experts import expert
from okrt.families.ledger_audit.style import CHOICES
from okrt.families.scripted import EXPERTS, RECOVERIES, misspelt
from tests.families.driver import Played, play

FAMILY = LedgerAudit()
Contract = Literal["persistent", "stateless"]
CONTRACTS: tuple[Contract, ...] = ("persistent", "stateless")


@cache
def cell(
    name: str,
    contract: Contract,
    settings: str = "recovery=rebuild",
    tier: str = "easy",
    count: int = 8,
) -> Sequence[Played]:
    agent = expert(f"{name},{settings}")
    return [play(FAMILY.task(seed, tier), agent, contract) for seed in range(count)]


@pytest.mark.parametrize("name", ["persistent", "stateless"])
@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(("tier", "count"), [("micro", 8), ("easy", 8), ("hard", 1)])
def test_experts_reach_the_answer_within_the_budget(
    name: str, contract: Contract, tier: str, count: int
) -> None:
    for episode in cell(name, contract, tier=tier, count=count):
        assert episode.finished
        assert episode.outcome.solved
        metrics = episode.outcome.metrics
        assert metrics["reads"] == (metrics["pages"] or 0) + 1
        assert metrics["repeated_reads"] == 0


def test_only_the_persistent_expert_in_stateless_loses_names() -> None:
    for name in EXPERTS:
        for contract in CONTRACTS:
            errors = [error for episode in cell(name, contract) for error in episode.errors]
            if (name, contract) == ("persistent", "stateless"):
                assert all(episode.errors for episode in cell(name, contract))
                assert all(error.startswith("NameError: ") for error in errors)
            else:
                assert errors == []


def test_carrying_takes_several_turns() -> None:
    assert min(len(episode.replies) for episode in cell("persistent", "persistent")) >= 3


def test_literals_cost_tokens() -> None:
    """Measured over 100 tasks: 3.3 (`docs/families.md`)."""
    by_name = sum(episode.completion_tokens for episode in cell("persistent", "persistent"))
    literal = sum(episode.completion_tokens for episode in cell("stateless", "stateless"))
    assert 2.8 <= literal / by_name <= 3.8


def test_retry_writes_the_same_block_again() -> None:
    (episode,) = cell("persistent", "stateless", "recovery=retry", count=1)
    first, _, *others = [reply.partition("\n")[2] for reply in episode.replies]
    assert len(others) == 38
    assert set(others) == {others[0]} != {first}
    assert (episode.outcome.score, episode.finished) == (0.0, False)


def test_give_up_and_the_control_end_at_the_floor() -> None:
    given_up = cell("persistent", "stateless", "recovery=give_up")
    for episode in [*given_up, *cell("no-inspection", "persistent")]:
        assert episode.finished
        assert episode.outcome.score == episode.outcome.metrics["floor_score"]
        assert episode.outcome.metrics["submitted"] == 1
    assert all(len(episode.errors) == 1 for episode in given_up)
    assert all(e.outcome.metrics["reads"] == 0 for e in cell("no-inspection", "stateless"))


def test_no_recovery_shows_where_nothing_is_lost() -> None:
    for recovery in RECOVERIES:
        for home in CONTRACTS:
            assert cell(home, home, f"recovery={recovery}", count=3) == cell(home, home)[:3]


@pytest.mark.parametrize("cap", [1, 2, 3])
@pytest.mark.parametrize("name", ["persistent", "stateless"])
def test_the_last_steps_are_spread_over_turns_where_the_cap_asks_for_it(
    name: str, cap: int
) -> None:
    task = FAMILY.task(0, "micro")
    for contract in CONTRACTS:
        assert play(task, expert(name), contract, cap).outcome.solved


VARIED = "variety=7"


def test_a_pair_has_one_surface_and_plays_alike() -> None:
    mine, yours = (cell(home, home, VARIED) for home in CONTRACTS)
    for by_name, literal in zip(mine, yours, strict=True):
        assert by_name.replies[0] == literal.replies[0]
        assert by_name.outcome == literal.outcome
        assert by_name.outcome.solved
        assert len(by_name.replies) == len(literal.replies)
    assert len({episode.replies[0].splitlines()[0] for episode in mine}) > 1


@pytest.mark.parametrize("recovery", ["retry", "rebuild"])
def test_slips_cost_one_turn_in_both_contracts(recovery: str) -> None:
    for contract in CONTRACTS:
        slipped = cell(contract, contract, f"{VARIED},recovery={recovery},slips=1")
        clean = cell(contract, contract, f"{VARIED},slips=0")
        for one, other in zip(slipped, clean, strict=True):
            assert one.outcome == other.outcome
            assert len(one.replies) == len(other.replies) + 1
            (error,) = one.errors
            assert error.startswith("NameError: ")


def test_names_of_a_style_never_meet() -> None:
    names = [name for field in astuple(CHOICES) for name in field.split()]
    wrong = {misspelt(name) for name in names}
    taken = {*FAMILY.environment(FAMILY.task(0, "micro")).tools, "json", "table", "start", "n"}
    assert len(set(names)) == len(wrong) == len(names)
    assert not set(names) & (taken | set(dir(builtins)) | wrong)
    assert not wrong & (taken | set(dir(builtins)))
