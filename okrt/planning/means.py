"""Plans of means and of ratios of sums: of one cell, and of two compared by task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log

import numpy as np

from okrt.analysis.brief import Brief
from okrt.analysis.planner import MeanPlan, RatePlan, difference_spread, ratio_plan
from okrt.analysis.stats.estimate import Floats
from okrt.errors import UsageError
from okrt.planning.assuming import (
    Assumed,
    Hopeless,
    Plan,
    Planned,
    hopeless,
    no_spread,
    source_of,
)
from okrt.planning.pilot import Pilot
from okrt.planning.question import Question

SPREADS = {
    "score": (0.14, "scores of one kind of model on easy tasks"),
    "relative_score": (0.63, "0.14, as of scores, over the 0.22 from floor to reference on easy"),
}
"""Standard deviation of a task's difference where no pilot says it, and where it is from. Source:
`okrt.analysis.planner`; the floor of 0.702 and reference of 0.923 are the means of the first 100
`easy` tasks (`docs/departures.md`)."""
ROUNDING = 1e-12
"""Of what is decided: what differs by less does not."""


def of_means(
    question: Question, pilot: Pilot | None, truth: float | None, spread: float | None
) -> Planned:
    if question.cells == 1:
        return _absolute(question, pilot, truth, spread)
    if truth is None:
        truth = question.nothing_differs
    if pilot is not None and spread is None and (alike := _alike(question, pilot, truth)):
        return alike
    if question.kind == "ratio_at_most" and pilot is not None and spread is None:
        return _fieller(question, pilot, truth)
    skewness, source, seen = 0.0, "given", None
    if pilot is not None:
        seen = _seen(question, pilot)
    if spread is None and pilot is not None:
        values = _compared(question, pilot)
        found = _spread(question, values)
        spread, skewness, source = found.spread, found.skewness, source_of(pilot)
    elif spread is None and not question.by_ratio and question.metric.name in SPREADS:
        spread, source = SPREADS[question.metric.name]
        source = f"no pilot: {source}"
    if spread is None:
        raise UsageError(
            f"{question.words()}: how much a task's {question.metric.name} differs is not known: "
            "give --pilot RUN"
        )
    base = MeanPlan(spread, 1.0, skewness=skewness, alpha=question.alpha)
    assumed = Assumed(truth, spread, None, source, seen)
    return assumed, lambda limit: _mean_at(question, base, limit, truth)


def _alike(question: Question, pilot: Pilot, truth: float) -> Planned | None:
    """Where no task differs, a gate goes by the exact bound on the share of tasks that may, each by
    so much at most: see `okrt.analysis.stats.mean_difference` and `okrt.analysis.metrics`. None
    where tasks differ, or the gate has no such bound."""
    metric = question.metric
    if metric.name == "score_per_1k" or truth != question.nothing_differs:
        return None
    columns = pilot.columns(*_PARTS.get(metric.name, (metric.measure,)))
    half = len(columns) // 2
    if not np.allclose(columns[:half], columns[half:], rtol=1e-9, atol=ROUNDING):
        return None
    values = columns[-1]
    if question.by_ratio and values.min() > 0:  # to the largest amount that was seen
        reach = float(values.max() / values.mean()) - 1
    elif metric.unit in ("score", "relative score"):
        reach = 1.0 if metric.unit == "score" else 1 / float(values.mean())
    else:
        return None

    def at(limit: float) -> RatePlan:
        allowed = limit - truth if question.by_ratio else limit
        if allowed <= 0:
            raise Hopeless(hopeless(question, truth))
        share = allowed / reach if allowed < reach else 1.0
        if question.by_ratio and question.kind == "within":  # down to none at all
            share = min(share, 1 - 1 / limit)
        return RatePlan(min(share, 1 - question.alpha**0.6), 0.0, question.alpha)  # 2 tasks or more

    return Assumed(truth, None, 0.0, source_of(pilot)), at


def _mean_at(question: Question, base: MeanPlan, limit: float, truth: float) -> Plan:
    """Ratios are planned by their logarithms, by the delta method."""
    allowed, gain = limit, truth
    if question.by_ratio:
        allowed, gain = log(limit), log(truth)
    sign = 1 if question.metric.more_is_better else -1
    if question.kind == "within":
        if abs(gain) >= allowed:
            raise Hopeless(hopeless(question, truth))
        return replace(base, margin=allowed, truth=gain, question="equivalent")
    if question.by_ratio:
        allowed *= -sign
    margin = allowed + sign * gain
    if margin <= 0:
        raise Hopeless(hopeless(question, truth))
    return replace(base, margin=margin, skewness=sign * base.skewness)


def _fieller(question: Question, pilot: Pilot, truth: float) -> Planned:
    one, other = pilot.columns(question.metric.measure)

    def at(limit: float) -> MeanPlan:
        if truth >= limit:
            raise Hopeless(hopeless(question, truth))
        return ratio_plan(list(one), list(other), limit, truth, question.alpha)

    try:
        spread = at(max(question.limit, truth + 1e-9)).spread
    except ValueError:
        raise UsageError(no_spread(question, one.size)) from None
    return Assumed(truth, spread, None, source_of(pilot), _seen(question, pilot)), at


def _absolute(
    question: Question, pilot: Pilot | None, truth: float | None, spread: float | None
) -> Planned:
    skewness, source = 0.0, "given"
    if pilot is not None:
        value, errors = _figure(question, pilot)
        truth = value if truth is None else truth
        if spread is None:
            found = _spread(question, errors)
            spread, skewness, source = found.spread, found.skewness, source_of(pilot)
    if truth is None or spread is None:
        raise UsageError(
            f"{question.words()}: what {question.metric.name} will be, and how much a task's "
            "differs, is not known: give --pilot RUN, or --truth and --spread"
        )
    known_truth, known_spread = truth, spread
    sign = 1 if question.kind == "at_least" else -1

    def at(limit: float) -> Plan:
        margin = sign * (known_truth - limit)
        if margin <= 0:
            raise Hopeless(hopeless(question, known_truth))
        return MeanPlan(known_spread, margin, skewness=sign * skewness, alpha=question.alpha)

    return Assumed(truth, spread, None, source), at


def _figure(question: Question, pilot: Pilot) -> tuple[float, Floats]:
    """Returns the figure of one cell and, a task, the linear part of its error."""
    if question.metric.kind != "ratio":
        (values,) = pilot.columns(question.metric.measure)
        return float(values.mean()), values - values.mean()
    above, below = pilot.columns(*_PARTS[question.metric.name])
    value = float(above.sum() / below.sum())
    errors: Floats = (above - value * below) / below.mean()
    return value, errors


def _compared(question: Question, pilot: Pilot) -> Floats:
    """Returns, a task, the linear part of the comparison of two cells: of its logarithm, where
    that is a ratio."""
    if question.metric.kind != "ratio":
        one, other = pilot.columns(question.metric.measure)
        if question.by_ratio:
            return _relative(one) - _relative(other)
        return one - other
    parts = pilot.columns(*_PARTS[question.metric.name])
    if question.by_ratio:
        first, second, third, fourth = map(_relative, parts)
        return first - second - third + fourth
    above, below, other, _ = parts  # floor and reference are the task's, the same in both
    gaps = above - other
    errors: Floats = (gaps - gaps.sum() / below.sum() * below) / below.mean()
    return errors


def _seen(question: Question, pilot: Pilot) -> float:
    """Returns the comparison of the pilot's two cells."""
    if question.metric.kind != "ratio":
        one, other = (float(column.mean()) for column in pilot.columns(question.metric.measure))
    else:
        parts = pilot.columns(*_PARTS[question.metric.name])
        sums = [float(part.sum()) for part in parts]
        one, other = sums[0] / sums[1], sums[2] / sums[3]
    if question.by_ratio:
        return one / other if other else float("inf")
    return one - other


