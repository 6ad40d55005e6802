"""Collecting in no time: a counting family, two players of it, a runtime that obeys.

The target of a seed is `seed + 1001` (tier `low`, split `train`). Both players add it up at once;
`persistent` misses where `seed` is a multiple of 4, `stateless` where it is one of 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from okrt.models.counter import COUNTER
from okrt.models.scripted import ScriptedModel
from okrt.specs import Agent
from okrt.types import Conversation, Cue, Episode, ModelCard, Settings
from tests.toys import FAMILY, FakeRuntime, block
from training.counting import simple_count
from training.filters import Filters
from training.gather import Plan, gather
from training.traces import CONTRACTS, ContractName, Record, Survey, TraceSettings

MISSES: Mapping[ContractName, int] = {"persistent": 4, "stateless": 6}


@dataclass(frozen=True)
class Player:
    """Adds up to the target, a step a turn, or misses it."""

    every: int

    def __call__(self, conversation: Conversation) -> str:
        target = int(re.findall(r"Count to (\d+)", conversation.messages[0].content)[0])
        missed = (target - 1001) % self.every == 0
        if len(conversation.messages) == 1:
            return "I add.\n" + block(f"add({1 if missed else target})")
        return "I stop.\n" + block("finish()")


def plan(
    pairs: int = 6,
    *,
    in_flight: int = 1,
    max_tries: int = 100,
    cue: Cue = "none",
    filters: Filters | None = None,
    players: Mapping[ContractName, Player] | None = None,
) -> Plan:
    agents = {
        name: Agent(
            ModelCard(name, name, "scripted", None, name, COUNTER),
            ScriptedModel(name, (players or {}).get(name) or Player(MISSES[name])),
        )
        for name in CONTRACTS
    }
    settings = TraceSettings(
        family="counting",
        tier="low",
        split="train",
        first_seed=0,
        models={name: agent.card for name, agent in agents.items()},
        arm="none",
        variety=None,
        episode=Settings(cue=cue),
        filters=filters or Filters(),
        tokenizer=COUNTER,
    )
    record = Record(settings, pairs, max_tries, (), {})
    return Plan(FAMILY, agents, record, simple_count, in_flight, {})


def collect(folder: Path, of: Plan | None = None, runtime: FakeRuntime | None = None) -> Survey:
    """Collects six pairs unless told otherwise: seeds 1, 2, 3, 5, 7, 9 of ten that are tried."""
    return gather(folder, of or plan(), runtime or FakeRuntime(), lambda accepted, episodes: None)


def seeds(episodes: tuple[Episode, ...]) -> list[int]:
    return [episode.task.seed for episode in episodes]
