"""The page of results: the tables of `results`, and what they do and do not mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from okrt.types import Episode
from training.tiny.play import SETTINGS, TIER
from training.tiny.results import (
    Played,
    arm_table,
    at_home,
    contrasts,
    curriculum_line,
    findings,
    plain_table,
)

ARM_TEXTS = {
    "none": "No slips in the traces: the headline.",
    "errors": "Slips in 30% of the traces, repaired without rebuilding state.",
    "rebuild": "Slips in 30% of the traces, repaired by rebuilding state from the conversation.",
}
MEANS = (
    "These models have under a million parameters, know one family of tasks and nothing else. They "
    "show what training traces alone can bring about, not how large it is in another model.",
    "What a model does after a loss is what its traces taught it; hence the arms. Where they held "
    "no repair, it writes the same blocks over again until its turns are used up, and the quality "
    "does not hold. The study's model was pretrained and knew repairs that no trace had shown it.",
    "The base sees no task, but three departures from plain training made copying emerge in "
    "minutes: embeddings of length one at the start, one random vector added to all of them, and "
    "an auxiliary loss for the tokens just before. Their effect on the contrast itself is unknown.",
    "Token ratios depend on the tokenizer.",
    "Cells that are the same word by word are called identical; nothing here says that two cells "
    "are equal. With so few training seeds each one's value is shown, and no interval over seeds.",
)


def page(
    command: str,
    machine: str,
    arms: Sequence[str],
    seeds: Sequence[int],
    played: Mapping[str, Sequence[Episode]],
    base: Callable[[int], Path],
    ablated: Mapping[str, Path],
) -> str:
    """Returns the page as Markdown.

    Args:
        command: that makes it.
        machine: on which it was made.
        arms: asked for.
        seeds: of training.
        played: episodes of `ARM-SEED`, `base-SEED` and `experts`, as far as they were played.
        base: where the base of a seed is.
        ablated: bases that lack something.
    """
    lines = [
        "# The study at tiny scale",
        "",
        f"Made by the command below ({machine}); tier `{TIER}`, greedy, at most "
        f"{SETTINGS.max_turns} turns of {SETTINGS.max_new_tokens} tokens, evaluation seeds that no "
        "training and no choice of a checkpoint has seen.",
        "",
        "```text",
        f"$ {command}",
        "```",
        "",
    ]
    for arm in arms:
        lines += [f"## Arm `{arm}`", "", ARM_TEXTS[arm], "", *_arm(arm, seeds, played)]
    lines += _others(seeds, played, base, ablated)
    lines += ["## What this does and does not mean", "", *(f"- {text}" for text in MEANS)]
    return "\n".join(lines) + "\n"


def _arm(arm: str, seeds: Sequence[int], played: Mapping[str, Sequence[Episode]]) -> list[str]:
    found = [seed for seed in seeds if f"{arm}-{seed}" in played]
    if not found:
        return ["Not measured.", ""]
    sets = [Played(played[f"{arm}-{seed}"]) for seed in found]
    count = len(sets[0].episodes["persistent", "persistent"])
    named = ", ".join(map(str, found))
    return [
        f"{count} tasks a cell. Training seeds {named}: the mean, then each seed's value in order.",
        "",
        *arm_table(sets),
        "",
        *contrasts(sets),
        "",
        *(at_home(sets, Played(played["experts"])) if "experts" in played else []),
        *findings(sets),
        "",
    ]


def _others(
    seeds: Sequence[int],
    played: Mapping[str, Sequence[Episode]],
    base: Callable[[int], Path],
    ablated: Mapping[str, Path],
) -> list[str]:
    lines: list[str] = []
    if "experts" in played:
        lines += [
            "## The experts that wrote the traces",
            "",
            *plain_table(Played(played["experts"])),
        ]
        lines += ["", "Scripts, here to say what the tasks allow; no evidence about models.", ""]
    lines += ["## The bases", ""]
    for seed in seeds:
        if f"base-{seed}" in played:
            lines += [f"Seed {seed}: {curriculum_line(base(seed))}. Its own cells:", ""]
            lines += [*plain_table(Played(played[f"base-{seed}"])), ""]
    if ablated:
        lines += ["With one of the departures undone, the same seed:", ""]
        lines += [f"- {what}: {curriculum_line(path)}" for what, path in ablated.items()]
        lines += [
            "",
            "Where the last level is not learnt, the departure is needed within this budget, and "
            "its effect on the contrast is unknown.",
            "",
        ]
    return lines
