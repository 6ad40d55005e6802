"""The format `tool_call` changes how code is written, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from okrt import specs
from okrt.analysis.rows import row
from okrt.families.opaque_knapsack import OpaqueKnapsack
from okrt.report.transcript import transcript
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import decode_episode, encode_episode
from okrt.types import Episode, Format, Settings
from tests.faults.server import FaultServer

FAMILY = OpaqueKnapsack()
CASES = [
    ("expert:persistent", "persistent"),
    ("expert:persistent,recovery=rebuild", "stateless"),
    ("expert:persistent,recovery=retry", "stateless"),
    ("expert:stateless", "stateless"),
    ("expert:no-inspection", "persistent"),
]
SAME = (
    "score", "solved", "selection_score", "turns", "tool_calls", "cap_hits", "refused_calls",
    "errors", "lost_errors", "redefinitions", "repeated_inspections", "recovery_turns", "ending",
)  # fmt: skip


@pytest.fixture(scope="module")
def runtime() -> Iterator[ZygoteRuntime]:
    with ZygoteRuntime() as made:
        yield made


def play(runtime: ZygoteRuntime, spec: str, contract: str, seed: int, format: Format) -> Episode:
    settings = Settings(format=format, max_turns=12)
    agent = specs.load_model(specs.model_spec(spec), settings, FAMILY.name)
    task = FAMILY.task(seed, "micro")
    case = Case(FAMILY, task, specs.CONTRACTS[contract], agent.card, agent.model, settings)
    (episode,) = run_cases([case], runtime)
    if close := getattr(agent.model, "close", None):
        close()
    return episode


@pytest.mark.parametrize(("spec", "contract"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_experts_act_score_and_err_alike_in_both_formats(
    runtime: ZygoteRuntime, spec: str, contract: str, seed: int
) -> None:
    fenced, called = (
        play(runtime, spec, contract, seed, format) for format in ("fenced", "tool_call")
    )
    assert fenced.trajectory is not None
    assert called.trajectory is not None
    for turn, other in zip(fenced.trajectory.turns, called.trajectory.turns, strict=True):
        assert (turn.code, turn.execution) == (other.code, other.execution)
        assert (turn.observation, other.reply_problem) == (other.observation, None)
    one, other_row = row(fenced), row(called)
    assert {name: getattr(one, name) for name in SAME} == {
        name: getattr(other_row, name) for name in SAME
    }
    assert (one.format, other_row.format) == ("fenced", "tool_call")
    assert one.episode_id != other_row.episode_id
    assert one.prompt_digest != other_row.prompt_digest


def test_an_episode_goes_to_json_and_back_and_shows_its_code(runtime: ZygoteRuntime) -> None:
    episode = play(runtime, "expert:persistent", "stateless", 0, "tool_call")
    assert decode_episode(encode_episode(episode)) == episode
    assert row(decode_episode(encode_episode(episode))) == row(episode)
    assert episode.trajectory is not None
    text = transcript(episode)
    assert "format tool_call" in text
    for turn in episode.trajectory.turns:
        assert turn.code is not None
        lines = "\n".join(f"  | {line}".rstrip() for line in turn.code.rstrip().split("\n"))
        assert f"call: python\n{lines}\nblock: " in text
    assert "<tool_call>" not in text


@pytest.mark.parametrize("contract", ["persistent", "stateless"])
def test_an_expert_behind_a_server_acts_as_it_does_here(
    runtime: ZygoteRuntime, contract: str
) -> None:
    """The server takes the calls out of the reply, and is sent them apart from its text."""
    spec = "expert:persistent"
    expert = specs.load_model(specs.model_spec(spec), Settings(), FAMILY.name).model
    with FaultServer(expert.respond) as server:  # type: ignore[attr-defined]
        there = play(runtime, server.spec, contract, 3, "tool_call")
    here = play(runtime, spec, contract, 3, "tool_call")
    assert there.trajectory is not None
    assert here.trajectory is not None
    assert there.outcome == here.outcome
    for turn, other in zip(there.trajectory.turns, here.trajectory.turns, strict=True):
        assert (turn.reply, turn.observation) == (other.reply, other.observation)
        assert turn.call is not None
        assert other.call is not None
        assert turn.call.id != other.call.id
        assert replace(turn.call, id=other.call.id) == other.call
