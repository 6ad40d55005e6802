"""A plan in words, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from okrt.planning.deciding import Answer
from okrt.planning.gates import PlannedGate
from okrt.planning.pilot import Cost
from okrt.planning.question import Question

SCHEMA = 1
"""Of the JSON."""
USUAL = 100
"""Tasks that a run has where nothing else is said."""


def text(answer: Answer, power: float, costs: Sequence[Cost], tasks: int | None) -> str:
    """Returns the lines of one question. `tasks`: that are to be enough, or None."""
    question = answer.question
    needed = answer.tasks(power)
    lines = [
        f"{question.words()}, by a one-sided {question.level:.0%} bound",
        f"assumed: {_assumed(answer)}",
        f"tasks needed: {_count(needed)} (power {power:g})",
    ]
    for n in dict.fromkeys([tasks or USUAL, USUAL]):
        limit = answer.limit(n, power)
        reach = "nothing can" if limit is None else f"{question.words(limit)} can"
        lines.append(f"with {n:,} tasks: power {answer.power(n):.2f}; {reach} be decided")
    return "\n".join([*lines, *_costs(costs, tasks or needed)]) + "\n"


def refusal(answer: Answer, tasks: int, power: float) -> str:
    """Returns, in one line, why so many tasks do not decide a question, and what would."""
    question, needed, limit = answer.question, answer.tasks(power), answer.limit(tasks, power)
    ways = [f"use {needed:,} tasks"] if needed else []
    ways += [f"{tasks:,} decide {question.words(limit)}"] if limit is not None else []
    return (
        f"{question.words()} passes with probability {answer.power(tasks):.2f} at {tasks:,} tasks, "
        f"less than {power:g}: {'; '.join(ways) or 'no number of tasks would do'}"
    )


def gates_text(name: str, gates: Sequence[PlannedGate], power: float) -> str:
    """Returns a line for each gate: whether its tasks decide it."""
    lines = [f"gates {name}: can they be decided with power {power:g}?"]
    lines += [_gate_line(gate, power) for gate in gates]
    undecidable = sum(gate.decidable(power) is False for gate in gates)
    unknown = sum(gate.decidable(power) is None for gate in gates)
    tail = f"{undecidable} of {len(gates)} cannot be decided"
    return "\n".join([*lines, f"{tail}, of {unknown} too little is known" if unknown else tail])


def _gate_line(gate: PlannedGate, power: float) -> str:
    mark = {True: "yes", False: "NO ", None: "?  "}[gate.decidable(power)]
    where = f" [{gate.where}]" if gate.where else ""
    head = f"  {mark} {gate.name}{where}: "
    if gate.answer is None:
        return f"{head}{gate.question.words()}: {gate.reason}".replace(
            f"{gate.question.words()}: {gate.question.words()}", gate.question.words()
        )
    if not gate.decidable(power):
        return head + refusal(gate.answer, gate.tasks, power)
    return (
        f"{head}{gate.question.words()}: power {gate.answer.power(gate.tasks):.2f} at "
        f"{gate.tasks:,} tasks, {_count(gate.answer.tasks(power))} needed "
        f"({gate.answer.assumed.source})"
    )


def as_json(
    answer: Answer, power: float, costs: Sequence[Cost], tasks: int | None
) -> dict[str, Any]:
    """Returns the same as JSON data."""
    question, assumed = answer.question, answer.assumed
    needed = answer.tasks(power)
    counts = dict.fromkeys([tasks or USUAL, USUAL])
    return {
        **_question_json(question, power),
        "assumed": {
            "truth": assumed.truth,
            "spread": assumed.spread,
            "differ": assumed.differ,
            "seen": assumed.seen,
            "source": assumed.source,
        },
        "tasks_needed": needed,
        "with": [
            {"tasks": n, "power": answer.power(n), "limit": answer.limit(n, power)} for n in counts
        ],
        "decidable": None if tasks is None else answer.power(tasks) >= power,
        "reason": None,
        "cells": _cells_json(costs),
        "tokens": _total([cost.tokens for cost in costs], tasks or needed),
        "seconds": _total([cost.seconds for cost in costs], tasks or needed),
    }


def hopeless_json(
    question: Question, power: float, costs: Sequence[Cost], reason: str
) -> dict[str, Any]:
    """Returns the same of a question that no number of tasks decides."""
    return {
        **_question_json(question, power),
        "assumed": None,
        "tasks_needed": None,
        "with": [],
        "decidable": False,
        "reason": reason,
        "cells": _cells_json(costs),
        "tokens": None,
        "seconds": None,
    }


def _question_json(question: Question, power: float) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "metric": question.metric.name,
        "kind": question.kind,
        "limit": question.limit,
        "level": question.level,
        "power": power,
    }


def _cells_json(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    return [
        {
            "cell": cost.cell,
            "tokens_a_task": cost.tokens,
            "seconds_a_task": cost.seconds,
            "at_least": cost.at_least,
        }
        for cost in costs
    ]


def gates_json(name: str, gates: Sequence[PlannedGate], power: float) -> dict[str, Any]:
    """Returns the same of a gate file."""
    return {
        "schema": SCHEMA,
        "file": name,
        "power": power,
        "gates": [
            {
                "name": gate.name,
                "cell": gate.where or None,
                "question": gate.question.words(),
                "tasks": gate.tasks,
                "decidable": gate.decidable(power),
                "power": gate.answer and gate.answer.power(gate.tasks),
                "tasks_needed": gate.answer and gate.answer.tasks(power),
                "source": gate.answer and gate.answer.assumed.source,
                "reason": gate.reason or None,
            }
            for gate in gates
        ],
    }


def _assumed(answer: Answer) -> str:
    question, assumed = answer.question, answer.assumed
    what = "ratio" if question.by_ratio else "difference"
    if question.cells == 1:
        parts = [f"{question.metric.name} is {assumed.truth:.4g}"]
    elif assumed.truth == question.nothing_differs:
        parts = [f"{question.metric.name} is the same in both"]
    else:
        parts = [f"the {what} is {assumed.truth:.4g}"]
    if assumed.seen is not None:
        parts[0] += f" (the pilot's {what}: {assumed.seen:.4g})"
    if assumed.spread is not None:
        parts.append(f"a task's spread is {assumed.spread:.3g}")
    if assumed.differ is not None:
        parts.append(f"the cells differ on {assumed.differ:.1%} of the tasks")
    return f"{', '.join(parts)}; {assumed.source}"


def _costs(costs: Sequence[Cost], tasks: int | None) -> list[str]:
    if not costs or tasks is None:
        return []
    tokens = _total([cost.tokens for cost in costs], tasks)
    seconds = _total([cost.seconds for cost in costs], tasks)
    least = "at least " if any(cost.at_least for cost in costs) else ""
    each = ", ".join(
        f"{cost.cell} {'not measured' if cost.tokens is None else f'{cost.tokens:,.0f}'} a task"
        for cost in costs
    )
    told = "not measured" if tokens is None else f"{least}{tokens:,.0f}"
    lines = [f"tokens of {tasks:,} tasks: {told} ({each})"]
    if seconds is not None:
        lines.append(f"hours: {least}{seconds / 3600:.2g} of one process at the pilot's speed")
    return lines


def _total(values: Sequence[float | None], tasks: int | None) -> float | None:
    known = [value for value in values if value is not None]
    if tasks is None or not values or len(known) < len(values):
        return None
    return tasks * sum(known)


def _count(tasks: int | None) -> str:
    return "no number would do" if tasks is None else f"{tasks:,}"
