"""Where a decision meets files: the baseline is read, tasks are made anew, `gates.json` written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from okrt import specs
from okrt.baselines import held
from okrt.errors import OkrtError, StoreError
from okrt.gates.decision import Baseline, Decision, Run, decide
from okrt.gates.file import Asked, GateFile
from okrt.gates.words import as_json
from okrt.store import GATES, replace_file


def decided(file: GateFile, asked: Asked, run: Run, baseline: Path | None) -> Decision:
    """Returns the decision on a run. `baseline` is where the one lies that was given."""
    problems = [*run.problems, *(f"the run holds {line}" for line in _several(run.run))]
    versions = _versions(file, problems)
    found = _baseline(baseline) if baseline is not None and file.wants_baseline else None
    return decide(file, asked, Run(run.run, run.rows, problems), found, versions)


def write(path: Path, decision: Decision) -> None:
    """Writes `gates.json` into a run directory. Raises StoreError: it cannot be written."""
    text = msgspec.json.format(msgspec.json.encode(as_json(decision)), indent=2)
    replace_file(path / GATES, text + b"\n")


def words_in(path: Path) -> str | None:
    """Returns what a run directory's `gates.json` says, in words; None where it says nothing."""
    try:
        return str(msgspec.json.decode((path / GATES).read_bytes(), type=dict[str, Any])["words"])
    except (OSError, msgspec.MsgspecError, RecursionError, KeyError):
        return None


def asked_in(run: Mapping[str, Any]) -> Asked:
    """Returns what the sessions of a run named on their command lines."""
    told = [session.get("asked") or {} for session in run.get("sessions") or ()]
    return Asked(_each(told, "models"), _each(told, "runtimes"))


def _each(told: Iterable[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(one) for asked in told for one in asked.get(name) or ()))


def _versions(file: GateFile, problems: list[str]) -> dict[str, int]:
    """Returns the versions of the tasks that are generated today, by tier."""
    found = {}
    for tier in file.tiers:
        try:
            found[tier] = specs.make_task(file.family, file.seeds[0], tier).version
        except OkrtError as error:
            problems.append(f"{tier}: no task can be made: {error}")
    return found


def _baseline(path: Path) -> Baseline:
    name = path.resolve().name
    try:
        found = held.read(path)
    except StoreError as error:
        return Baseline(name, {}, (), "", (str(error),))
    problems = (*found.problems, *(f"it holds {line}" for line in _several(found.run)))
    return Baseline(name, found.run, found.rows, found.digest, problems)


def _several(run: Mapping[str, Any]) -> list[str]:
    return [f"{line}: gates judge one; run each by itself" for line in held.several(run)]
