"""Which cells of a run are a pilot's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from okrt.analysis.brief import Brief
from okrt.analysis.rows import Row
from okrt.baselines.held import read, rows_of
from okrt.baselines.saved import find
from okrt.errors import UsageError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user said of the cells; nothing said is any."""

    tiers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Labels. Of two cells, the first is of the one that is judged."""
    contracts: tuple[str, ...] = ()


def read_briefs(text: str) -> list[Brief]:
    """Returns the rows of a run, or of a baseline, given by its path or its name.

    Raises:
        UsageError: there is none, or a line of it is no episode.
        okrt.errors.StoreError: it is damaged, or its rows are not those that were saved.
    """
    path = find(text, Path())
    held = read(path)
    if held.problems:  # a last line that is half written is left out: the run was broken off
        for one in rows_of(path):
            if not isinstance(one, Row) and one.kind == "corrupt":
                raise UsageError(one.message)
    return list(held.rows)


def one_run(rows: Sequence[Brief], wanted: Wanted, count: int) -> list[list[Brief]]:
    """Returns so many cells of a run, in the order in which models and runtimes were named.

    Raises:
        UsageError: the run holds more or fewer that are wanted, said with their names.
    """
    cells = cells_of(rows, wanted)
    if len(cells) != count:
        raise UsageError(
            f"the pilot is to be {'one cell' if count == 1 else 'two cells'}, {_told(cells)}: "
            f"name {'it' if count == 1 else 'them'} by --model and --runtime"
            + (", or give the other one's run by --against RUN" if count > 1 else "")
        )
    return list(cells.values())


def two_runs(first: Sequence[Brief], second: Sequence[Brief], wanted: Wanted) -> list[list[Brief]]:
    """Returns a cell of each run; where two models or runtimes were named, one is of each.

    Raises:
        UsageError: see `one_run`.
    """
    ends = [
        Wanted(wanted.tiers, wanted.models[place:][:1], wanted.contracts[place:][:1])
        for place in (0, -1)
    ]
    return [one_run(first, ends[0], 1)[0], one_run(second, ends[1], 1)[0]]


def cells_of(rows: Sequence[Brief], wanted: Wanted) -> dict[tuple[str, str, str, str], list[Brief]]:
    """Returns the cells that are wanted, by family, tier, model and contract."""
    found: dict[tuple[str, str, str, str], list[Brief]] = {}
    for one in rows:
        asked = (
            (not wanted.tiers or one.tier in wanted.tiers)
            and (not wanted.models or one.model in wanted.models)
            and (not wanted.contracts or one.contract in wanted.contracts)
        )
        if asked:
            place = (one.family, one.tier, one.model, one.contract)
            found.setdefault(place, []).append(one)

    def order(place: tuple[str, str, str, str]) -> tuple[object, ...]:
        family, tier, model, contract = place
        return (family, tier, *_at(model, wanted.models), *_at(contract, wanted.contracts))

    return {place: found[place] for place in sorted(found, key=order)}


def _at(name: str, named: tuple[str, ...]) -> tuple[int, str]:
    return (named.index(name) if name in named else len(named), name)


def _told(cells: Iterable[tuple[str, str, str, str]]) -> str:
    names = [f"{model} in {contract} on {tier}" for _, tier, model, contract in cells]
    if not names:
        return "the run holds none of these"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"the run holds {'; '.join(names[:6])}{more}"
