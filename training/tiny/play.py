"""Episodes of a saved tiny model, and how exactly it pastes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from okrt import specs
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Episode, Settings, Split, Turn

FAMILY, TIER = "opaque_knapsack", "micro"
SETTINGS = Settings(temperature=0.0, max_turns=12, max_new_tokens=240)
"""Greedy; a model that has gone astray ends soon. The prompt names the turns, so they hold in
training too."""

EVALUATED = (
    *("--okrt-tier", TIER, "--okrt-temperature", f"{SETTINGS.temperature:g}"),
    *("--okrt-max-turns", f"{SETTINGS.max_turns}"),
    *("--okrt-max-new-tokens", f"{SETTINGS.max_new_tokens}"),
)
"""The same for `pytest evals/`."""

_PASTED = re.compile(r"^(\w+) = (\{'item_.*|\['item_.*)$", re.MULTILINE)
_SHOWN = re.compile(r"^(\w+) = ([\[{].*)$", re.MULTILINE)


def play(
    checkpoint: Path,
    contract: str,
    split: Split,
    seeds: Iterable[int],
    settings: Settings = SETTINGS,
    in_flight: int = 32,
) -> list[Episode]:
    """Returns the episodes of a checkpoint under a contract, in seed order.

    Raises:
        okrt.errors.OkrtError: the checkpoint or the sandbox cannot be had.
    """
    family = specs.family(FAMILY)
    agent = specs.load_model(specs.model_spec(f"model={checkpoint}"), settings, FAMILY)
    under = specs.contract(contract)
    cases = (
        Case(
            family,
            specs.make_task(family, seed, TIER, split),
            under,
            agent.card,
            agent.model,
            settings,
        )
        for seed in seeds
    )
    with ZygoteRuntime() as runtime:
        episodes = list(run_cases(cases, runtime, in_flight))
    return sorted(episodes, key=lambda episode: episode.task.seed)


def mean_score(episodes: Sequence[Episode]) -> float:
    """Returns the mean score; an episode that infrastructure broke off is an error.

    Raises:
        RuntimeError: there is one.
    """
    for episode in episodes:
        if episode.failure:
            raise RuntimeError(f"{episode.task.id}: {episode.failure.message}")
    return fmean(episode.outcome.score for episode in episodes if episode.outcome)


def bad_pastes(turns: Sequence[Turn]) -> int:
    """Returns how many of the lists and dicts that blocks write out differ from what was shown.

    A line `NAME = LITERAL` is bad unless the last output that shows `NAME = ...` shows the same.
    """
    shown: dict[str, str] = {}
    bad = 0
    for turn in turns:
        bad += sum(shown.get(name) != text for name, text in _PASTED.findall(turn.code or ""))
        shown.update(_SHOWN.findall(turn.observation))
    return bad


def bad_paste_rate(episodes: Sequence[Episode]) -> float:
    """Returns the share of episodes with a bad paste."""
    return fmean(bool(e.trajectory and bad_pastes(e.trajectory.turns)) for e in episodes)
