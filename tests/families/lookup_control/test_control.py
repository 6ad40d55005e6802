"""The control: an expert's episode is the same in both runtimes, to the last character."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from okrt import specs
from okrt.families.lookup_control import LookupControl
from okrt.families.lookup_control.experts import expert
from okrt.families.scripted import EXPERTS
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Episode, Message, Outcome, Settings, Usage
from tests.families.driver import play

FAMILY = LookupControl()
MODELS = ("expert:persistent", "expert:stateless", "expert:no-inspection")


@pytest.fixture(scope="module")
def runtime() -> Iterator[ZygoteRuntime]:
    with ZygoteRuntime() as made:
        yield made


def episodes(
    runtime: ZygoteRuntime, model: str, contract: Contract, tier: str, seeds: range
) -> list[Episode]:
    agent = specs.load_model(specs.model_spec(model), Settings(), FAMILY.name)
    cases = [
        Case(FAMILY, FAMILY.task(seed, tier), contract, agent.card, agent.model, Settings())
        for seed in seeds
    ]
    return list(run_cases(cases, runtime))


def figures(found: Sequence[Episode]) -> list[tuple[Outcome | None, list[Message], Usage]]:
    """Returns what each episode scored, showed and took."""
    return [
        (episode.outcome, episode.trajectory.messages(), episode.trajectory.usage)
        for episode in found
        if episode.trajectory is not None
    ]


@pytest.mark.parametrize(
    ("tier", "seeds"),
    [("micro", range(3)), pytest.param("easy", range(100), marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize("model", MODELS)
def test_no_episode_differs_between_the_runtimes(
    runtime: ZygoteRuntime, model: str, tier: str, seeds: range
) -> None:
    persistent, stateless = (
        figures(episodes(runtime, model, contract, tier, seeds))
        for contract in (PERSISTENT, STATELESS)
    )
    assert len(persistent) == len(seeds)
    assert persistent == stateless
    assert all(len(messages) > 4 for _, messages, _ in persistent)  # several turns
    score = 0.0 if model == "expert:no-inspection" else 1.0
    assert all(outcome is not None and outcome.score == score for outcome, _, _ in persistent)


def test_both_idioms_come_to_the_same() -> None:
    for seed in range(5):
        task = FAMILY.task(seed, "micro")
        assert play(task, expert("persistent"), "stateless") == play(
            task, expert("stateless"), "persistent"
        )


def test_every_turn_s_block_is_the_same() -> None:
    episode = play(FAMILY.task(0, "easy"), expert("persistent"), "stateless")
    assert len(episode.replies) > 4
    assert len(set(episode.replies)) == 1


@pytest.mark.parametrize("recovery", ["rebuild", "retry"])
def test_a_slip_costs_one_turn_in_both_runtimes(recovery: str) -> None:
    task = FAMILY.task(0, "micro")
    agent = expert(f"persistent,variety=3,recovery={recovery},slips=1")
    slipped = [play(task, agent, home) for home in ("persistent", "stateless")]
    assert slipped[0] == slipped[1]
    assert slipped[0].outcome.solved
    assert [error.split(":")[0] for error in slipped[0].errors] == ["NameError"]


def test_who_gives_up_answers_the_rest_blindly() -> None:
    agent = expert("persistent,recovery=give_up,slips=1")
    episode = play(FAMILY.task(0, "micro"), agent, "stateless")
    assert episode.finished
    assert 0 < episode.outcome.score < 1
    assert episode.outcome.metrics["answered"] == episode.outcome.metrics["tickets"]


def test_surfaces_differ_by_seed() -> None:
    prompts = [FAMILY.task(seed, "easy") for seed in range(8)]
    first = {play(task, expert("stateless,variety=1"), "stateless").replies[0] for task in prompts}
    assert len(first) > 1


def test_a_cap_below_a_ticket_s_three_calls_cannot_be_played() -> None:
    task = FAMILY.task(0, "micro")
    for name in EXPERTS:
        episode = play(task, expert(name), "persistent", cap=2)
        assert (episode.finished, episode.outcome.score) == (True, 0.0)
    assert json.loads(FAMILY.environment(task).tools["ticket"]())["left"] > 0
