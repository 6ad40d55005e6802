"""Episodes recorded in this process: scripted blocks on the toy family, and the shipped experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from okrt import specs
from okrt.replay import Replay, replay
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.runtimes.session import ZygoteSession
from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Episode,
    Limits,
    ModelCard,
    Runtime,
    Settings,
    TaskFamily,
)
from tests.toys import FAMILY, Says, blocks, completion

OTHER = {"persistent": STATELESS, "stateless": PERSISTENT}
NAMED = {"persistent": PERSISTENT, "stateless": STATELESS}
CARD = ModelCard("toy", "toy", "scripted")
BLOCK_S = 0.5
"""Seconds of a block in a `Short` runtime."""


class Short(ZygoteRuntime):
    """A runtime whose blocks have little time."""

    def open(
        self,
        contract: Contract,
        tools: Mapping[str, Callable[..., Any]],
        limits: Limits,
        seed: str = "",
    ) -> ZygoteSession:
        return super().open(contract, tools, replace(limits, block_s=BLOCK_S), seed)


class Gives(Says):
    """Says texts; then the conversation no longer fits."""

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        given = super().generate(conversations)
        over = [len(c.completions) >= len(self.texts) for c in conversations]
        cut = completion("", finish_reason="context")
        return [cut if ends else one for one, ends in zip(given, over, strict=True)]


def record(
    runtime: Runtime,
    codes: Sequence[str],
    contract: Contract = PERSISTENT,
    settings: Settings | None = None,
    family: TaskFamily = FAMILY,
    gives: bool = False,
    repeat: int = 0,
) -> Episode:
    """Returns the episode of a model that writes these blocks and no more."""
    texts = blocks(*codes)
    model = Gives(*texts) if gives else Says(*texts)
    settings = settings or Settings(max_turns=len(codes))
    task = family.task(3, "low")
    (found,) = run_cases([Case(family, task, contract, CARD, model, settings, repeat)], runtime)
    assert found.failure is None, found.failure
    return found


def again(
    runtime: Runtime, episode: Episode, contract: Contract | None = None, cap: int | None = None
) -> Replay:
    """Returns the replay of an episode on the toy family, under its own contract and cap unless
    others are given."""
    own = episode.settings.tool_cap or episode.task.tool_cap
    return replay(
        episode,
        contract or NAMED[episode.contract],
        Limits(tool_cap=cap or own),
        runtime,
        family=FAMILY if episode.task.family == "counting" else None,
    )


def expert(
    runtime: Runtime, name: str, contract: Contract, seeds: range, tier: str = "micro"
) -> list[Episode]:
    """Returns the episodes of a shipped expert."""
    settings, of = Settings(), "opaque_knapsack"
    agent = specs.load_model(specs.model_spec(f"expert:{name}"), settings, of)
    family = specs.FAMILIES[of]
    cases = (
        Case(family, family.task(seed, tier), contract, agent.card, agent.model, settings)
        for seed in seeds
    )
    return list(run_cases(cases, runtime))
