"""Cells paired by task: the same tasks, under the same settings, repeats kept together.

A cell is the rows of one model in one runtime. A task of which a cell has no scored episode is left
out of every comparison with that cell, and counted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import fmean

from okrt.analysis.brief import Brief
from okrt.analysis.cells import AXES, CENSORED_LIMIT, Measure
from okrt.errors import UsageError

Cell = Sequence[Brief]
SETTINGS = (*(axis for axis in AXES if axis != "split"), "packages")
"""Fields of a row that must agree between the cells of a comparison; the split is in the task."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The tasks that several cells share."""

    tasks: tuple[str, ...]
    """Ids, sorted."""
    cells: tuple[tuple[tuple[Brief, ...], ...], ...]
    """By cell, then by task: the scored episodes, by repeat."""
    left_out: tuple[str, ...]
    """Tasks that some cell lacks, or holds only as failures of infrastructure."""

    def means(self, measure: Measure) -> list[list[float | None]]:
        """Returns, for each cell, one value a task: the mean of its episodes that have one."""
        return [[_mean(task, measure) for task in cell] for cell in self.cells]

    def tokenizers(self) -> set[str]:
        """Returns what counted tokens in any cell; figures compare only where this is one."""
        rows = (row for cell in self.cells for task in cell for row in task)
        return {row.tokenizer for row in rows if row.total_tokens is not None}

    def censored(self) -> list[bool]:
        """Returns, for each cell, whether limits ended so many episodes that tokens are at least
        what was counted."""
        return [_censored(cell) for cell in self.cells]


def paired(*cells: Cell, apart: Collection[str] = ()) -> Paired:
    """Returns the tasks that all cells hold, under the same settings but for those in `apart`.

    Raises:
        UsageError: a cell holds several models, runtimes or values of a setting, or cells differ in
            a setting that is not in `apart`.
    """
    for field in ("model", "contract", *SETTINGS):
        found = [sorted(map(str, set(map(attrgetter(field), cell)))) for cell in cells]
        if mixed := next((values for values in found if len(values) > 1), None):
            raise UsageError(
                f"a cell holds several values of {field} ({', '.join(mixed)}): use one"
            )
        values = sorted({value for some in found for value in some})
        if field in SETTINGS and field not in apart and len(values) > 1:
            raise UsageError(
                f"the cells differ in {field} ({', '.join(values)}): compare cells of one value"
            )
    by_task = [_by_task(cell) for cell in cells]
    every = {row.task_id for cell in cells for row in cell}
    shared = sorted(every.intersection(*by_task))
    chosen = tuple(tuple(tasks[task] for task in shared) for tasks in by_task)
    return Paired(tuple(shared), chosen, tuple(sorted(every.difference(shared))))


def identical_tasks(first: Cell, second: Cell) -> tuple[int, int]:
    """Returns on how many tasks the two cells have the same messages, word by word, and the same
    outcome, in every repeat; and how many tasks both hold. A transcript without a digest is like no
    other. What a block did to its tools unseen stands in no message, but in the outcome."""
    one, other = paired(first, second).cells
    return sum(map(_alike, one, other)), len(one)


def _by_task(cell: Cell) -> dict[str, tuple[Brief, ...]]:
    tasks: dict[str, list[Brief]] = {}
    for row in sorted(cell, key=lambda row: (row.task_id, row.repeat)):
        if row.score is not None:
            tasks.setdefault(row.task_id, []).append(row)
    return {task: tuple(rows) for task, rows in tasks.items()}


def _mean(task: Sequence[Brief], measure: Measure) -> float | None:
    values = [value for row in task if (value := measure(row)) is not None]
    return fmean(values) if values else None


def _censored(cell: Sequence[Sequence[Brief]]) -> bool:
    ended = [fmean(row.ending != "finished" for row in task) for task in cell]
    return bool(ended) and fmean(ended) > CENSORED_LIMIT


def _alike(one: Sequence[Brief], other: Sequence[Brief]) -> bool:
    known = all(row.transcript_digest is not None for row in (*one, *other))
    return known and [_played(row) for row in one] == [_played(row) for row in other]


def _played(row: Brief) -> tuple[object, ...]:
    return row.repeat, row.transcript_digest, row.score, row.solved
