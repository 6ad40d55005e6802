"""The experts: quality, tokens and losses in each cell, and that nothing makes them crash."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.families.opaque_knapsack import OpaqueKnapsack
from okrt.families.opaque_knapsack.experts import EXPERTS, RECOVERIES, expert
from okrt.families.opaque_knapsack.generate import TIERS
from okrt.types import Conversation, Message
from tests.families.opaque_knapsack.driver import CODE_TAG, FENCED, Played, instructions, play

FAMILY = OpaqueKnapsack()
Contract = Literal["persistent", "stateless"]
CONTRACTS: tuple[Contract, ...] = ("persistent", "stateless")


@cache
def cell(
    name: str, contract: Contract, recovery: str = "rebuild", tier: str = "easy", count: int = 40
) -> Sequence[Played]:
    agent = expert(name, recovery)
    return [play(FAMILY.task(seed, tier), agent, contract) for seed in range(count)]


def relative_score(episodes: Sequence[Played]) -> float:
    """Returns the relative score of the means; a mean of ratios hangs on tiny differences."""

    def mean(name: str) -> float:
        return fmean(episode.outcome.metrics[name] or 0.0 for episode in episodes)

    score = fmean(episode.outcome.score for episode in episodes)
    return (score - mean("floor_score")) / (mean("reference_score") - mean("floor_score"))


@pytest.mark.parametrize("name", ["persistent", "stateless"])
@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("tier", ["easy", "micro"])
def test_experts_reach_the_reference(name: str, contract: Contract, tier: str) -> None:
    episodes = cell(name, contract, tier=tier)
    assert all(episode.finished for episode in episodes)
    assert relative_score(episodes) >= 0.9
    for episode in episodes:
        assert episode.outcome.metrics["inspected"] == episode.outcome.metrics["budget"]


def test_only_the_persistent_expert_in_stateless_loses_names() -> None:
    for name in EXPERTS:
        for contract in CONTRACTS:
            episodes = cell(name, contract)
            lost = [error for episode in episodes for error in episode.errors]
            if (name, contract) == ("persistent", "stateless"):
                assert all(episode.errors for episode in episodes)
                assert all(error.startswith("NameError: ") for error in lost)
            else:
                assert lost == []


def test_rebuilding_changes_no_score() -> None:
    at_home, away = cell("persistent", "persistent"), cell("persistent", "stateless")
    assert [e.outcome for e in at_home] == [e.outcome for e in away]
    assert max(len(episode.replies) for episode in away) <= 8
    micro = cell("persistent", "stateless", tier="micro")
    assert max(len(episode.replies) for episode in micro) <= 12


def test_rebuild_goes_on_by_name_and_loses_again() -> None:
    replies = cell("persistent", "stateless")[0].replies
    rebuilt = ["\nseen = {\n" in reply for reply in replies]
    assert rebuilt == [False, False, True, False, True, False, True][: len(replies)]
    assert any(rebuilt)


def test_retry_repeats_the_block_verbatim() -> None:
    for episode in cell("persistent", "stateless", "retry", count=3):
        first, *others = episode.replies
        assert len(others) == 39
        assert set(others) == {others[0]} != {first}
        assert episode.outcome.score == 0.0
        assert not episode.finished


def test_give_up_ends_at_the_floor() -> None:
    episodes = cell("persistent", "stateless", "give_up", count=100)
    assert all(episode.finished and len(episode.errors) == 1 for episode in episodes)
    assert abs(relative_score(episodes)) <= 0.2
    for episode in episodes:
        assert episode.outcome.metrics["inspected"] == min(
            24, episode.outcome.metrics["budget"] or 0
        )


def test_no_recovery_shows_where_nothing_is_lost() -> None:
    for recovery in RECOVERIES:
        assert cell("persistent", "persistent", recovery) == cell("persistent", "persistent")
        assert cell("stateless", "stateless", recovery) == cell("stateless", "stateless")


def test_the_control_never_inspects_and_ends_near_the_floor() -> None:
    for contract in CONTRACTS:
        episodes = cell("no-inspection", contract, count=100)
        assert all(episode.finished for episode in episodes)
        assert all(episode.outcome.metrics["inspected"] == 0 for episode in episodes)
        assert abs(relative_score(episodes)) <= 0.2


def test_literals_cost_tokens() -> None:
    by_name = sum(episode.completion_tokens for episode in cell("persistent", "persistent"))
    literal = sum(episode.completion_tokens for episode in cell("stateless", "stateless"))
    assert 1.8 <= literal / by_name <= 4


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("cap", [1, 6, 25])
@pytest.mark.parametrize("name", EXPERTS)
def test_any_cap_is_kept(tier: str, cap: int, name: str) -> None:
    task = FAMILY.task(1, tier)
    for contract in CONTRACTS:
        for recovery in RECOVERIES:
            episode = play(task, expert(name, recovery), contract, cap)
            assert {error.split(":")[0] for error in episode.errors} <= {"NameError"}
            if contract == "persistent" and (cap > 1 or tier == "micro"):
                assert episode.finished


def test_given_turns_enough_a_cap_of_one_is_played_to_the_end() -> None:
    task = FAMILY.task(1, "easy")
    for name in EXPERTS:
        for contract in CONTRACTS:
            slow = play(task, expert(name), contract, cap=1, max_turns=200)
            assert slow.finished
            assert slow.outcome == play(task, expert(name), contract).outcome


def test_code_tags_are_used_where_asked_for() -> None:
    task = FAMILY.task(2, "micro")
    for name in EXPERTS:
        tagged = play(task, expert(name), "stateless", code_tag=True)
        fenced = play(task, expert(name), "stateless")
        assert all("```" not in reply for reply in tagged.replies)
        assert tagged.outcome == fenced.outcome


def test_a_cap_other_than_the_one_told_is_survived() -> None:
    task = FAMILY.task(3, "easy")

    for contract in CONTRACTS:
        for name in EXPERTS:
            episode = play(task, expert(name), contract, cap=7, told_cap=25)
            assert episode.finished
            assert any("ToolCapExceeded" in error for error in episode.errors)


@pytest.mark.parametrize(
    ("name", "recovery", "told"),
    [("greedy", "rebuild", "'greedy'.*persistent, stateless, no-inspection"),
     ("persistent", "hope", "'hope'.*rebuild, retry, give_up")],
)  # fmt: skip
def test_unknown_names_are_told(name: str, recovery: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        expert(name, recovery)


PIECES = [
    "item_0a item_0b item_0c", "item_0a K 12 5", "item_0b Z 999999999 1", "item_0c K 1 0",
    'item_0a {"taken": "item_0a", "capacity_left": 3}', "item_0b refused: too heavy",
    "NameError: name 'items' is not defined", "NameError: name ", "(no output)", "",
    "ToolCapExceeded: 6", "ToolError: the inspection budget is spent", "[names] items, seen",
    "[note] two blocks: only the first was run", "item_0a K 5", "[... 100 characters cut ...]",
    "item_" + "9" * 5000 + " K 1 1", "item_0a K " + "9" * 5000 + " 1", "\ud800", "item_0a K ٣ ٣",
]  # fmt: skip
OBSERVATIONS = st.lists(st.lists(st.sampled_from(PIECES) | st.text()).map("\n".join), max_size=8)


@settings(deadline=None)
@given(
    OBSERVATIONS, st.sampled_from(list(EXPERTS)), st.sampled_from(RECOVERIES), st.booleans(),
    st.integers(1, 30),
)  # fmt: skip
def test_whatever_is_observed_the_reply_is_one_block_of_python(
    observations: list[str], name: str, recovery: str, code_tag: bool, cap: int
) -> None:
    agent = expert(name, recovery)
    prompt = FAMILY.task(0, "micro").prompt
    messages = [Message("user", f"{instructions(cap, code_tag)}\n\n{prompt}")]
    for observation in observations:
        messages.append(Message("assistant", agent(Conversation(tuple(messages)))))
        messages.append(Message("user", observation))
    reply = agent(Conversation(tuple(messages), episode_id="other", seed=7))
    assert reply == agent(Conversation(tuple(messages)))
    found = (CODE_TAG if code_tag else FENCED).fullmatch(reply.split("\n", 1)[1])
    assert found
    compile(found[1], "<block>", "exec")


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("recovery", ["rebuild", "give_up"])
def test_an_expert_that_learns_nothing_finishes(name: str, recovery: str) -> None:
    messages = [Message("user", "Do something else.")]
    for _ in range(3):
        messages.append(Message("assistant", expert(name, recovery)(Conversation(tuple(messages)))))
        messages.append(Message("user", "NameError: name 'list_items' is not defined"))
    assert "\nfinish()\n" in messages[-2].content
