"""Runs tasks under both contracts into a traces folder, from wherever an earlier run broke off.

Each episode is on disk before the next is taken up. Nothing here depends on how many episodes are
in flight but the order of lines in `episodes.jsonl`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from okrt import specs
from okrt.errors import InfrastructureError, StoreError
from okrt.run import Case, episode_id, run_cases
from okrt.store import (
    EPISODES,
    RUN,
    Problem,
    RunDirectory,
    decode_episode,
    encode_episode,
    read_episodes,
)
from okrt.types import Episode, Runtime, Task, TaskFamily
from training.counting import Count
from training.filters import reasons
from training.traces import (
    COLLECT,
    CONTRACTS,
    ContractName,
    Record,
    Survey,
    Trace,
    Traces,
    read_record,
    survey,
    trace,
    write_record,
)

CHUNK = 64
"""Tasks that are run under one contract before the other's turn comes: no run is further ahead than
that, and the places in flight are seldom empty."""

Play = Callable[[list[Case]], Iterator[Episode]]
"""Yields an episode of each of the cases, in any order."""

Progress = Callable[[int, int], None]
"""Is told of accepted pairs, as of the last `CHUNK`, and of episodes on disk."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run, and how its traces are judged."""

    family: TaskFamily
    agents: Mapping[ContractName, specs.Agent]
    record: Record
    count: Count
    in_flight: int
    run: Mapping[str, Any]
    """`run.json` of each run directory."""
    chunk: int = CHUNK
    """Tasks, in the stead of `CHUNK`."""


def gather(
    folder: Path, plan: Plan, runtime: Runtime, progress: Progress, play: Play | None = None
) -> Survey:
    """Runs what the folder lacks; returns what is in it then. `collect.json` says so however it
    ends.

    Args:
        play: what runs cases; None: this process does.

    Raises:
        StoreError: the folder holds other settings, something else or a damaged line, is being
            written by another process, or the disk is full.
        InfrastructureError: a model, the sandbox or the family failed; the same call goes on.
    """
    check_folder(folder)
    try:
        with _alone(folder), ExitStack() as stack:
            _settle(folder, plan.record)
            traces = {name: _resume(folder / name, name, plan) for name in CONTRACTS}
            directories = {
                name: stack.enter_context(_open(folder / name, plan.run)) for name in CONTRACTS
            }
            try:
                here = partial(run_cases, runtime=runtime, in_flight=plan.in_flight)
                _fill(traces, directories, plan, play or here, progress)
            finally:
                found = _survey(traces, plan)
                write_record(folder, replace(plan.record, survey=found))
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror or error}; the same command goes on"
        ) from None
    return found


def _fill(
    traces: dict[ContractName, dict[int, Trace]],
    directories: Mapping[ContractName, RunDirectory],
    plan: Plan,
    play: Play,
    progress: Progress,
) -> None:
    """Runs what is missing, and adds it to the directories and to `traces`."""
    while (state := _survey(traces, plan)).accepted < plan.record.pairs:
        cases = _missing(traces, plan, state)
        if not cases:
            return
        for episode in _whole(play(cases)):
            name: ContractName = "persistent" if episode.contract == "persistent" else "stateless"
            directories[name].append(episode)
            saved = decode_episode(encode_episode(episode))  # as it will be read again
            traces[name][episode.task.seed] = _judge(saved, plan)
            progress(state.accepted, sum(map(len, traces.values())))


def _survey(traces: Traces, plan: Plan) -> Survey:
    return survey(traces, plan.record.settings.first_seed, plan.record.pairs)


def _missing(traces: Traces, plan: Plan, state: Survey) -> list[Case]:
    """Returns the cases that the next tasks lack: as many tasks as there are pairs to be had, so
    that none is tried in vain, and never more than `max_tries` in all."""
    left = min(plan.chunk, plan.record.pairs - state.accepted, plan.record.max_tries - state.tried)
    start = plan.record.settings.first_seed + state.tried
    missing = {
        seed: [name for name in CONTRACTS if seed not in traces[name]]
        for seed in range(start, start + left)
    }
    tasks = {seed: _task(plan, seed) for seed, names in missing.items() if names}
    return [
        _case(plan, name, tasks[seed])
        for name in CONTRACTS
        for seed, names in missing.items()
        if name in names
    ]


