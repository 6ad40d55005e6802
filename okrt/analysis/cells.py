"""Rows -> cells: what a model did in a runtime, over the tasks of one tier.

A table holds the cells of one family and tier, apart for each value of an axis that took several.
Episodes that infrastructure broke off are counted, never averaged in. The task is the unit: where a
task was repeated, its episodes are averaged first and the intervals are over tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.flips import Flips, flips
from okrt.analysis.rows import Row
from okrt.analysis.stats import LEVEL, Estimate, clustered_rate, mean_interval, ratio_of_sums

Measure = Callable[[Brief], float | None]

AXES = (
    "split",
    "prompt_set",
    "cue",
    "names",
    "format",
    "thinking",
    "tool_cap",
    "max_turns",
    "temperature",
    "salt",
)
"""Fields of a row that make another table where they differ within a family and tier."""
CENSORED_LIMIT = 0.05
"""Above this share of episodes ended by a limit, a mean of tokens is "at least"."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One model in one runtime. Means are over tasks; None is "not measured"."""

    model: str
    contract: str
    n: int
    """Episodes with an outcome."""
    tasks: int
    """Tasks among them."""
    failures: int
    """Episodes that infrastructure broke off; in no other figure."""
    score: Estimate
    relative_score: Estimate
    """Sum of (score - floor) / sum of (reference - floor), over the tasks whose reference lies
    above their floor. A mean of the rows' ratios would be ruled by the tasks where the two nearly
    meet."""
    solved: Estimate
    turns: float | None
    completion_tokens: float | None
    new_tokens: float | None
    total_tokens: float | None
    transcript_chars: float | None
    missing_variable_rate: Estimate
    """Share of episodes with any missing-variable error. Source: arXiv 2603.01209."""
    lost_rate: Estimate
    """Share of episodes that missed a variable which an earlier turn had bound."""
    score_per_1k: Estimate
    """1,000 x sum of scores / sum of total tokens. Source: arXiv 2603.01209; differs: there the
    score is in percent, so the figure is 100 times as large."""
    censored_share: float | None
    """Share of episodes ended by a limit of turns, context or tokens."""
    flips: Flips | None = None
    """A/A: None where no task was played more than once by greedy decoding."""
    exposure: Estimate | None = None
    """E_c: share of blocks that tried to make more tool calls than the cap. None: not measured."""
    max_demand: int | None = None
    """The most tool calls that a block tried to make; where the cap ended it, at least so many."""

    @property
    def at_least(self) -> bool:
        """Whether the means of turns, tokens and characters are lower bounds: limits cut many."""
        return self.censored_share is not None and self.censored_share > CENSORED_LIMIT


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of one family and tier, and the briefs of the rows they were made from."""

    family: str
    tier: str
    axes: Mapping[str, str | int | float | bool]
    """The axes of which the family and tier hold several values, with the value of this table."""
    cells: Mapping[tuple[str, str], Cell]
    """By model and contract, sorted."""
    rows: tuple[Brief, ...]
    """Sorted by episode."""

    @property
    def models(self) -> list[str]:
        return sorted({model for model, _ in self.cells})

    @property
    def contracts(self) -> list[str]:
        return sorted({contract for _, contract in self.cells})

    @property
    def tokenizers(self) -> list[str]:
        """What counted the tokens; token figures compare only where this is one."""
        return sorted({row.tokenizer for row in self.rows if row.total_tokens is not None})


def tables(rows: Iterable[Row | Brief], level: float = LEVEL) -> list[Table]:
    """Returns the tables of the rows, sorted; the order of the rows makes no difference.

    Of each row its brief is kept, so that rows may come one by one.
    """
    ordered = sorted(briefs(rows), key=lambda row: row.episode_id)
    found = []
    for (family, tier), members in _grouped(ordered, "family", "tier"):
        varying = [axis for axis in AXES if len({getattr(row, axis) for row in members}) > 1]
        for values, some in _grouped(members, *varying):
            axes = dict(zip(varying, values, strict=True))
            cells = {
                (model, contract): _cell(model, contract, chosen, level)
                for (model, contract), chosen in _grouped(some, "model", "contract")
            }
            found.append(Table(family, tier, axes, cells, tuple(some)))
    return found


def _grouped(rows: Sequence[Brief], *fields: str) -> list[tuple[tuple[Any, ...], list[Brief]]]:
    groups: dict[tuple[Any, ...], list[Brief]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, field) for field in fields), []).append(row)
    return sorted(groups.items(), key=lambda group: [(v is not None, v) for v in group[0]])


def _cell(model: str, contract: str, rows: Sequence[Brief], level: float) -> Cell:
    scored = [row for row in rows if row.score is not None]
    tasks = [members for _, members in _grouped(scored, "task_id")]
    return Cell(
        model=model,
        contract=contract,
        n=len(scored),
        tasks=len(tasks),
        failures=sum(row.failure is not None for row in rows),
        score=mean_interval(_task_means(tasks, lambda row: row.score), level),
        relative_score=ratio_of_sums(
            _task_sums(tasks, _above_floor), _task_sums(tasks, _floor_to_reference), level
        ),
        solved=_rate(tasks, lambda row: row.solved, level),
        turns=_mean(tasks, lambda row: row.turns),
        completion_tokens=_mean(tasks, lambda row: row.completion_tokens),
        new_tokens=_mean(tasks, lambda row: row.new_tokens),
        total_tokens=_mean(tasks, lambda row: row.total_tokens),
        transcript_chars=_mean(tasks, lambda row: row.transcript_chars),
        missing_variable_rate=_rate(tasks, lambda row: row.missing_variable_errors, level),
        lost_rate=_rate(tasks, lambda row: row.lost_errors, level),
        score_per_1k=ratio_of_sums(
            _task_sums(tasks, lambda row: row.score),
            _task_sums(tasks, lambda row: row.total_tokens),
            level,
            scale=1_000,
        ),
        censored_share=_mean(tasks, lambda row: row.ending != "finished"),
        flips=flips(tasks, level),
        exposure=_exposure(scored, tasks, level),
        max_demand=max(
            (row.max_demand for row in scored if row.max_demand is not None), default=None
        ),
    )


def _exposure(
    rows: Sequence[Brief], tasks: Sequence[Sequence[Brief]], level: float
) -> Estimate | None:
    """Over blocks, each task's kept together; where none was beyond the cap, or all were, by the
    exact bound on tasks, as a bootstrap knows no other share then."""
    if not rows or any(row.blocks is None for row in rows):
        return None
    hits, blocks = (_task_sums(tasks, measure) for measure in (_cap_hits, _blocks))
    played = [(h, b) for h, b in zip(hits, blocks, strict=True) if h is not None and b]
    if not played:
        return None
    if all(h in (0, b) for h, b in played) and len({h > 0 for h, _ in played}) == 1:
        return clustered_rate([[float(h > 0)] for h, _ in played]).estimate(level)
    return ratio_of_sums([h for h, _ in played], [b for _, b in played], level)


def _cap_hits(row: Brief) -> float | None:
    return row.cap_hits


def _blocks(row: Brief) -> float | None:
    return row.blocks


def _above_floor(row: Brief) -> float | None:
    if row.relative_score is None or row.score is None or row.floor_score is None:
        return None
    return row.score - row.floor_score


def _floor_to_reference(row: Brief) -> float | None:
    if row.relative_score is None or row.reference_score is None or row.floor_score is None:
        return None
    return row.reference_score - row.floor_score


def _task_means(tasks: Sequence[Sequence[Brief]], measure: Measure) -> list[float | None]:
    """One value a task: the mean of its episodes that have one."""
    known = [[value for row in task if (value := measure(row)) is not None] for task in tasks]
    return [fmean(values) if values else None for values in known]


def _task_sums(tasks: Sequence[Sequence[Brief]], measure: Measure) -> list[float | None]:
    """One value a task: the sum over its episodes, None where one has no value."""
    values = [[measure(row) for row in task] for task in tasks]
    return [
        None if None in some else float(sum(value for value in some if value is not None))
        for some in values
    ]


def _mean(tasks: Sequence[Sequence[Brief]], measure: Measure) -> float | None:
    """The mean of the task means; None where any episode was not measured."""
    if not tasks or any(measure(row) is None for task in tasks for row in task):
        return None
    return fmean(value for value in _task_means(tasks, measure) if value is not None)


def _rate(tasks: Sequence[Sequence[Brief]], measure: Measure, level: float) -> Estimate:
    """The share of episodes with any; exact where no task was repeated."""

    def any_of(row: Brief) -> float | None:
        value = measure(row)
        return None if value is None else float(value > 0)

    return clustered_rate([any_of(row) for row in task] for task in tasks).estimate(level)
