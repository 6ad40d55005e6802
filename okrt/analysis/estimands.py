"""The study's estimands over rows: paired by task, under the same settings, as pure functions.

`Q_XY` is the mean quality of an X-trained model in runtime Y, P for persistent and S for stateless
(arXiv 2603.01209 and its follow-up on runtime contracts). Whatever compares cells is over the tasks
that all of them hold, repeats averaged first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Measure
from okrt.analysis.pairing import Cell, Paired, paired
from okrt.analysis.stats import (
    LEVEL,
    Estimate,
    Inference,
    Unknown,
    clustered_mean,
    clustered_rate,
    mean_difference,
    rate_difference,
    ratio,
    ratio_of_ratios,
)
from okrt.errors import UsageError

TOKENIZERS = "none: tokens were counted by different tokenizers"


def score(row: Brief) -> float | None:
    """Returns the quality that the study compares, in [0, 1]."""
    return row.score


def any_lost(row: Brief) -> float | None:
    """Returns whether the episode missed a variable that an earlier turn had bound, as 0 or 1."""
    return None if row.lost_errors is None else float(row.lost_errors > 0)


def any_missing(row: Brief) -> float | None:
    """Returns whether the episode had a missing-variable error, as 0 or 1."""
    return None if row.missing_variable_errors is None else float(row.missing_variable_errors > 0)


def total_tokens(row: Brief) -> float | None:
    """Returns the tokens of the published measure: the history counts again in each turn."""
    return row.total_tokens


def quality(cell: Cell, measure: Measure = score) -> Inference:
    """Returns what is known of Q_XY, the mean over the cell's tasks."""
    (tasks,) = paired(cell).cells
    return clustered_mean([measure(row) for row in task] for task in tasks)


def linear(
    cells: Sequence[Cell],
    weights: Sequence[float],
    measure: Measure = score,
    apart: Collection[str] = (),
    width: float | None = None,
) -> Inference:
    """Returns what is known of a weighted sum of cell means, each task kept together.

    Contrasts of tool caps are of this kind, with `tool_cap` in `apart`: `A_P` is
    `linear((PP25, PS25, PP80, PS80), (1, -1, -1, 1))`, `T` the same of eight cells. `width` is the
    most by which one task can differ, where there is a most.

    Raises:
        UsageError: the cells cannot be compared.
        ValueError: not one weight a cell.
    """
    found = paired(*cells, apart=apart)
    weighed = list(zip(weights, found.means(measure), strict=True))
    plus = [(weight, column) for weight, column in weighed if weight > 0]
    minus = [(-weight, column) for weight, column in weighed if weight <= 0]
    size = len(found.tasks)
    return mean_difference(_summed(plus, size), _summed(minus, size), width)


def difference(first: Cell, second: Cell, measure: Measure = score) -> Inference:
    """Returns what is known of the mean of first less that of second, paired by task."""
    return linear((first, second), (1, -1), measure, width=1 if measure is score else None)


def relative_difference(first: Cell, second: Cell) -> Inference:
    """Returns what is known of the difference in relative score, a ratio of sums over tasks.

    Sum of score differences / sum of (reference - floor), over the tasks whose reference lies above
    their floor; the same weighing as the relative score of a cell.
    """
    found = paired(first, second)
    one, other = found.means(_known_relative)
    ranges = found.means(floor_to_reference)[0]
    gaps = [None if a is None or b is None else a - b for a, b in zip(one, other, strict=True)]
    return ratio(gaps, ranges)


def relative_quality(cell: Cell) -> Inference:
    """Returns what is known of the relative score: sum of (score - floor) / sum of (reference -
    floor), over the tasks whose reference lies above their floor."""
    found = paired(cell)
    (above,), (ranges,) = found.means(_above_floor), found.means(floor_to_reference)
    return ratio(above, ranges)


def rate_of(cell: Cell, event: Measure) -> Inference:
    """Returns what is known of the share of episodes with an event, 0 or 1 an episode."""
    (tasks,) = paired(cell).cells
    return clustered_rate([event(row) for row in task] for task in tasks)


def rate_contrast(first: Cell, second: Cell, event: Measure) -> Inference:
    """Returns what is known of the rate in first less that in second, paired by task, by Tango's
    score interval."""
    one, other = paired(first, second).means(event)
    return rate_difference(one, other)


@dataclass(frozen=True, slots=True)
class Bound:
    """An inference from cells that limits cut short: it holds one way, or neither."""

    inner: Inference
    side: Literal["at least", "at most", "neither"]
    """`at least`: the truth may lie higher than any interval says, not lower."""

    def estimate(self, level: float = LEVEL) -> Estimate:
        found = self.inner.estimate(level)
        if self.side == "neither":
            return replace(found, low=None, high=None, method="none: limits cut both cells")
        method = found.method if found.method.startswith("none") else f"{self.side}: {found.method}"
        if self.side == "at least":
            return replace(found, high=None, method=method, side=self.side)
        return replace(found, low=None, method=method, side=self.side)

    def p_above(self, null: float) -> float:
        return self.inner.p_above(null) if self.side == "at least" else 1.0

    def p_below(self, null: float) -> float:
        return self.inner.p_below(null) if self.side == "at most" else 1.0


