"""A fine-tune of the base for one contract, and the checkpoint that is kept of it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Literal

import msgspec
import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from okrt.models.checkpoint import checkpoint_digest
from training.dataset import Pairs, Regime, Selection, read_pairs, select
from training.tiny.loop import Recipe, Step, batches, keep_memory, train
from training.tiny.play import bad_paste_rate, mean_score, play

RECIPE = Recipe(betas=(0.9, 0.98), decay=0.05)
ROWS = 3
"""Examples in a batch."""
CANDIDATES = (0.7, 0.85, 1.0)
"""When, as shares of the steps, a checkpoint is saved and tried at home."""
VALIDATION = range(32)
"""Seeds of the split `val`."""
VALIDATION_BESIDE = range(8)
"""Likewise, of each further set of traces."""
CONTRACTS: tuple[Literal["persistent", "stateless"], ...] = ("persistent", "stateless")
EVERY = 25
"""Steps between two lines of the log."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """One fine-tune. Two that differ in `contract` alone see the same tasks in the same order."""

    base: Path
    traces: Path
    contract: Regime
    seed: int
    steps: int
    out: Path
    command: str = ""
    beside: tuple[Path, ...] = ()
    """Traces of further families or tool caps, learnt together with the first."""


class Log:
    """Lines of `log.jsonl`, with the CPU seconds this process has used."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.fed = 0

    def step(self, step: Step, **more: Any) -> None:
        self.fed += step.tokens
        if step.number % EVERY == 0:
            self.line(**asdict(step), fed=self.fed, **more)

    def line(self, **fields: Any) -> None:
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in fields.items()}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**rounded, "cpu_s": round(time.process_time(), 1)}) + "\n")


def tune(job: Tuning) -> None:
    """Trains, tries the candidates at home, and keeps the best in `job.out`, which appears whole.

    The home of a mixed model is stateless, where it has to know which contract holds. Examples of
    several families are shuffled together, each trace as often as any other.

    Raises:
        okrt.errors.UsageError: the traces cannot be trained on.
    """
    torch.set_num_threads(1)
    keep_memory()
    work = job.out.with_name(f".{job.out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = Log(work / "log.jsonl")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job.base)
    model = Qwen3ForCausalLM.from_pretrained(job.base, dtype=torch.float32)
    found = [read_pairs(folder) for folder in (job.traces, *job.beside)]
    sets = [(pairs, select(pairs, job.contract, "episodes", tokenizer)) for pairs in found]
    examples = [example for _, chosen in sets for example in chosen.encoded]
    lengths = [length for pairs, chosen in sets for length in _lengths(pairs, chosen)]
    due = {max(round(share * job.steps), 1) - 1 for share in CANDIDATES}

    def after(step: Step) -> None:
        log.step(step)
        end_with_parent()
        if step.number in due:
            save(model, tokenizer, work / f"step-{step.number + 1}")

    padding, rng = int(tokenizer.pad_token_id), Random(f"tune/{job.seed}")
    source = batches(examples, lengths, ROWS, padding, rng)
    train(model, source, job.steps, RECIPE, after)
    best = _choose(work, job, found, log)
    first, *beside = sets
    note = {
        "trained_under": job.contract,
        "tiers": sorted({pairs.settings.tier for pairs in found}),
        "seed": job.seed,
        "arm": first[0].settings.arm,
        "steps": job.steps,
        "kept": best.name,
        "base": checkpoint_digest(job.base),
        "traces": _traces(*first),
        **({"beside": [_traces(*one, named=True) for one in beside]} if beside else {}),
        "command": job.command,
        "versions": {name: metadata.version(name) for name in ("okrt", "torch", "transformers")},
    }
    publish(best, log.file, note, job.out)
    shutil.rmtree(work)


def _traces(pairs: Pairs, chosen: Selection, named: bool = False) -> dict[str, Any]:
    family, tool_cap = pairs.settings.family, pairs.settings.episode.tool_cap
    return {
        **({"family": family, "tool_cap": tool_cap} if named else {}),
        "digest": pairs.digest,
        "pairs": len(pairs),
        "loss_tokens": chosen.loss_tokens,
    }


def end_with_parent() -> None:
    """Ends this process if the command that started it has gone."""
    parent = multiprocessing.parent_process()
    if parent and not parent.is_alive():
        raise SystemExit("the command that started this has gone")


def _lengths(pairs: Pairs, chosen: Selection) -> list[int]:
    """Returns each example's characters under both contracts together: the same for both."""
    characters: Counter[str] = Counter()
    for episode in (*pairs.persistent, *pairs.stateless):
        if episode.trajectory:
            texts = (message.content for message in episode.trajectory.messages())
            characters[episode.task.id] += sum(map(len, texts))
    return [characters[episode.task.id] for episode in chosen.episodes]


def _choose(work: Path, job: Tuning, found: Sequence[Pairs], log: Log) -> Path:
    """Returns the candidate with the best mean score at home, each set of traces weighing the same;
    of equals the latest."""
    home = "stateless" if job.contract == "mixed" else job.contract
    scores: dict[int, float] = {}
    first, *others = [
        partial(play, family=one.settings.family, tool_cap=one.settings.episode.tool_cap)
        for one in found
    ]
    for folder in work.glob("step-*"):
        episodes = first(folder, home, "val", VALIDATION)
        number = int(folder.name.removeprefix("step-"))
        beside = [mean_score(other(folder, home, "val", VALIDATION_BESIDE)) for other in others]
        scores[number] = fmean([mean_score(episodes), *beside])
        more = {"beside": beside} if beside else {}
        log.line(tried=number, score=scores[number], bad_pastes=bad_paste_rate(episodes), **more)
    best = max(scores, key=lambda number: (scores[number], number))
    return work / f"step-{best}"


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def publish(folder: Path, log: Path, note: dict[str, Any], out: Path) -> None:
    """Moves a saved model to `out`, with its log and what `okrt.json` says of it."""
    shutil.copy(log, folder / "log.jsonl")
    (folder / "okrt.json").write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
    folder.replace(out)