def _whole(episodes: Iterator[Episode]) -> Iterator[Episode]:
    for episode in episodes:
        if episode.failure is not None:
            raise InfrastructureError(
                f"{episode.failure.boundary} failed on {episode.task.id} under "
                f"{episode.contract}: {episode.failure.message}; the same command goes on"
            )
        yield episode


def _task(plan: Plan, seed: int) -> Task:
    settings = plan.record.settings
    return specs.make_task(plan.family, seed, settings.tier, settings.split)


def _case(plan: Plan, name: ContractName, task: Task) -> Case:
    agent = plan.agents[name]
    return Case(
        plan.family,
        task,
        specs.CONTRACTS[name],
        agent.card,
        agent.model,
        plan.record.settings.episode,
    )


def _judge(episode: Episode, plan: Plan) -> Trace:
    if episode.trajectory is None:
        raise StoreError(f"episode {episode.id} was broken off; collect into a new folder")
    tokens = plan.count(episode.trajectory)
    return trace(episode, reasons(episode, tokens, plan.record.settings.filters))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other collecting processes out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(
            f"cannot write a traces folder at {folder}: {error.strerror}; name another place"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError(f"another process is collecting into {folder}") from None
    try:
        yield
    finally:
        os.close(handle)


def check_folder(folder: Path) -> None:
    """Raises StoreError unless the folder is a traces folder, empty or not there."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; name another --out")
    if folder.exists() and not (folder / COLLECT).exists():
        for entry in folder.iterdir():
            if not entry.name.startswith(f".{COLLECT}"):  # written beside it, then a crash
                raise StoreError(
                    f"{folder} is not empty and holds no {COLLECT}; name another --out"
                )


def _settle(folder: Path, record: Record) -> None:
    """Writes `collect.json` of a run that begins or goes on; more pairs or tries may be asked for.

    Raises:
        StoreError: the folder is of other settings.
    """
    if (folder / COLLECT).exists():
        old, new = _leaves(read_record(folder).settings), _leaves(record.settings)
        for name in dict.fromkeys([*new, *old]):
            if old.get(name) != new.get(name):
                raise StoreError(
                    f"{folder} was collected with {name} = {old.get(name)!r}, not "
                    f"{new.get(name)!r}: give the same settings, or another --out"
                )
    write_record(folder, record)


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Returns the settings as one level of names with dots."""
    value = value if isinstance(value, dict) else msgspec.to_builtins(value)
    if not isinstance(value, dict):
        return {name: value}
    inner = (_leaves(item, f"{name}.{key}" if name else key) for key, item in value.items())
    return {key: item for leaves in inner for key, item in leaves.items()}


def _resume(path: Path, name: ContractName, plan: Plan) -> dict[int, Trace]:
    """Returns the traces that a run directory holds."""
    traces: dict[int, Trace] = {}
    if not (path / EPISODES).exists():
        return traces
    for found in read_episodes(path):
        if isinstance(found, Problem):
            if found.kind == "corrupt":
                raise StoreError(f"{found.message}; collect into a new folder")
        elif found.task.seed in traces:
            raise StoreError(f"{path}: two episodes of {found.task.id}; collect into a new folder")
        else:
            traces[found.task.seed] = _judge(found, plan)
    for seed, one in list(traces.items())[:1]:
        if one.episode_id != episode_id(_case(plan, name, _task(plan, seed))):
            raise StoreError(
                f"{path} was collected with other prompts or tasks than this okrt makes; name "
                "another --out"
            )
    return traces


def _open(path: Path, run: Mapping[str, Any]) -> RunDirectory:
    """Returns a run directory open for appending, made if it is not there."""
    if not (path / EPISODES).exists() and not (path / RUN).exists():
        return RunDirectory.create(path, run)
    directory = RunDirectory.resume(path)
    if not (path / RUN).exists():
        directory.write_run(run)
    return directory
