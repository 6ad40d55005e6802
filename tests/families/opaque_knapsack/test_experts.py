"""The experts: quality, tokens and losses in each cell, and that nothing makes them crash."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import Field, fields
from functools import cache
from statistics import fmean
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.families.opaque_knapsack import OpaqueKnapsack
from okrt.families.opaque_knapsack.experts import expert
from okrt.families.opaque_knapsack.generate import TIERS
from okrt.families.opaque_knapsack.style import CHOICES, Names
from okrt.families.scripted import EXPERTS, RECOVERIES, misspelt
from okrt.types import Conversation, Message
from tests.families.driver import CODE_TAG, FENCED, Played, instructions, play

FAMILY = OpaqueKnapsack()
VARIED = "variety=7"
Contract = Literal["persistent", "stateless"]
CONTRACTS: tuple[Contract, ...] = ("persistent", "stateless")


@cache
def cell(
    name: str,
    contract: Contract,
    settings: str = "recovery=rebuild",
    tier: str = "easy",
    count: int = 40,
) -> Sequence[Played]:
    agent = expert(f"{name},{settings}")
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
    assert max(len(episode.replies) for episode in away) <= 9
    micro = cell("persistent", "stateless", tier="micro")
    assert max(len(episode.replies) for episode in micro) <= 12


def test_rebuild_goes_on_by_name_and_loses_again() -> None:
    replies = cell("persistent", "stateless")[0].replies
    rebuilt = ["\nseen = {'item_" in reply or "\nrest = ['item_" in reply for reply in replies]
    assert rebuilt == [False, False, True, False, True, False, True][: len(replies)]
    assert any(rebuilt)


def test_retry_writes_the_same_block_again() -> None:
    for episode in cell("persistent", "stateless", "recovery=retry", count=3):
        first, _, *others = [reply.partition("\n")[2] for reply in episode.replies]
        assert len(others) == 38
        assert set(others) == {others[0]} != {first}
        assert episode.outcome.score == 0.0
        assert not episode.finished


def test_give_up_ends_at_the_floor() -> None:
    episodes = cell("persistent", "stateless", "recovery=give_up", count=100)
    assert all(episode.finished and len(episode.errors) == 1 for episode in episodes)
    assert abs(relative_score(episodes)) <= 0.2
    for episode in episodes:
        assert episode.outcome.metrics["inspected"] == min(
            24, episode.outcome.metrics["budget"] or 0
        )


def test_no_recovery_shows_where_nothing_is_lost() -> None:
    for recovery in RECOVERIES:
        for home in CONTRACTS:
            assert cell(home, home, f"recovery={recovery}") == cell(home, home)


def test_the_control_never_inspects_and_ends_near_the_floor() -> None:
    for contract in CONTRACTS:
        episodes = cell("no-inspection", contract, count=100)
        assert all(episode.finished for episode in episodes)
        assert all(episode.outcome.metrics["inspected"] == 0 for episode in episodes)
        assert abs(relative_score(episodes)) <= 0.2


def test_literals_cost_tokens() -> None:
    by_name = sum(episode.completion_tokens for episode in cell("persistent", "persistent"))
    literal = sum(episode.completion_tokens for episode in cell("stateless", "stateless"))
    assert 1.8 <= literal / by_name <= 6


@pytest.mark.parametrize("tier", ["easy", "micro"])
@pytest.mark.parametrize("recovery", ["retry", "rebuild"])
@pytest.mark.parametrize("cap", [2, 6, 25])
def test_a_cut_block_is_gone_on_with_where_its_variables_live(
    tier: str, recovery: str, cap: int
) -> None:
    """At home a cap costs turns alone, slips or none; away a loop that is cut begins anew."""
    for seed in range(3):
        task = FAMILY.task(seed, tier)
        for slips in ("slips=1", "slips=0"):
            heeding = f"persistent,recovery={recovery},{VARIED},{slips}"
            agent = expert(f"{heeding},batch=all")
            home = play(task, agent, "persistent", cap, 99)
            cuts = [text.startswith("ToolCapExceeded: ") for text in home.errors]
            assert any(cuts) == (cap < 20 or tier == "easy")
            assert cuts.count(False) == (slips == "slips=1" and len(home.replies) > 3)
            assert home.finished
            assert home.outcome == play(task, expert(heeding), "persistent", cap, 99).outcome
        if recovery == "rebuild":
            away = play(task, agent, "stateless", cap, 12)
            whole = 1 + len(task.private["items"]) <= cap
            assert away.finished == whole
            assert away.outcome == home.outcome if whole else not away.outcome.score


def test_an_idiom_that_keeps_no_variables_counts_its_calls() -> None:
    for name in ("stateless", "no-inspection"):
        assert cell(name, "stateless", "batch=all") == cell(name, "stateless")


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("cap", [1, 6, 25])
@pytest.mark.parametrize("name", EXPERTS)
def test_any_cap_is_kept(tier: str, cap: int, name: str) -> None:
    task = FAMILY.task(1, tier)
    for contract in CONTRACTS:
        for recovery in RECOVERIES:
            episode = play(task, expert(f"{name},recovery={recovery}"), contract, cap)
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
    ("text", "told"),
    [("greedy", "'greedy'.*persistent, stateless, no-inspection"),
     ("persistent,recovery=hope", "'recovery=hope'.*rebuild|retry|give_up"),
     ("persistent,slips=2", "'slips=2'.*a share"), ("persistent,slips=x", "'slips=x'"),
     ("persistent,variety=", "'variety='"), ("persistent,", "unknown setting ''"),
     ("persistent,batch=some", "'batch=some'.*batch=cap|all")],
)  # fmt: skip
def test_what_is_unknown_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        expert(text)


def test_a_seed_varies_the_surface_and_not_the_play() -> None:
    for contract in CONTRACTS:
        varied, plain = cell(contract, contract, VARIED), cell(contract, contract)
        assert all(episode.finished and not episode.errors for episode in varied)
        assert abs(relative_score(varied) - relative_score(plain)) <= 0.1
        openings = [episode.replies[0] for episode in varied]
        assert len(set(openings)) > 20
        others = [episode.replies[0] for episode in cell(contract, contract, "variety=8")]
        assert sum(one != other for one, other in zip(openings, others, strict=True)) > 30


def test_a_pair_has_one_surface() -> None:
    for mine, yours in zip(
        cell("persistent", "persistent", VARIED),
        cell("stateless", "stateless", VARIED),
        strict=True,
    ):
        assert mine.replies[0] == yours.replies[0]
        assert mine.outcome == yours.outcome
        assert len(mine.replies) == len(yours.replies)
        for by_name, literal in zip(mine.replies, yours.replies, strict=True):
            assert by_name.splitlines()[0] == literal.splitlines()[0]


@pytest.mark.parametrize("recovery", ["retry", "rebuild"])
@pytest.mark.parametrize("tier", ["easy", "micro"])
def test_slips_cost_one_turn_in_both_contracts(recovery: str, tier: str) -> None:
    settings = f"{VARIED},recovery={recovery},slips=1"
    for contract in CONTRACTS:
        slipped = cell(contract, contract, settings, tier, 20)
        clean = cell(contract, contract, f"{VARIED},slips=0", tier, 20)
        for one, other in zip(slipped, clean, strict=True):
            assert one.outcome == other.outcome
            assert len(one.replies) == len(other.replies) + 1
            (error,) = one.errors
            assert error.startswith("NameError: ")


def test_only_a_rebuilding_persistent_expert_pastes() -> None:
    def pastes(recovery: str) -> int:
        episodes = cell("persistent", "persistent", f"recovery={recovery},slips=1,{VARIED}")
        return sum("'item_" in reply for episode in episodes for reply in episode.replies)

    assert pastes("retry") == 0
    assert pastes("rebuild") >= 40


def test_slips_are_as_many_as_asked_for() -> None:
    episodes = cell("stateless", "stateless", "slips=0.3,variety=3", "micro", 200)
    assert 0.2 <= fmean(bool(episode.errors) for episode in episodes) <= 0.4


@pytest.mark.parametrize("field", fields(Names), ids=lambda field: field.name)
def test_names_of_a_style_never_meet(field: Field[str]) -> None:
    mine = getattr(CHOICES, field.name).split()
    others = {
        name
        for other in fields(Names)
        if other.name != field.name
        for name in getattr(CHOICES, other.name).split()
    }
    wrong = {misspelt(name) for name in mine}
    tools = {"list_items", "inspect", "take_item", "finish", "batch", "json"}
    assert len(wrong) == len(mine)
    assert not wrong & (others | set(mine) | tools | set(dir(builtins)))
    assert not set(mine) & (others | tools | set(dir(builtins)))


PIECES = [
    "seen = {'item_0a': 1.5, 'item_0b': 0.1}\ntodo = ['item_0c']", "seen = {}", "todo = []",
    "seen = {'item_0a': 1.5}\ntodo = []", "rest = ['item_0a', 'item_0b']", "seen = {}\ntodo = []",
    "rest = []", "rest = ['item_0a', ]", "seen = {'item_0a': 1.5, }\ntodo = []",
    "known = {}\npending = ['item_0a']", "took item_0a", "rest = ['item_0a'",
    "rest = [quit()]", "rest = ['item_0a' 'item_0b']", "todo = ['item_0a']",
    "NameError: name 'items' is not defined", "NameError: name ", "(no output)", "",
    "ToolCapExceeded: 6", "ToolError: the inspection budget is spent", "[names] todo, seen",
    "[note] two blocks: only the first was run", "[... 100 characters cut ...]",
    "rest = ['item_" + "9" * 5000 + "']", "seen = {'item_0a': " + "9" * 5000 + ".0}", "\ud800",
    "seen = {'item_0a': ٣.٣}\ntodo = []",
]  # fmt: skip
OBSERVATIONS = st.lists(st.lists(st.sampled_from(PIECES) | st.text()).map("\n".join), max_size=8)


@settings(deadline=None)
@given(
    OBSERVATIONS, st.sampled_from(EXPERTS), st.sampled_from(RECOVERIES),
    st.sampled_from(["slips=0", "slips=1", "slips=1,variety=a", "slips=1,batch=all"]),
    st.booleans(), st.integers(1, 30),
)  # fmt: skip
def test_whatever_is_observed_the_reply_is_one_block_of_python(
    observations: list[str], name: str, recovery: str, rest: str, code_tag: bool, cap: int
) -> None:
    agent = expert(f"{name},recovery={recovery},{rest}")
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
@pytest.mark.parametrize("rest", ["recovery=rebuild", "recovery=give_up", "batch=all"])
def test_an_expert_that_learns_nothing_finishes(name: str, rest: str) -> None:
    agent = expert(f"{name},{rest}")
    messages = [Message("user", "Do something else.")]
    for _ in range(3):
        messages.append(Message("assistant", agent(Conversation(tuple(messages)))))
        messages.append(Message("user", "NameError: name 'list_items' is not defined"))
    assert "\nfinish()\n" in messages[-2].content
