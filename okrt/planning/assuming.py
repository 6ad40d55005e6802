"""What a plan goes by, and what is said where there can be none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from okrt.analysis.planner import MeanPlan, PairedRatePlan, RatePlan
from okrt.errors import UsageError
from okrt.planning.pilot import Pilot
from okrt.planning.question import Question

Plan = MeanPlan | RatePlan | PairedRatePlan


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a plan goes by."""

    truth: float
    """The figure that is thought to be there."""
    spread: float | None
    """Of one task, for figures that are means."""
    differ: float | None
    """Share of tasks at which two cells differ, for rates that are compared."""
    source: str
    seen: float | None = None
    """The comparison in the pilot, where it is not what is assumed."""


class Hopeless(UsageError):
    """The truth is at the limit, or beyond it: more tasks would not help."""


Planned = tuple[Assumed, Callable[[float], Plan]]
"""What is assumed, and the plan of any limit."""


def no_spread(question: Question, tasks: int) -> str:
    return (
        f"{question.words()}: all {tasks} tasks of the pilot are alike in {question.metric.name}, "
        "so that no spread is known: take a pilot of more tasks"
    )


def source_of(pilot: Pilot | None) -> str:
    if pilot is None:
        return "given"
    return f"pilot of {pilot.tasks} tasks: {' against '.join(cost.cell for cost in pilot.costs)}"


def hopeless(question: Question, truth: float) -> str:
    return (
        f"{question.words()} cannot pass however many tasks there are: it is thought to be "
        f"{truth:.4g}"
    )
