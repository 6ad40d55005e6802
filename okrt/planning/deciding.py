"""A question and a pilot -> a plan, the tasks it needs, and what fewer tasks can decide.

How often a gate passes depends on the truth, which a plan assumes: cells that are compared are
equal, a figure of one cell is what the pilot's was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from okrt.analysis.cells import CENSORED_LIMIT
from okrt.analysis.planner import POWER, MeanPlan, PairedRatePlan, RatePlan
from okrt.analysis.stats.estimate import FEWEST
from okrt.errors import UsageError
from okrt.planning.assuming import Assumed, Hopeless, Plan, Planned, hopeless, source_of
from okrt.planning.means import of_means
from okrt.planning.pilot import Pilot
from okrt.planning.question import Question

MOST = 1e12
"""The farthest from the truth that a limit is looked for."""
HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """How many tasks a question needs."""

    question: Question
    assumed: Assumed
    plan: Plan
    _at: Callable[[float], Plan]
    """The plan of another limit."""

    def power(self, n: int) -> float:
        """Returns the probability that n tasks decide it, should the truth be as assumed."""
        return _power(self.plan, n)

    def tasks(self, power: float = POWER) -> int | None:
        """Returns how many tasks decide it with this probability, None where none does."""
        needed = self.plan.tasks(power)
        return needed and max(needed, _fewest(self.plan))

    def limit(self, n: int, power: float = POWER) -> float | None:
        """Returns the strictest limit of three digits that n tasks decide with this probability,
        None where none that makes sense is."""

        def enough(distance: float) -> bool | None:
            limit = self.question.eased(distance, self.assumed.truth)
            if limit is None:
                return None
            try:
                return _power(self._at(limit), n) >= power
            except (Hopeless, ValueError):  # so near the truth that there is no plan
                return False

        high = 1e-6
        while enough(high) is False and high < MOST:
            high *= 2
        low = high / 2
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if enough(middle) is not False else (middle, high)
        found = self.question.eased(high, self.assumed.truth)
        return _easier(self.question, found) if found is not None and enough(high) else None


def _fewest(plan: Plan) -> int:
    """No interval of a mean is claimed of fewer tasks."""
    return FEWEST if isinstance(plan, MeanPlan) else 1


def _power(plan: Plan, n: int) -> float:
    return plan.power(n) if n >= _fewest(plan) else 0.0


def _easier(question: Question, limit: float) -> float:
    """Returns the limit to three digits, not to a stricter one."""
    step = Decimal(1).scaleb(Decimal(limit).adjusted() - 2)
    lower = question.kind in ("at_least", "ratio_at_least")
    return float(Decimal(limit).quantize(step, ROUND_FLOOR if lower else ROUND_CEILING))


def answer(
    question: Question,
    pilot: Pilot | None = None,
    truth: float | None = None,
    spread: float | None = None,
) -> Answer:
    """Returns the plan of a question.

    Args:
        pilot: of as many cells as the question is about; the first is the one that is judged.
        truth: the figure that is thought to be there, in the stead of the usual assumption.
        spread: standard deviation of one task, in the stead of the pilot's.

    Raises:
        UsageError: too little is known to plan.
        Hopeless: no number of tasks would do.
    """
    if pilot is not None:
        _check_comparable(question, pilot)
    if question.metric.kind == "rate":
        found, plan_at = _of_rates(question, pilot, truth)
    else:
        found, plan_at = of_means(question, pilot, truth, spread)
    try:
        return Answer(question, found, plan_at(question.limit), plan_at)
    except Hopeless:
        raise
    except ValueError as error:
        raise UsageError(f"{question.words()} cannot be planned: {error}") from None


def _check_comparable(question: Question, pilot: Pilot) -> None:
    """What limits cut is at least what was counted, so that no gate passes which asks that it is at
    most something; and tokens compare only where one tokenizer counted: see
    `okrt.analysis.metrics`."""
    metric = question.metric
    cut = [cost.at_least for cost in pilot.costs]
    is_amount = metric.kind == "mean" and metric.divides
    if is_amount and (cut[0] or (question.kind == "within" and any(cut))):
        cell = pilot.costs[cut.index(True)].cell
        raise Hopeless(
            f"{question.words()} cannot pass however many tasks there are: limits ended over "
            f"{CENSORED_LIMIT:.0%} of the pilot's episodes of {cell}, so that {metric.name} is at "
            "least what was counted: raise the limits"
        )
    if metric.by_tokenizer and pilot.tokenizers > 1:
        raise UsageError(
            f"{question.words()}: different tokenizers counted the pilot's tokens: plan "
            "transcript_chars in their stead"
        )


# -- rates ---------------------------------------------------------------------------------------


def _of_rates(question: Question, pilot: Pilot | None, truth: float | None) -> Planned:
    columns = [] if pilot is None else pilot.columns(question.metric.measure)
    source = source_of(pilot)
    if question.cells == 1:
        best = 1.0 if question.metric.more_is_better else 0.0
        rate = truth if truth is not None else (float(columns[0].mean()) if columns else best)
        if pilot is None and truth is None:
            source = "no pilot: as if no episode were bad"
        return Assumed(rate, None, None, source), lambda limit: _rate_at(question, limit, rate)
    if not columns:
        raise UsageError(
            f"{question.words()}: how often two cells differ in {question.metric.name} is not "
            "known: give --pilot RUN"
        )
    one, other = columns
    truth = truth or 0.0
    bad = -truth if question.metric.more_is_better else truth
    if question.kind == "within" or not np.isin(np.stack(columns), (0, 1)).all():
        return of_means(question, pilot, truth, None)
    differ = max(float((one != other).mean()), abs(bad))
    assumed = Assumed(truth, None, differ, source, float((one - other).mean()))

    def at(limit: float) -> Plan:
        if bad >= limit:
            raise Hopeless(hopeless(question, truth))
        return PairedRatePlan(limit, (differ + bad) / 2, (differ - bad) / 2, question.alpha)

    return assumed, at


def _rate_at(question: Question, limit: float, rate: float) -> Plan:
    beyond = rate <= limit if question.kind == "at_least" else rate >= limit
    if beyond:
        raise Hopeless(hopeless(question, rate))
    if question.kind == "at_least":  # of as many that are not so
        return RatePlan(1 - limit, 1 - rate, question.alpha)
    return RatePlan(limit, rate, question.alpha)
