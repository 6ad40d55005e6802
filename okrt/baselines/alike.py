"""Whether two runs may be compared: the same tasks, settings and prompts in the cells asked for.

The machine, the isolation and the versions of packages make no difference here; a task of another
version is another task, and so is one that was drawn by another salt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from okrt.analysis.brief import Brief
from okrt.analysis.pairing import SETTINGS
from okrt.baselines.held import settings_of
from okrt.run import STOP_REPETITION
from okrt.types import Settings

SHOWN = 3
"""Tasks that a line names; the rest is counted."""
_IN_ROWS = {field.name for field in fields(Brief)}
_NOT_IN_ROWS = [field.name for field in fields(Settings) if field.name not in _IN_ROWS]
_USUAL: Mapping[str, Any] = {"stop_repetition": STOP_REPETITION}
"""What a setting that a run does not state amounts to, where that is not its default."""


class CellName(NamedTuple):
    """What a run's cell and a baseline's share; their models may differ."""

    contract: str
    family: str
    tier: str

    def __str__(self) -> str:
        return f"{self.contract}, {self.family}/{self.tier}"


def cells_of(rows: Iterable[Brief]) -> dict[CellName, list[Brief]]:
    """Returns the rows of each cell, whatever the model, sorted."""
    found: dict[CellName, list[Brief]] = {}
    for row in rows:
        found.setdefault(CellName(row.contract, row.family, row.tier), []).append(row)
    return dict(sorted(found.items()))


def differences(
    run: Mapping[str, Any],
    rows: Sequence[Brief],
    base_run: Mapping[str, Any],
    base_rows: Sequence[Brief],
    cells: Collection[tuple[str, str]] | None = None,
) -> list[str]:
    """Returns a line for each thing that keeps a run and a baseline from being compared; none if
    they may be.

    Args:
        run: the `run.json` of the one; `base_run` that of the baseline.
        rows: its rows, of the models that are to be compared.
        cells: runtimes and tiers that are asked for; None: all that either holds.

    Raises:
        StoreError: the settings of a `run.json` cannot be read.
    """
    mine, theirs = cells_of(rows), cells_of(base_rows)
    named = [
        name
        for name in sorted({*mine, *theirs})
        if cells is None or (name.contract, name.tier) in cells
    ]
    held = {(name.contract, name.tier) for name in named}
    absent = sorted(set(cells or ()) - held)
    lines = [f"{contract}, {tier}: neither has such a cell" for contract, tier in absent]
    lines += _setting_lines(run, base_run) if named else []
    for name in named:
        lines += _cell_lines(name, mine.get(name, []), theirs.get(name, []))
    return lines


def _setting_lines(run: Mapping[str, Any], base_run: Mapping[str, Any]) -> list[str]:
    """Of the settings that rows do not state."""
    mine, theirs = settings_of(run), settings_of(base_run)
    return [
        f"{name}: {_said(mine, name)} here, {_said(theirs, name)} in the baseline"
        for name in _NOT_IN_ROWS
        if _said(mine, name) != _said(theirs, name)
    ]


def other_sources(
    run: Mapping[str, Any], base_run: Mapping[str, Any], cells: Iterable[CellName]
) -> tuple[str, ...]:
    """Returns the runtimes of a user's own that come from another file than in the baseline. This
    keeps nothing from being compared: what the file holds besides may have changed."""
    mine, theirs = (one.get("sources") or {} for one in (run, base_run))
    names = {cell.contract: f"runtime {cell.contract}" for cell in cells}
    return tuple(
        contract
        for contract, name in names.items()
        if name in mine and name in theirs and mine[name] != theirs[name]
    )


def _said(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return str(_USUAL.get(name) if value is None else value)


def _cell_lines(name: CellName, mine: Sequence[Brief], theirs: Sequence[Brief]) -> list[str]:
    if not mine or not theirs:
        return [f"{name}: {'the baseline' if mine else 'the run'} has no such cell"]
    lines = []
    for field in (*SETTINGS, "prompt_digest"):
        one, other = _values(mine, field), _values(theirs, field)
        if one != other:
            lines.append(f"{field}: {one} here, {other} in the baseline")
        elif ", " in one:
            lines.append(f"{field}: several values, {one}")
    return [f"{name}: {line}" for line in [*lines, *_task_lines(mine, theirs)]]


def _values(rows: Iterable[Brief], field: str) -> str:
    return ", ".join(sorted({_text(getattr(row, field)) for row in rows}))


def _text(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _task_lines(mine: Sequence[Brief], theirs: Sequence[Brief]) -> list[str]:
    one, other = ({row.task_id: row.seed for row in rows} for rows in (mine, theirs))
    if one.keys() == other.keys():
        return []
    plain = [{task.rpartition("@")[0] for task in tasks} for tasks in (one, other)]
    if plain[0] == plain[1]:
        versions = [
            ", ".join(sorted({t.rpartition("@")[2] for t in some})) for some in (one, other)
        ]
        return [f"tasks: of version {versions[0]} here, {versions[1]} in the baseline"]
    lines = []
    if missing := sorted(other.keys() - one.keys(), key=lambda task: (other[task], task)):
        lines.append(f"tasks: {_first(missing)} of the baseline missing here")
    if extra := sorted(one.keys() - other.keys(), key=lambda task: (one[task], task)):
        lines.append(f"tasks: {_first(extra)} here that the baseline has not")
    return lines


def _first(tasks: Sequence[str]) -> str:
    more = ", ..." if len(tasks) > SHOWN else ""
    return f"{len(tasks)} ({', '.join(tasks[:SHOWN])}{more})"
