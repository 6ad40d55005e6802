"""Whether the gates of a file can be decided by the tasks that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from okrt.analysis.brief import Brief
from okrt.analysis.planner import POWER
from okrt.errors import UsageError
from okrt.gates.file import BASELINE, Gate, GateFile, Other
from okrt.planning.assuming import Hopeless
from okrt.planning.choosing import Wanted, cells_of
from okrt.planning.deciding import Answer, answer
from okrt.planning.pilot import Pilot, pilot
from okrt.planning.question import Question


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """What is known of one gate, on one cell where a pilot holds such."""

    name: str
    question: Question
    where: str
    """The cell, or nothing."""
    tasks: int
    """That the file asks for."""
    answer: Answer | None
    reason: str
    """Why there is no answer."""
    hopeless: bool = False

    def decidable(self, power: float = POWER) -> bool | None:
        """Whether its tasks decide it with this probability; None: too little is known."""
        if self.answer is None:
            return False if self.hopeless else None
        return self.answer.power(self.tasks) >= power


def plan_gates(
    file: GateFile,
    rows: Sequence[Brief] | None = None,
    baseline: Sequence[Brief] | None = None,
) -> list[PlannedGate]:
    """Returns what is known of each gate of a file.

    Args:
        rows: of a pilot run of the cells that the gates are about.
        baseline: the same of the run that they are compared with.
    """
    found = []
    for gate in file.gates:
        for where, cells in _cells(file, gate, rows, baseline):
            found.append(_planned(gate, where, cells, len(file.seeds)))
    return found


def _planned(
    gate: Gate, where: str, cells: Sequence[Sequence[Brief]] | str, tasks: int
) -> PlannedGate:
    question = Question(gate.metric, gate.kind, gate.limit, gate.level)
    try:
        if isinstance(cells, str):
            raise UsageError(cells)
        known: Pilot | None = pilot(*cells) if cells else None
        found = answer(question, known)
    except Hopeless as error:
        return PlannedGate(gate.name, question, where, tasks, None, str(error), hopeless=True)
    except UsageError as error:
        reason = str(error).removeprefix(f"{question.words()}: ")
        return PlannedGate(gate.name, question, where, tasks, None, reason)
    return PlannedGate(gate.name, question, where, tasks, found, "")


def _cells(
    file: GateFile,
    gate: Gate,
    rows: Sequence[Brief] | None,
    baseline: Sequence[Brief] | None,
) -> Iterator[tuple[str, Sequence[Sequence[Brief]] | str]]:
    """Yields where a gate looks and the cells there, none without a pilot; or why there are none
    to plan from."""
    if rows is None:
        yield "", []
        return
    wanted = Wanted(
        _some(gate.tier) or file.tiers,
        _some(gate.model),
        _some(gate.contract) or tuple(file.runtimes.values()),
    )
    mine = cells_of(rows, wanted)
    if not mine:
        yield "", "the pilot holds no such cell"
    for (_, tier, model, contract), cell in mine.items():
        where = f"{model} in {contract} on {tier}"
        if gate.against is None:
            yield where, [cell]
            continue
        other = _other(gate.against, tier, model, contract)
        among = baseline if gate.against == BASELINE else rows
        found = cells_of(among or (), other)
        theirs = list(found.values())
        if gate.against == BASELINE:  # as the gate chooses: the model that bears the same label
            theirs = [found[place] for place in found if place[2] == model] or theirs
        if gate.against == BASELINE and baseline is None:
            yield where, _compared_without(gate)
        elif len(theirs) != 1:
            yield where, f"{len(theirs) or 'no'} cells of the other run or cell match"
        else:
            yield where, [cell, theirs[0]]


def _compared_without(gate: Gate) -> Sequence[Sequence[Brief]] | str:
    """A pilot of the candidate alone says nothing of how tasks differ from a baseline's."""
    metric = gate.metric
    if metric.kind == "rate" or metric.name not in ("score", "relative_score"):
        return "give the baseline's run by --against"
    return []


def _other(against: str | Other, tier: str, model: str, contract: str) -> Wanted:
    if isinstance(against, Other):
        return Wanted((tier,), (against.model or model,), (against.contract or contract,))
    return Wanted((tier,), (), (contract,))  # the baseline's model has a label of its own


def _some(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)