def _relative(values: Floats) -> Floats:
    mean = values.mean()
    if mean <= 0:
        raise UsageError("a ratio to a mean of 0 cannot be planned")
    found: Floats = values / mean
    return found


def _known_gain(row: Brief) -> float | None:
    if row.relative_score is None or row.score is None or row.floor_score is None:
        return None
    return row.score - row.floor_score


def _range(row: Brief) -> float | None:
    if row.relative_score is None or row.reference_score is None or row.floor_score is None:
        return None
    return row.reference_score - row.floor_score


_PARTS: dict[str, tuple[Callable[[Brief], float | None], Callable[[Brief], float | None]]] = {
    "relative_score": (_known_gain, _range),
    "score_per_1k": (
        lambda row: None if row.score is None else 1_000 * row.score,
        lambda row: row.total_tokens,
    ),
}
"""Of metrics that are ratios of sums: what is above and what is below."""


def _spread(question: Question, values: Floats) -> MeanPlan:
    if np.ptp(values) <= ROUNDING * question.limit:
        raise UsageError(no_spread(question, values.size))
    try:
        found = difference_spread(list(values), [0.0] * values.size)
    except ValueError:
        raise UsageError(no_spread(question, values.size)) from None
    return MeanPlan(found.spread, 1.0, skewness=found.skewness)
