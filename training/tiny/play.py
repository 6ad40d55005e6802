"""Episodes of a saved tiny model, and how exactly it pastes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from okrt import specs
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Episode, Settings, Split, Turn

FAMILY, TIER = "opaque_knapsack", "micro"
CONTROL, CONTROL_FAMILY = "control", "lookup_control"
"""What stands where an arm's name does for models that learnt a state-free family besides."""
CAPPED = "caps"
"""Likewise for models whose traces were made under several tool caps."""
CAPS = (4, 6, 25)
"""A tight one, the tightest under which most of the stateless traces still finish within the turns;
the tier's own, under which the traces of the arms were made; and a slack one, which no block
reaches."""
TIGHT, OWN, SLACK = CAPS
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
    family: str = FAMILY,
    tool_cap: int | None = None,
) -> list[Episode]:
    """Returns the episodes of a checkpoint under a contract, in seed order.

    Raises:
        okrt.errors.OkrtError: the checkpoint or the sandbox cannot be had.
    """
    settings = replace(settings, tool_cap=tool_cap)
    played = specs.family(family)
    agent = specs.load_model(specs.model_spec(f"model={checkpoint}"), settings, family)
    under = specs.contract(contract)
    cases = (
        Case(
            played,
            specs.make_task(played, seed, TIER, split),
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
