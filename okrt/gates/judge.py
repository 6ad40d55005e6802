"""One gate on one cell: pass, fail, inconclusive or incomplete, by one-sided bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from okrt.analysis.brief import Brief
from okrt.analysis.estimands import TOKENIZERS
from okrt.analysis.measures import Measured
from okrt.analysis.metrics import METRICS
from okrt.analysis.pairing import Cell
from okrt.analysis.stats import Inference, Verdict, at_least, at_most, equivalent, equivalent_ratio
from okrt.errors import UsageError
from okrt.gates.complete import Taken, Where
from okrt.gates.file import Gate
from okrt.gates.limits import ABSOLUTE, by_ratio

Word = Literal["pass", "fail", "inconclusive", "incomplete"]
CHARACTERS = "gate transcript_chars in their stead"


@dataclass(frozen=True, slots=True)
class Judged:
    """What was decided of a gate on a cell. Numbers are None where nothing could be measured."""

    gate: Gate
    where: Where | None
    """None: the run has no cell that the gate is about."""
    against: str | None
    """The other cell in words, or `baseline`."""
    verdict: Word
    reason: str
    """One line, without the verdict."""
    value: float | None = None
    low: float | None = None
    """The one-sided bounds at the gate's level."""
    high: float | None = None
    method: str | None = None
    n: int = 0
    """Tasks."""


def incomplete(gate: Gate, where: Where | None, against: str | None, reason: str) -> Judged:
    """Returns that a gate has nothing that it could be decided on."""
    return Judged(gate, where, against, "incomplete", reason)


def judge(gate: Gate, mine: Taken, other: Taken | None, against: str | None) -> Judged:
    """Returns what two whole cells (one, of an absolute limit) say of a gate."""
    cells = [mine] if other is None else [mine, other]
    if told := _not_measured(gate.metric, cells):
        return incomplete(gate, mine.where, against, told)
    try:
        verdict = decide(gate, [cell.rows for cell in cells])
    except UsageError as error:
        return incomplete(gate, mine.where, against, str(error))
    word: Word = verdict.word
    reason = verdict.reason.removeprefix(f"{verdict.word}: ")
    broken = sum(len(cell.broken) for cell in cells)
    if broken and gate.metric.worst and word == "pass":
        worst = _worst(gate, cells)
        if worst is None or worst.word != "pass":
            word = "inconclusive"
            how = worst.reason.partition(": ")[2] if worst else "their floors are not known"
            reason += f"; not with {_episodes(broken)} counted at their worst: {how}"
        else:
            reason += f"; also with {_episodes(broken)} counted at their worst"
    elif broken:
        reason += f"; {_episodes(broken)} left out"
    found = verdict.estimate
    return Judged(
        gate, mine.where, against, word, reason,
        found.value, found.low, found.high, found.method, found.n,
    )  # fmt: skip


def decide(gate: Gate, cells: Sequence[Cell]) -> Verdict:
    """Returns the verdict on the figure of the cells.

    Raises:
        UsageError: the cells cannot be compared.
    """
    level = round(2 * gate.level - 1, 12)  # 0.95: 0.90, and not what lies beside it
    estimate = _inference(gate, cells).estimate(level)
    match gate.kind:
        case "at_most" | "not_higher_by" | "ratio_at_most":
            return at_most(estimate, gate.limit)
        case "at_least" | "ratio_at_least":
            return at_least(estimate, gate.limit)
        case "not_lower_by":
            return at_least(estimate, -gate.limit)
        case "within":
            by = equivalent_ratio if by_ratio(gate.metric, gate.kind) else equivalent
            return by(estimate, gate.limit)


def _inference(gate: Gate, cells: Sequence[Cell]) -> Inference:
    metric = METRICS[gate.metric.name]
    if gate.kind in ABSOLUTE:
        return metric.cell(cells[0])
    compare = metric.ratio if by_ratio(gate.metric, gate.kind) else metric.difference
    if compare is None:
        raise ValueError(f"{gate.kind} makes no sense for {gate.metric.name}")
    return compare(cells[0], cells[1])


def _not_measured(metric: Measured, cells: Sequence[Taken]) -> str:
    """Why the metric cannot be had of the cells, or nothing."""
    for cell in cells:
        for name in metric.needs:
            without = [row for row in cell.rows if getattr(row, name) is None]
            if without:
                share = f"{len(without)} of {len(cell.rows)} episodes ({without[0].task_id})"
                return f"{cell.where}: {name} was not measured in {share}"
    if metric.by_tokenizer and len({row.tokenizer for cell in cells for row in cell.rows}) > 1:
        return f"{TOKENIZERS.removeprefix('none: ')}: {CHARACTERS}"
    return ""


def _worst(gate: Gate, cells: Sequence[Taken]) -> Verdict | None:
    """Returns the verdict if what infrastructure broke off had come out as badly for the gate as
    it can; None where that is not known."""
    metric = gate.metric
    mine, others = cells[0], cells[1:]
    sides = [(metric.worst, metric.best)]
    if gate.kind == "within":
        sides.append((metric.best, metric.worst))
    known = {row.task_id: row for cell in cells for row in cell.rows}
    found: Verdict | None = None
    for own, theirs in sides:
        filled = [_filled(mine, own, known), *(_filled(one, theirs, known) for one in others)]
        if any(row.floor_score is None for rows in filled for row in rows) and _is_relative(metric):
            return None
        verdict = decide(gate, filled)
        if found is None or verdict.word != "pass":
            found = verdict
    return found


def _filled(cell: Taken, fields: Mapping[str, object], known: Mapping[str, Brief]) -> list[Brief]:
    """Returns the rows of a cell, with outcomes for those that have none. A task's floor and
    reference are those of another episode of it, where there is one."""
    rows = list(cell.rows)
    for broken in cell.broken:
        filled = replace(broken, failure=None, ending="finished", score=0.0)
        filled = replace(filled, **fields)  # type: ignore[arg-type]  # the table's, by name
        like = known.get(broken.task_id)
        rows.append(filled if like is None else _placed(filled, like))
    return rows


def _placed(row: Brief, like: Brief) -> Brief:
    floor, reference = like.floor_score, like.reference_score
    relative = None
    if None not in (row.score, floor, reference, like.relative_score):
        relative = (row.score - floor) / (reference - floor)  # type: ignore[operator]  # seen above
    return replace(row, floor_score=floor, reference_score=reference, relative_score=relative)


def _is_relative(metric: Measured) -> bool:
    return metric.unit == "relative score"


def _episodes(count: int) -> str:
    return f"the {count} episode{'s' if count > 1 else ''} that infrastructure broke off"
