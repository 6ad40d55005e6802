"""A traces folder: a run directory for each contract, and `collect.json`, which says what is in.

Every episode that was tried is in one of the two run directories; a dataset is made of the pairs
that `collect.json` does not refuse. What it says is a pure function of its settings and those
episodes, so that neither interruptions nor the order of running leave a mark in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import msgspec

from okrt.errors import StoreError
from okrt.store import encode_episode, replace_file
from okrt.types import Episode, ModelCard, Settings
from training.filters import REASONS, Filters, Reason

SCHEMA = 1
COLLECT = "collect.json"

ContractName = Literal["persistent", "stateless"]
CONTRACTS: tuple[ContractName, ...] = ("persistent", "stateless")
TrainSplit = Literal["train", "val"]
Arm = Literal["none", "errors", "rebuild", "cut"]

TRAITS = ("items", "budget", "capacity", "optimum", "floor_score", "reference_score")
"""Metrics of an outcome that tell of the task alone, not of how it was played."""
LATER = frozenset({"call", "call_id", "function", "looped", "salt", "server", "stop_repetition"})
"""Fields of an episode that were added since traces have digests."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What decides the traces; a folder holds those of one such setting."""

    family: str
    tier: str
    split: TrainSplit
    first_seed: int
    arm: Arm | None
    """What the experts do after an error; None: a model wrote the traces."""
    variety: int | None
    """Seed of the experts' surface variety; None: there was none."""
    models: Mapping[str, ModelCard]
    """Who wrote the traces, by contract."""
    episode: Settings
    filters: Filters
    tokenizer: str
    """What counted the tokens of the window: digest of a tokenizer, or name of the counter."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """What some of the tasks are like."""

    n: int = 0
    means: Mapping[str, float | None] = field(default_factory=dict)
    """Of the `TRAITS`; None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the episodes come to, up to the last pair that is wanted."""

    complete: bool = False
    """Whether as many pairs are in as were asked for."""
    tried: int = 0
    """Tasks with both traces, counted from the first seed on without a gap."""
    accepted: int = 0
    """Pairs that are in."""
    digest: str | None = None
    """Of the accepted episodes, see `traces_digest`; None where there are none."""
    refusals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By contract and reason, how many traces were refused; one may be for several reasons."""
    refused: Mapping[str, Mapping[str, tuple[Reason, ...]]] = field(default_factory=dict)
    """The tasks that are out, by id, with each contract's reasons."""
    accepted_tasks: Tasks = field(default_factory=Tasks)
    refused_tasks: Tasks = field(default_factory=Tasks)
    """To compare with the accepted: filters select."""


@dataclass(frozen=True, slots=True)
class Record:
    """`collect.json`."""

    settings: TraceSettings
    pairs: int
    """How many accepted pairs were asked for."""
    max_tries: int
    """How many tasks could be tried."""
    arguments: tuple[str, ...]
    """The command line that last wrote here."""
    versions: Mapping[str, str]
    survey: Survey = field(default_factory=Survey)
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept in memory of an episode."""

    episode_id: str
    task_id: str
    digest: str
    reasons: tuple[Reason, ...]
    traits: Mapping[str, float]


Traces = Mapping[ContractName, Mapping[int, Trace]]
"""By contract and seed."""
Pair = Mapping[ContractName, Trace]
"""Both traces of a task."""


def trace(episode: Episode, reasons: tuple[Reason, ...]) -> Trace:
    """Returns what is kept of an episode with an outcome."""
    metrics = episode.outcome.metrics if episode.outcome else {}
    known = {name: metrics.get(name) for name in TRAITS}
    return Trace(
        episode_id=episode.id,
        task_id=episode.task.id,
        digest=episode_digest(episode),
        reasons=reasons,
        traits={name: float(value) for name, value in known.items() if value is not None},
    )


def survey(traces: Traces, first_seed: int, pairs: int) -> Survey:
    """Returns what the traces (by contract, then seed) come to.

    Tasks are taken from `first_seed` on up to the first that lacks a trace, or to the one that
    makes the last pair.
    """
    tried: list[Pair] = []
    accepted: list[Pair] = []
    while len(accepted) < pairs:
        seed = first_seed + len(tried)
        if any(seed not in traces[name] for name in CONTRACTS):
            break
        pair: Pair = {name: traces[name][seed] for name in CONTRACTS}
        tried.append(pair)
        if not any(one.reasons for one in pair.values()):
            accepted.append(pair)
    refused = [pair for pair in tried if any(one.reasons for one in pair.values())]
    return Survey(
        complete=len(accepted) == pairs,
        tried=len(tried),
        accepted=len(accepted),
        digest=traces_digest(tuple(pair[name].digest for name in CONTRACTS) for pair in accepted)
        if accepted
        else None,
        refusals={
            name: {
                reason: sum(reason in pair[name].reasons for pair in refused) for reason in REASONS
            }
            for name in CONTRACTS
        },
        refused={
            pair[CONTRACTS[0]].task_id: {name: pair[name].reasons for name in CONTRACTS}
            for pair in refused
        },
        accepted_tasks=_tasks(accepted),
        refused_tasks=_tasks(refused),
    )


def _tasks(pairs: Sequence[Pair]) -> Tasks:
    traits = [pair[CONTRACTS[0]].traits for pair in pairs]
    known = {name: [one[name] for one in traits if name in one] for name in TRAITS}
    return Tasks(
        n=len(pairs),
        means={name: fmean(values) if values else None for name, values in known.items()},
    )


def episode_digest(episode: Episode) -> str:
    """Returns the SHA-256 of the episode's line in `episodes.jsonl` with every `timing` empty.

    A field that came later counts where it says something: traces keep their digest when a version
    of okrt adds one.
    """
    trajectory = episode.trajectory
    if trajectory is not None:
        turns = tuple(replace(turn, timing={}) for turn in trajectory.turns)
        trajectory = replace(trajectory, turns=turns)
    bare = replace(episode, trajectory=trajectory, timing={})
    line = _without_later(msgspec.json.decode(encode_episode(bare)))
    return hashlib.sha256(msgspec.json.encode(line) + b"\n").hexdigest()


def _without_later(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_later(item)
            for key, item in value.items()
            if item is not None or key not in LATER
        }
    return [_without_later(item) for item in value] if isinstance(value, list) else value


def traces_digest(pairs: Iterable[tuple[str, ...]]) -> str:
    """Returns the SHA-256 of pairs of episode digests: a pair a line, persistent first."""
    lines = "".join(" ".join(pair) + "\n" for pair in pairs)
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def write_record(folder: Path, record: Record) -> None:
    """Replaces `collect.json` in one step.

    Raises:
        StoreError: the folder went away, is full or not writable.
    """
    text = msgspec.json.format(msgspec.json.encode(record), indent=2)
    replace_file(folder / COLLECT, text + b"\n")


def read_record(folder: Path) -> Record:
    """Returns `collect.json`; fields that a later version added are passed over.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    file = folder / COLLECT
    try:
        record = msgspec.json.decode(file.read_bytes(), type=Record)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"{folder} is no traces folder: it has no {COLLECT}; make one with "
            "python -m training.collect --out"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"{file} is damaged: {error}; collect into a new folder") from None
    if record.schema != SCHEMA:
        raise StoreError(f"{file}: schema {record.schema} is unknown (known: {SCHEMA})")
    return record
