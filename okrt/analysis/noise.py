"""A/A noise: how far the figure of a cell moves when the same model plays the same tasks again.

Repeats of a task differ by sampling, or where decoding is greedy by how a server or a GPU rounds.
Their spread within tasks says how large a difference between two runs replaying alone makes: 95% of
such differences are smaller than 1.96 x its standard deviation. That is the repeatability
coefficient of Bland and Altman (1999), "Measuring agreement in method comparison studies", and the
repeatability limit of ISO 5725-1; differs: of the mean over tasks and repeats that a run reports,
not of one measurement, so that each task's spread is divided by its plays and by the tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Measure

Tasks = Sequence[Sequence[Brief]]
"""A cell's scored episodes by task."""

COVERED = 0.95
_REACH = NormalDist().inv_cdf((1 + COVERED) / 2)


@dataclass(frozen=True, slots=True)
class Noise:
    """What replaying alone makes of a comparison of two cells."""

    difference: float
    """95% of differences of the means are smaller, either way."""
    ratio: float | None
    """95% of ratios of the means lie within this factor of 1; None where a mean is not positive."""
    tasks: int
    """That were played more than once, those of both cells counted."""


def noise(one: Tasks, other: Tasks, measure: Measure) -> Noise | None:
    """Returns the A/A noise of the difference between the means of two cells, paired by task.

    None where no task of either was played more than once: see `noise_of`.
    """
    return noise_of(
        [_values(task, measure) for task in one], [_values(task, measure) for task in other]
    )


def noise_of(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Noise | None:
    """Returns the same of values: for each task, those of its plays.

    The spread within tasks of a side that was played once is taken to be the other's. The ratio
    goes by the delta method on its logarithm.
    """
    sides = [[task for task in tasks if task] for tasks in (one, other)]
    pooled = [_within(tasks) for tasks in sides]
    known = [spread for spread in pooled if spread is not None]
    if not known or not all(sides):
        return None
    errors, means = [], []
    for tasks, spread in zip(sides, pooled, strict=True):
        # of the mean over tasks of the mean over plays
        plays = sum(1 / len(task) for task in tasks) / len(tasks) ** 2
        errors.append((known[0] if spread is None else spread) * plays)
        means.append(fmean(map(fmean, tasks)))
    factor = None
    if min(means) > 0:
        relative = sum(error / mean**2 for error, mean in zip(errors, means, strict=True))
        factor = math.exp(_REACH * math.sqrt(relative))
    replayed = sum(len(task) > 1 for tasks in sides for task in tasks)
    return Noise(_REACH * math.sqrt(sum(errors)), factor, replayed)


def _within(tasks: Sequence[Sequence[float]]) -> float | None:
    """The variance within tasks, pooled by degrees of freedom."""
    again = [task for task in tasks if len(task) > 1]
    if not again:
        return None
    squares = sum((play - mean) ** 2 for task in again for mean in [fmean(task)] for play in task)
    return squares / sum(len(task) - 1 for task in again)


def _values(task: Sequence[Brief], measure: Measure) -> list[float]:
    return [value for row in task if (value := measure(row)) is not None]
