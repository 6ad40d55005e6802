"""What a pilot says of one task: values of one cell, or of two that hold the same tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from okrt.analysis.brief import Brief
from okrt.analysis.pairing import Cell, paired
from okrt.analysis.stats.estimate import Floats, known
from okrt.errors import UsageError

FEWEST = 3
"""Tasks without which nothing is known of a spread."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a task took in a cell of a pilot, all its repeats together."""

    cell: str
    tokens: float | None
    """None: not measured."""
    seconds: float | None
    """Of one process; of what several episodes needed together, their shares."""
    at_least: bool
    """Whether limits ended so many episodes that both are lower bounds."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """The tasks of one cell, or those that two share."""

    cells: tuple[tuple[tuple[Brief, ...], ...], ...]
    """By cell, then by task: the scored episodes."""
    costs: tuple[Cost, ...]
    tokenizers: int = 1
    """How many counted the tokens."""

    @property
    def tasks(self) -> int:
        return len(self.cells[0])

    def columns(self, *measures: Callable[[Brief], float | None]) -> list[Floats]:
        """Returns, for each cell, one column of values a task for each measure; without the tasks
        at which one is missing.

        Raises:
            UsageError: fewer than three tasks are left.
        """
        found = known(
            [[_mean(task, one) for task in cell] for cell in self.cells for one in measures]
        )
        if found[0].size < FEWEST:
            raise UsageError(
                f"{found[0].size} tasks of the pilot have what is asked for: {FEWEST} are needed, "
                "20 are better"
            )
        return found


def pilot(*cells: Cell) -> Pilot:
    """Returns the pilot of one or two cells.

    Raises:
        UsageError: the cells cannot be compared, or share no task.
    """
    found = paired(*cells)
    if not found.tasks:
        has = "have no scored task in common" if len(cells) > 1 else "has no scored task"
        raise UsageError(f"the pilot {has}")
    censored = found.censored()
    costs = tuple(map(_cost, found.cells, censored))
    return Pilot(found.cells, costs, len(found.tokenizers()))


def _cost(cell: Sequence[Sequence[Brief]], at_least: bool) -> Cost:
    first = cell[0][0]
    return Cost(
        f"{first.model} in {first.contract}",
        _mean_sum(cell, lambda row: row.total_tokens),
        _mean_sum(cell, _seconds),
        at_least,
    )


def _seconds(row: Brief) -> float | None:
    if row.model_s is None or row.sandbox_s is None:
        return None
    return row.model_s + row.sandbox_s + (row.harness_s or 0.0)


def _mean_sum(
    cell: Sequence[Sequence[Brief]], measure: Callable[[Brief], float | None]
) -> float | None:
    sums = []
    for task in cell:
        values = [value for row in task if (value := measure(row)) is not None]
        if len(values) < len(task):
            return None
        sums.append(sum(values))
    return fmean(sums)


def _mean(task: Sequence[Brief], measure: Callable[[Brief], float | None]) -> float | None:
    values = [value for row in task if (value := measure(row)) is not None]
    return fmean(values) if values else None
