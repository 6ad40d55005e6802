"""How the metrics are inferred: of one cell, as a difference of two cells paired by task, and as
their ratio (`okrt.analysis.estimands`).

Limits end episodes, so that turns, tokens and characters of a cell of which more than 5% were cut
are at least what was counted: their figures are bounds, with one end. Where all tasks say the same,
as they do of one model that decodes greedily, a bootstrap has nothing to draw, and the bound is on
the share of tasks that may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from okrt.analysis import estimands
from okrt.analysis.estimands import TOKENIZERS, bounded
from okrt.analysis.measures import MEASURED, Measured
from okrt.analysis.pairing import Cell, Paired, paired
from okrt.analysis.settled import Settled
from okrt.analysis.stats import Inference, Unknown, clustered_mean, mean_difference, ratio
from okrt.analysis.stats.estimate import NO_SPREAD

ALL_EQUAL = "all equal: Clopper-Pearson bound on tasks that differ, each "


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of cells."""

    about: Measured
    cell: Callable[[Cell], Inference]
    difference: Callable[[Cell, Cell], Inference] | None
    """First less second; None where a difference makes no sense."""
    ratio: Callable[[Cell, Cell], Inference] | None
    """First over second; None where a ratio makes no sense."""


def _score(cell: Cell) -> Inference:
    inner = estimands.quality(cell)
    value = _settled(inner)
    if value is None:
        return inner
    return Settled(value, 0, 1, len(paired(cell).tasks), "none", ALL_EQUAL + "within [0, 1]")


def _relative_difference(first: Cell, second: Cell) -> Inference:
    inner = estimands.relative_difference(first, second)
    if _settled(inner) != 0:
        return inner
    ranges = paired(first, second).means(estimands.floor_to_reference)[0]
    known = [one for one in ranges if one is not None]
    width = len(known) / sum(known)  # a score differs by 1 at most
    return Settled(0, -width, width, len(known), "task", ALL_EQUAL + "by 1 in score")


def _rate(one: Measured) -> Metric:
    return Metric(
        one,
        lambda cell: estimands.rate_of(cell, one.measure),
        lambda first, second: estimands.rate_contrast(first, second, one.measure),
        None,
    )


def _amount(one: Measured) -> Metric:
    """Of what limits cut."""
    return Metric(one, partial(_mean, one), partial(_less, one), partial(_over, one))


def _mean(one: Measured, cell: Cell) -> Inference:
    found = paired(cell)
    inner = clustered_mean([one.measure(row) for row in task] for task in found.cells[0])
    value = _settled(inner)
    if one.unit == "turns" and value is not None:
        most = max(row.max_turns for row in cell)
        method = ALL_EQUAL + f"of {most} turns at most"
        inner = Settled(value, 0, most, len(found.tasks), "none", method)
    return _unlike(one, found) or bounded(inner, [*found.censored(), False])


def _less(one: Measured, first: Cell, second: Cell) -> Inference:
    found = paired(first, second)
    more, fewer = found.means(one.measure)
    largest = max((amount for amount in (*more, *fewer) if amount is not None), default=0)
    inner = mean_difference(more, fewer, largest or None)
    return _unlike(one, found) or bounded(inner, found.censored())


def _over(one: Measured, first: Cell, second: Cell) -> Inference:
    """Where all tasks have one ratio, no task that differs is taken to have more than the largest
    amount that was seen."""
    found = paired(first, second)
    above, below = found.means(one.measure)
    inner = ratio(above, below)
    value = _settled(inner)
    if value is not None:
        known = [amount for amount in below if amount is not None]
        largest = max(amount for amount in (*above, *below) if amount is not None)
        highest = largest * len(known) / sum(known)
        method = ALL_EQUAL + "with the largest seen at most"
        inner = Settled(value, 0, highest, len(known), "task", method)
    return _unlike(one, found) or bounded(inner, found.censored())


def _unlike(one: Measured, found: Paired) -> Unknown | None:
    if one.by_tokenizer and len(found.tokenizers()) > 1:
        return Unknown(None, TOKENIZERS, len(found.tasks), "task")
    return None


def _settled(inner: Inference) -> float | None:
    """Returns what all tasks say, None where they do not say the same."""
    is_settled = isinstance(inner, Unknown) and inner.reason == NO_SPREAD
    return inner.estimate().value if is_settled else None


def _metrics() -> dict[str, Metric]:
    score, relative, per_1k = (MEASURED[n] for n in ("score", "relative_score", "score_per_1k"))
    found = {
        "score": Metric(score, _score, estimands.difference, None),
        "relative_score": Metric(relative, estimands.relative_quality, _relative_difference, None),
        "score_per_1k": Metric(per_1k, estimands.score_per_1k, None, estimands.score_per_1k_ratio),
    }
    for name, one in MEASURED.items():
        if name not in found:
            found[name] = _rate(one) if one.kind == "rate" else _amount(one)
    return {name: found[name] for name in MEASURED}


METRICS: Mapping[str, Metric] = _metrics()
"""By name."""
