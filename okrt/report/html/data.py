"""Tables and facts -> the JSON data that a page draws from. Pure.

Names from outside are made safe to show here, so that JavaScript may show any text it finds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Cell, Table
from okrt.analysis.stats import Estimate, mean_interval
from okrt.report.html.facts import Facts
from okrt.report.html.turns import errors_by_turn, tokens_by_turn
from okrt.report.plain import one_line
from okrt.report.texts import names, trainings

BREAKS = 0.05
"""A cell whose share of lost-variable episodes surely lies above this is marked as breaking."""
LONGEST_NAME = 120
"""Characters of a name that are shown."""

Found = Mapping[str, Facts]
"""By episode id."""
Measure = Callable[[Brief, Facts], float | None]


def section(table: Table, facts: Found) -> dict[str, Any]:
    """Returns what the charts of one table show."""
    most = dearest(table)
    labels = names(table)
    rows: dict[tuple[str, str], list[Brief]] = defaultdict(list)
    for row in table.rows:
        rows[row.model, row.contract].append(row)
    known = [facts[row.episode_id] for row in table.rows if row.episode_id in facts]
    longest = max((len(fact.turn_tokens) for fact in known), default=0)
    cells = [
        {
            "letter": letter(place),
            "model": shown(cell.model),
            "label": shown(labels[cell.model]),
            "runtime": shown(cell.contract),
            "row": table.models.index(cell.model),
            "column": table.contracts.index(cell.contract),
            "most": (cell.model, cell.contract) == most,
            "breaks": breaks(cell),
            **_figures(cell, rows[cell.model, cell.contract]),
            **_drawn(rows[cell.model, cell.contract], facts, longest),
        }
        for place, cell in enumerate(table.cells.values())
    ]
    return {
        "models": [shown(model) for model in table.models],
        "labels": [shown(labels[model]) for model in table.models],
        "runtimes": [shown(contract) for contract in table.contracts],
        "trained": bool(trainings(table)),
        "mixed": len(table.tokenizers) > 1,
        "floor": _mean(row.floor_score for row in table.rows if row.score is not None),
        "reference": _mean(row.reference_score for row in table.rows if row.score is not None),
        "cells": cells,
    }


def dearest(table: Table) -> tuple[str, str] | None:
    """Returns the cell that costs most tokens, if there are several and one costs more than all."""
    known = sorted(
        (cell.total_tokens, key)
        for key, cell in table.cells.items()
        if cell.total_tokens is not None
    )
    if len(table.tokenizers) != 1 or len(known) < 2 or known[-1][0] == known[-2][0]:
        return None
    return known[-1][1]


def breaks(cell: Cell) -> bool:
    """Whether so many episodes lose variables that it is no matter of chance."""
    return cell.lost_rate.low is not None and cell.lost_rate.low > BREAKS


def letter(place: int) -> str:
    """Returns the letter that stands for a cell in every chart of its table: A, B, ..., Z, AA."""
    first, last = divmod(place, 26)
    return (letter(first - 1) if first else "") + chr(ord("A") + last)


def shown(name: str) -> str:
    return one_line(name, LONGEST_NAME)


def estimate(found: Estimate, at_least: bool = False) -> dict[str, Any] | None:
    """Returns an estimate as JSON data; None where there is nothing to show."""
    if found.value is None or not math.isfinite(found.value):
        return None
    high = None if at_least else found.high  # of a lower bound there is no upper end
    return {"value": found.value, "low": found.low, "high": high, "at_least": at_least}


def _figures(cell: Cell, rows: Sequence[Brief]) -> dict[str, Any]:
    return {
        "n": cell.n,
        "tasks": cell.tasks,
        "failures": cell.failures,
        "score": estimate(cell.score),
        "lost": estimate(cell.lost_rate),
        "missing": estimate(cell.missing_variable_rate),
        "tokens": estimate(tokens(cell, rows), cell.at_least),
    }


def tokens(cell: Cell, rows: Iterable[Brief]) -> Estimate:
    """Returns the mean of total tokens over tasks, with the interval that a cell does not hold."""
    if cell.total_tokens is None:
        return mean_interval([])
    tasks: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row.score is not None and row.total_tokens is not None:
            tasks[row.task_id].append(row.total_tokens)
    return mean_interval([fmean(values) for _, values in sorted(tasks.items())])


def _drawn(rows: Sequence[Brief], facts: Found, longest: int) -> dict[str, Any]:
    scored = [row for row in rows if row.score is not None and row.episode_id in facts]
    known = [facts[row.episode_id] for row in scored]
    return {
        "parts": _parts(scored, facts),
        "turns": tokens_by_turn(known),
        "errors": errors_by_turn(known, longest),
        "redefinitions": _over_tasks(scored, facts, lambda _, fact: fact.redefinitions),
        "repeated": _over_tasks(scored, facts, lambda _, fact: fact.repeated_inspections),
    }


def _parts(rows: Sequence[Brief], facts: Found) -> dict[str, float] | None:
    """Of the mean of total tokens, what was read for the first time, generated, state written
    again, read again."""
    total = _over_tasks(rows, facts, lambda row, _: row.total_tokens)
    new = _over_tasks(rows, facts, lambda row, _: row.new_tokens)
    made = _over_tasks(rows, facts, lambda row, _: row.completion_tokens)
    again = _over_tasks(rows, facts, lambda _, fact: fact.rewritten_tokens)
    if total is None or new is None or made is None or again is None:
        return None
    return {"read": new - made, "made": made - again, "again": again, "fed": total - new}


def _over_tasks(rows: Sequence[Brief], facts: Found, measure: Measure) -> float | None:
    """The mean over tasks of the means of their episodes; None where one was not measured."""
    tasks: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = measure(row, facts[row.episode_id])
        if value is None:
            return None
        tasks[row.task_id].append(value)
    return fmean(map(fmean, tasks.values())) if tasks else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
