"""The steps from nothing to checkpoints: traces, bases, fine-tunes, each put in place whole."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import torch

from okrt.errors import UsageError
from okrt.families.opaque_knapsack import style
from okrt.families.scripted import misspelt
from training import collect
from training.dataset import Pairs, read_pairs
from training.tiny import documents
from training.tiny.base import LAST, MOST, RECIPE, make_base
from training.tiny.loop import OFFSET, SPREAD, Step, keep_memory
from training.tiny.play import CONTROL, CONTROL_FAMILY, SETTINGS, TIER
from training.tiny.tune import Log, end_with_parent, publish, save
from training.tiny.vocabulary import make_tokenizer

NOMINAL_MINUTES = 35.0
"""CPU minutes that the steps below took, all in all, on the machine they were chosen on."""
TUNE_STEPS, PAIRS = 700, 1500
CONTROL_STEPS, CONTROL_PAIRS = 800, 150
"""Of the fine-tunes that learn the control beside the knapsack. With these, about as many traces of
the knapsack are learnt as without the control."""
CAPPED_STEPS, CAPPED_PAIRS = 800, 500
"""Of the fine-tunes that learn several tool caps; pairs of each cap."""
Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Sizes:
    base_most: int
    base_last: int
    tune_steps: int
    pairs: int
    control_steps: int
    control_pairs: int
    capped_steps: int
    capped_pairs: int


@dataclass(frozen=True, slots=True)
class Base:
    """A base to be made. The last three are departures from plain training, to be left out."""

    traces: Path
    """Of which the vocabulary is made; no trace is trained on."""
    seed: int
    out: Path
    most: int
    last: int
    command: str = ""
    looking_back: float = RECIPE.looking_back
    offset: float = OFFSET
    spread: float = SPREAD


def sizes(minutes: float) -> Sizes:
    """Returns the sizes for so many CPU minutes, roughly.

    Raises:
        UsageError: there is no time.
    """
    if not minutes > 0:
        raise UsageError(f"--minutes {minutes:g}: give more than 0")
    scale = minutes / NOMINAL_MINUTES
    return Sizes(
        max(round(MOST * scale), 1),
        max(round(LAST * scale), 1),
        max(round(TUNE_STEPS * scale), 2),
        max(round(PAIRS * scale), 1),
        max(round(CONTROL_STEPS * scale), 2),
        max(round(CONTROL_PAIRS * scale), 1),
        max(round(CAPPED_STEPS * scale), 2),
        max(round(CAPPED_PAIRS * scale), 1),
    )


def command(minutes: float, seed: int, arm: str = "none") -> str:
    """Returns what makes a checkpoint, without paths: where things lay is not what made them."""
    text = f"python -m training.tiny --minutes {minutes:g} --seed {seed}"
    return text if arm == "none" else f"{text} --arm {arm}"


def collect_traces(folder: Path, arm: str, pairs: int, tool_cap: int | None = None) -> None:
    """Fills a traces folder: of an arm, or of the control, whose right block is the same each turn.

    Raises:
        UsageError: collecting fails; it has said why.
    """
    of_arm = ["--arm", arm]
    of_control = ["--family", CONTROL_FAMILY, "--keep-loops"]
    arguments = ["--tier", TIER, "--pairs", str(pairs), "--out", str(folder)]
    arguments += of_control if arm == CONTROL else of_arm
    arguments += [] if tool_cap is None else ["--tool-cap", str(tool_cap)]
    arguments += ["--temperature", f"{SETTINGS.temperature:g}", "--in-flight", "8"]
    arguments += ["--max-turns", str(SETTINGS.max_turns)]
    arguments += ["--max-new-tokens", str(SETTINGS.max_new_tokens)]
    if collect.main(arguments):
        raise UsageError("collecting failed, see above")


def make_checkpoint_of_base(job: Base) -> None:
    """Trains a base and puts it in `job.out`, which appears whole."""
    torch.set_num_threads(1)
    keep_memory()
    work = job.out.with_name(f".{job.out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = Log(work / "log.jsonl")
    tokenizer = make_tokenizer(_texts(read_pairs(job.traces)))

    def after(step: Step, level: int) -> None:
        log.step(step, level=level)
        end_with_parent()
        if step.number % 100 == 0:
            say(f"{job.out.name}: step {step.number} of at most {job.most}, level {level}")

    recipe = replace(RECIPE, looking_back=job.looking_back)
    model = make_base(
        tokenizer, job.seed, after, most=job.most, last=job.last,
        recipe=recipe, offset=job.offset, spread=job.spread,
    )  # fmt: skip
    save(model, tokenizer, work / "model")
    note = {
        "trained_under": "unknown",
        "seed": job.seed,
        "steps_at_most": job.most,
        "steps_at_last_level": job.last,
        "looking_back": job.looking_back,
        "offset": job.offset,
        "spread": job.spread,
        "command": job.command,
        "versions": {name: metadata.version(name) for name in ("okrt", "torch", "transformers")},
    }
    publish(work / "model", log.file, note, job.out)
    shutil.rmtree(work)


def _texts(pairs: Pairs) -> Iterator[str]:
    """Yields what the vocabulary is made of: both contracts' traces, and every word that a
    document, a style or an error may bring."""
    for episode in (*pairs.persistent, *pairs.stateless):
        if episode.trajectory:
            yield from (message.content for message in episode.trajectory.messages())
    names = [name for names in astuple(style.CHOICES) for name in names.split()]
    words = [*documents.NAMES, *names, *(misspelt(name) for name in names)]
    texts = [*documents.SAYS, *documents.THINKS, *documents.DOES, *style.REPAIRS.values(), *words]
    texts += [f" {word} " for word in words]
    texts.append("Traceback (most recent call last):\nNameError: name 'x' is not defined\n")
    texts.append("[note] SyntaxError: IndexError: KeyError: ValueError: TypeError: ToolError: ")
    yield from texts * 3


def run_all(make: Callable[[Job], None], jobs: Sequence[Job], at_a_time: int) -> Iterator[Job]:
    """Yields the jobs as they end, each made in a process of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_a_time, mp_context=context, max_tasks_per_child=1) as pool:
        running = {pool.submit(make, job): job for job in jobs}
        for future in as_completed(running):
            future.result()
            yield running[future]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
