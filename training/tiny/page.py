"""The page of results: the tables of `results`, and what they do and do not mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from okrt.analysis.cells import CENSORED_LIMIT
from okrt.analysis.rows import row
from okrt.types import Episode
from training.tiny import control, extension
from training.tiny.play import (
    CAPPED,
    CONTROL,
    CONTROL_FAMILY,
    OWN,
    SETTINGS,
    SLACK,
    TIER,
    TIGHT,
)
from training.tiny.results import (
    Played,
    arm_table,
    at_home,
    contrasts,
    curriculum_line,
    findings,
    plain_table,
)
from training.tiny.swept import Swept

ARM_TEXTS = {
    "none": "No slips in the traces: the headline.",
    "errors": "Slips in 30% of the traces, repaired without rebuilding state.",
    "rebuild": "Slips in 30% of the traces, repaired by rebuilding state from the conversation.",
    "cut": "Slips and repairs as in `rebuild`; a block of the persistent idiom works through all "
    "there is, and the cap cuts it.",
}
NOT_MEASURED = "Not measured."
MARKS = (
    "A figure with `>=` is at least what it says: of turns and tokens where limits ended more than "
    f"{CENSORED_LIMIT:.0%} of the cell's episodes, of the calls of a block where the cap ended it. "
    "So is a mean over seeds of which one is. A ratio has `>=` where its numerator is such a "
    "figure, `<=` where its denominator is, and is not given (`-`) where both are."
)
CAPS_TEXT = (
    f"The tier's own cap is {OWN} calls a block; {TIGHT} is tight, {SLACK} slack. A cap stands in "
    "the prompt. What is compared is compared on the tasks that all cells have."
)
CAPPED_TEXT = (
    "Two further fine-tunes of each seed's base, on traces of arm `cut` under all three caps. "
    "There a block of the persistent idiom works through all items: where the cap cuts it, it has "
    "not printed what it holds, and the next block goes on with its variables. The stateless idiom "
    "counts its calls."
)
Told = tuple[tuple[str, ...], str]
"""What must have been played for a text to be true, as it speaks of that, and the text."""
CUT: tuple[Told, ...] = (
    (
        (f"{CAPPED}-experts",),
        "Seen in transcripts of these experts: under a binding cap the first block is cut before "
        "it has printed anything. In stateless the next one misses its names, the one after it "
        "begins anew and is cut at the same place, until the turns are used up. At cap "
        f"{SLACK} nothing is cut: names are missed once, what was printed is written again, and "
        "tokens are all that is lost.",
    ),
    (
        (f"{CAPPED}-1", f"{CAPPED}-2"),
        "The persistent-trained models that learnt from them do the same under a binding cap, "
        "until the turns are used up or the model loses its way: that of seed 2 then takes some "
        "items blindly, which scores less than blind play from the first turn. Of these models the "
        f"misfit costs quality under every cap: at {SLACK}, where no block is cut, over a quarter "
        "of the score, and that of seed 2 scores less than at home in what it finishes, too. What "
        "a binding cap adds to that stands among the findings.",
    ),
    (
        (f"{CAPPED}-1-contracts",),
        "Under carryover the block behind a cut one finds its names; the note of "
        "`carryover-announced` stood in no trace, and behind it that of seed 1 mixes blocks that "
        "look with blocks that take.",
    ),
)
UNKNOWN_CAP = (
    "These models have read one number where the prompt states the cap, and have seen no block "
    "that a cap cut. At caps under which they do not play at home nothing can be said of a gap."
)
UNKNOWN_SEEN: tuple[Told, ...] = (
    (
        ("none-1-caps",),
        "Seen in transcripts of the persistent-trained model of `none-1`, at home: under "
        f"{SLACK} it writes no block that calls a tool; under {TIGHT} its first block, of five "
        "calls, is cut, and then, in nine episodes of ten, it writes no block any more.",
    ),
)
CONTROL_TEXT = (
    f"Two further fine-tunes of the first seed's base, each of which learnt `{CONTROL_FAMILY}` "
    "together with the knapsack, from that family's traces under its contract. There nothing has "
    "to be carried from turn to turn, so that a contrast between the runtimes must vanish."
)
MEANS: tuple[Told, ...] = (
    (
        (),
        "These models have under a million parameters, know one family of tasks (those of the "
        "control two) and nothing else. They show what training traces alone can bring about, not "
        "how large it is in another model.",
    ),
    (
        (),
        "What a model does after a loss is what its traces taught it; hence the arms. The study's "
        "model was pretrained and knew repairs that no trace had shown it.",
    ),
    (
        tuple(f"{arm}-{seed}" for arm in ("none", "errors", "rebuild") for seed in (1, 2, 3)),
        "Where the traces held no repair, or repairs that rebuild nothing, more than half of the "
        "blocks after a loss repeat an earlier one, until the turns are used up and nothing is "
        "scored. Where they rebuilt state, the transcripts show a missed name in every second "
        "block and all state written again in the next: part of the score is kept, less than blind "
        "play has, at a price in tokens, and in nine episodes of ten or more the turns run out.",
    ),
    (
        (),
        "The base sees no task, but three departures from plain training made copying emerge in "
        "minutes: embeddings of length one at the start, one random vector added to all of them, "
        "and an auxiliary loss for the tokens just before. Their effect on the contrast itself is "
        "unknown.",
    ),
    ((), "Token ratios depend on the tokenizer."),
    (
        (),
        "Cells that are the same word by word are called identical; nothing here says that two "
        "cells are equal. Of the arms each training seed's value is shown, and no interval over so "
        "few.",
    ),
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
        played: episodes of `ARM-SEED`, `base-SEED` and `experts`, of `ARM-SEED-caps` and
            `ARM-SEED-contracts`, of `caps-SEED`, `caps-SEED-contracts` and `caps-experts`, of
            `control` and `control-knapsack`, as far as they were played.
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
        MARKS,
        "",
        "```text",
        f"$ {command}",
        "```",
        "",
    ]
    for arm in arms:
        lines += [f"## Arm `{arm}`", "", ARM_TEXTS[arm], "", *_arm(arm, seeds, played)]
    lines += _caps(arms, seeds, played)
    lines += ["## The control", "", CONTROL_TEXT, "", *_control(played)]
    lines += _others(seeds, played, base, ablated)
    lines += [
        "## What this does and does not mean",
        "",
        *(f"- {text}" for text in told(MEANS, played)),
    ]
    return "\n".join(lines) + "\n"


def told(texts: Sequence[Told], played: Collection[str]) -> list[str]:
    """Returns those of the texts of which all was played that they speak of."""
    return [text for names, text in texts if all(name in played for name in names)]


def _arm(arm: str, seeds: Sequence[int], played: Mapping[str, Sequence[Episode]]) -> list[str]:
    found = [seed for seed in seeds if f"{arm}-{seed}" in played]
    if not found:
        return [NOT_MEASURED, ""]
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


def _caps(
    arms: Sequence[str], seeds: Sequence[int], played: Mapping[str, Sequence[Episode]]
) -> list[str]:
    lines = ["## Tool caps and further contracts", "", CAPS_TEXT, ""]
    lines += ["### Models that know several caps", "", CAPPED_TEXT, ""]
    lines += _sweeps(
        _swept(seeds, played, lambda seed: [f"{CAPPED}-{seed}", f"{CAPPED}-{seed}-contracts"])
    )
    if experts := played.get(f"{CAPPED}-experts"):
        lines += ["The experts that wrote their traces; no evidence about models:", ""]
        lines += [*extension.caps_table([Swept(seeds[0], map(row, experts))]), ""]
        lines += [" ".join(told(CUT, played)), ""]
    for arm in arms:
        lines += [f"### Models that know one cap, arm `{arm}`", ""]
        lines += _extended(arm, seeds, played)
    return lines


def _extended(arm: str, seeds: Sequence[int], played: Mapping[str, Sequence[Episode]]) -> list[str]:
    """The cells of the cap that they know are those of the arm's own table."""
    found = _swept(
        seeds, played, lambda seed: [f"{arm}-{seed}{what}" for what in ("", "-caps", "-contracts")]
    )
    if all(one.plays(TIGHT, SLACK) for one in found):
        return _sweeps(found)
    seen = told(UNKNOWN_SEEN, [f"{arm}-{one.seed}-caps" for one in found])
    return [" ".join([UNKNOWN_CAP, *seen]), "", *_sweeps(found)]


def _swept(
    seeds: Sequence[int],
    played: Mapping[str, Sequence[Episode]],
    names: Callable[[int], Sequence[str]],
) -> list[Swept]:
    """Returns the seeds of which all that `names` names was played; the last, of further contracts,
    may be missing."""
    return [
        Swept(seed, [row(episode) for name in names(seed) for episode in played.get(name, ())])
        for seed in seeds
        if all(name in played for name in names(seed)[:-1])
    ]


def _sweeps(found: Sequence[Swept]) -> list[str]:
    if not found:
        return [NOT_MEASURED, ""]
    named = ", ".join(str(one.seed) for one in found)
    return [f"Training seeds {named}.", "", *extension.section(found)]


def _control(played: Mapping[str, Sequence[Episode]]) -> list[str]:
    if CONTROL not in played:
        return [NOT_MEASURED, ""]
    return control.section(played[CONTROL], played.get(f"{CONTROL}-knapsack", ()))


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