def token_ratio(first: Cell, second: Cell, measure: Measure = total_tokens) -> Inference:
    """Returns what is known of the tokens of first over those of second, paired by task.

    None is claimed between tokenizers. Where limits ended more than 5% of a cell's episodes, its
    tokens are a lower bound: the ratio is "at least" if that is the first cell, "at most" if the
    second, and nothing is claimed if both are.
    """
    found = paired(first, second)
    if len(found.tokenizers()) > 1:
        return Unknown(None, TOKENIZERS, len(found.tasks), "task")
    return _bounded_ratio(found, measure)


def character_ratio(first: Cell, second: Cell) -> Inference:
    """Returns the same of the characters of the transcripts, which compare between tokenizers."""
    return _bounded_ratio(paired(first, second), lambda row: row.transcript_chars)


def _bounded_ratio(found: Paired, measure: Measure) -> Inference:
    one, other = found.means(measure)
    return bounded(ratio(one, other), found.censored())


def bounded(inner: Inference, censored: Sequence[bool]) -> Inference:
    """Returns what still holds of an inference that grows with the first of two cells and falls
    with the second, where limits cut them."""
    match list(censored):
        case [True, True]:
            return Bound(inner, "neither")
        case [True, False]:
            return Bound(inner, "at least")
        case [False, True]:
            return Bound(inner, "at most")
    return inner


def score_per_1k(cell: Cell) -> Inference:
    """Returns what is known of 1,000 x sum of scores / sum of total tokens, of episodes as they
    ran, whatever ended them."""
    found = paired(cell)
    if len(found.tokenizers()) > 1:
        return Unknown(None, TOKENIZERS, len(found.tasks), "none")
    (scores,), (tokens,) = found.means(score), found.means(total_tokens)
    return ratio(scores, tokens, scale=1_000)


def score_per_1k_ratio(first: Cell, second: Cell) -> Inference:
    """Returns what is known of the first cell's score per 1k tokens over the second's."""
    found = paired(first, second)
    if len(found.tokenizers()) > 1:
        return Unknown(None, TOKENIZERS, len(found.tasks), "task")
    scores, tokens = found.means(score), found.means(total_tokens)
    return ratio_of_ratios([scores[0], tokens[0], scores[1], tokens[1]])


@dataclass(frozen=True, slots=True)
class FourCells:
    """What was trained under persistent (P) or stateless (S), in a runtime of either kind."""

    pp: Cell
    ps: Cell
    """Trained under persistent, run in stateless."""
    sp: Cell
    ss: Cell


def four_cells(rows: Cell, models: tuple[str, str] | None = None) -> FourCells:
    """Returns the four cells of the rows, by what each model was trained under.

    `models` names the persistent-trained and the stateless-trained model where that was not
    declared, or where there are several: training seeds are compared one by one, then by
    `stats.over_seeds`.

    Raises:
        UsageError: not exactly one model was trained under each.
    """
    named = models or tuple(_trained(rows, kind) for kind in ("persistent", "stateless"))

    def cell(model: str, contract: str) -> list[Brief]:
        return [row for row in rows if row.model == model and row.contract == contract]

    found = [cell(model, contract) for model in named for contract in ("persistent", "stateless")]
    return FourCells(*found)


def contrasts(cells: FourCells, measure: Measure = score) -> dict[str, Inference]:
    """Returns G_P, G_S, D and M by name.

    G_P = Q_PP - Q_PS and G_S = Q_SS - Q_SP: what each model loses away from home. D = G_P + G_S =
    (Q_PP - Q_PS) - (Q_SP - Q_SS). M = Q_PS - Q_SS: what the wrong training loses in stateless.
    """
    all_four = (cells.pp, cells.ps, cells.sp, cells.ss)
    width = 2 if measure is score else None
    return {
        "G_P": difference(cells.pp, cells.ps, measure),
        "G_S": difference(cells.ss, cells.sp, measure),
        "D": linear(all_four, (1, -1, -1, 1), measure, width=width),
        "M": difference(cells.ps, cells.ss, measure),
    }


def _trained(rows: Cell, kind: str) -> str:
    models = sorted({row.model for row in rows if row.trained_under == kind})
    if len(models) != 1:
        raise UsageError(
            f"{len(models)} models were trained under {kind} ({', '.join(models) or 'none'}): "
            "one is needed; name the two models to compare"
        )
    return models[0]


def _summed(
    weighed: Sequence[tuple[float, Sequence[float | None]]], size: int
) -> list[float | None]:
    """The weighted sum a task, None where a value is missing."""
    sums: list[float | None] = [0.0] * size
    for weight, column in weighed:
        sums = [
            None if total is None or value is None else total + weight * value
            for total, value in zip(sums, column, strict=True)
        ]
    return sums


def _known_relative(row: Brief) -> float | None:
    return None if row.relative_score is None else row.score


def _above_floor(row: Brief) -> float | None:
    if row.relative_score is None or row.score is None or row.floor_score is None:
        return None
    return row.score - row.floor_score


def floor_to_reference(row: Brief) -> float | None:
    """Returns what a relative score is relative to; None where the reference is not above the
    floor."""
    if row.relative_score is None or row.reference_score is None or row.floor_score is None:
        return None
    return row.reference_score - row.floor_score
