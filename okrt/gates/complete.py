"""What must be there, and what of it is: it follows from the gate file and the models given, never
from what was collected."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import msgspec

from okrt.analysis.brief import Brief
from okrt.analysis.pairing import SETTINGS
from okrt.analysis.settings import as_text
from okrt.gates.file import Asked, GateFile
from okrt.plan import AXES, Key
from okrt.types import Settings

SHOWN = 3
"""Seeds that a line names; the rest is counted."""
_ALIKE = (*SETTINGS, "prompt_digest", "model_digest", "tokenizer")
"""What the episodes of a cell must have in common."""


class Where(NamedTuple):
    """A cell of a run."""

    model: str
    contract: str
    tier: str

    def __str__(self) -> str:
        return ", ".join(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run holds of a cell that must be there."""

    where: Where
    rows: tuple[Brief, ...]
    """With an outcome, one for each task and repeat that the gate file states, no others."""
    broken: tuple[Brief, ...]
    """That infrastructure broke off."""
    needed: int
    lacks: tuple[str, ...]
    """A line for each thing that keeps it from being judged."""


def wanted(file: GateFile, asked: Asked) -> list[Where]:
    """Returns the cells that must be there."""
    contracts = tuple(file.runtimes.values()) or asked.contracts
    return [Where(*one) for one in product(asked.models, contracts, file.tiers)]


def index(rows: Iterable[Brief]) -> dict[Key, list[Brief]]:
    """Returns the rows by their coordinates."""
    found: dict[Key, list[Brief]] = {}
    for row in rows:
        key = Key(row.family, row.tier, row.split, row.model, row.contract, row.repeat, row.seed)
        found.setdefault(key, []).append(row)
    return found


def take(
    file: GateFile, where: Where, held: Mapping[Key, Sequence[Brief]], versions: Mapping[str, int]
) -> Taken:
    """Returns what is held of a cell. `versions` are those of the tasks that the family generates
    today, by tier."""
    rows, broken, missing, twice, every = [], [], [], [], list[Brief]()
    keys = [
        Key(file.family.name, where.tier, "eval", where.model, where.contract, repeat, seed)
        for repeat, seed in product(range(file.repeats), file.seeds)
    ]
    for key in keys:
        found = held.get(key, ())
        every += found
        scored = [row for row in found if row.failure is None and row.score is not None]
        if len(scored) > len({_axes(row) for row in scored}):
            twice.append(key)
        if not found:
            missing.append(key)
        elif scored:
            rows.append(scored[0])
        else:
            broken.append(found[0])
    lines = [_missing(missing, len(keys))] if missing else []
    if twice:
        lines.append(f"{len(twice)} episodes are there more than once ({_seeds(twice)})")
    lines += _unlike(rows, every, versions.get(where.tier))
    if file.tool_cap is not None and (other := {row.tool_cap for row in every} - {file.tool_cap}):
        caps = ", ".join(map(str, sorted(other)))
        lines.append(f"episodes ran under tool cap {caps}, {file.name} states {file.tool_cap}")
    told = tuple(f"{where}: {line}" for line in lines)
    return Taken(where, tuple(rows), tuple(broken), len(keys), told)


def against_settings(run: Mapping[str, Any], taken: Iterable[Taken]) -> list[str]:
    """Returns a line for each cell that was not recorded under the settings that its run states."""
    try:
        stated = msgspec.convert(run.get("settings") or {}, Settings)
    except msgspec.ValidationError as error:
        return [f"the settings in run.json cannot be read: {error}"]
    known = {field.name for field in dataclasses.fields(Settings)}
    known -= {"tool_cap"} if stated.tool_cap is None else set()
    known -= set(run.get("axes") or ())  # of which it states the first value
    fields = [name for name in SETTINGS if name in known]
    lines = []
    for cell in taken:
        for name in fields if run.get("settings") else ():
            wrong = [
                r for r in cell.rows if as_text(getattr(r, name)) != as_text(getattr(stated, name))
            ]
            if wrong:
                first = wrong[0]
                lines.append(
                    f"{cell.where}: {len(wrong)} episodes were recorded under {name} "
                    f"{getattr(first, name)}, the run states {getattr(stated, name)} "
                    f"({first.task_id})"
                )
    return lines


def strangers(file: GateFile, cells: Sequence[Where], held: Mapping[Key, object]) -> list[str]:
    """Returns what a run holds in the stead of cells of which it holds nothing: renamed labels,
    runtimes, tiers and families are found so."""
    has = {(key.model, key.contract, key.tier) for key in held if key.family == file.family.name}
    if all(tuple(cell) in has for cell in cells):
        return []
    others = sorted(has - {tuple(cell) for cell in cells})
    families = sorted({key.family for key in held} - {file.family.name})
    said = [*(str(Where(*other)) for other in others), *(f"family {name}" for name in families)]
    more = [f"{len(said) - SHOWN} more"] if len(said) > SHOWN else []
    return [f"in their stead there is {'; '.join(said[:SHOWN] + more)}"] if said else []


def task_version(row: Brief) -> str:
    """Returns the version in a task's id, without the salt of a private one."""
    return row.task_id.rpartition("@")[2].partition("~")[0]


def _missing(keys: Sequence[Key], needed: int) -> str:
    if len(keys) == needed:
        return f"none of {needed} episodes is there"
    return f"{len(keys)} of {needed} episodes are missing ({_seeds(keys)})"


def _seeds(keys: Sequence[Key]) -> str:
    seeds = [f"{key.seed}" + (f" r{key.repeat + 1}" if key.repeat else "") for key in keys]
    return f"seeds {', '.join(seeds[:SHOWN])}{', ...' if len(seeds) > SHOWN else ''}"


def _unlike(rows: Sequence[Brief], every: Sequence[Brief], version: int | None) -> list[str]:
    """What differs among the episodes of a cell, and tasks that are no longer generated. `every`
    holds those that were broken off, and each value of what the run crossed, too."""
    crossed = len({_axes(row) for row in every}) > 1
    lines = []
    for name in _ALIKE:
        if crossed and name == "prompt_digest":
            continue  # prompts say what the cap is: that it differs stands there already
        among = every if name in AXES else rows
        values = Counter(as_text(getattr(row, name)) for row in among)
        if len(values) > 1:
            told = ", ".join(f"{value} in {count}" for value, count in sorted(values.items()))
            lines.append(f"episodes of several values of {name.replace('_', ' ')}: {told}")
    old = [row for row in rows if version is not None and task_version(row) != str(version)]
    if old:
        lines.append(
            f"{len(old)} episodes are of stale tasks ({old[0].task_id}): this okrt generates "
            f"version {version}"
        )
    return lines


def _axes(row: Brief) -> tuple[Any, ...]:
    return tuple(getattr(row, axis) for axis in AXES)
