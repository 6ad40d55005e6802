"""Plans: the planner's figures for each metric and limit, and limits that agree with the power."""

from __future__ import annotations

import numpy as np
import pytest

from okrt.analysis.estimands import difference
from okrt.analysis.measures import MEASURED
from okrt.analysis.planner import MeanPlan, PairedRatePlan, RatePlan, ratio_plan
from okrt.analysis.stats import ONE_SIDED
from okrt.errors import UsageError
from okrt.gates.file import BASELINE, Gate
from okrt.gates.judge import decide
from okrt.gates.limits import LimitKind, kinds_of
from okrt.planning.assuming import Hopeless
from okrt.planning.deciding import answer
from okrt.planning.pilot import Pilot, pilot
from okrt.planning.question import Question
from tests.planning.runs import cell

N = 40
RNG = np.random.default_rng(8)
SCORES = RNG.uniform(0.72, 1.0, N), RNG.uniform(0.72, 1.0, N)
TOKENS = RNG.integers(5_000, 9_000, N), RNG.integers(5_000, 9_000, N)
LOST = [1, 1, 0, 0] * 10, [1, 0, 1, 0] * 10


def question(metric: str, kind: LimitKind, limit: float) -> Question:
    return Question(MEASURED[metric], kind, limit)


def both(ending: str = "finished") -> Pilot:
    """Two cells that differ in all that a metric is about. `ending`: of the half of the tasks that
    were lost."""
    return pilot(
        *(
            cell(
                model,
                score=list(map(float, SCORES[n])),
                relative_score=list(map(float, SCORES[n])),
                total_tokens=list(map(int, TOKENS[n])),
                new_tokens=list(map(int, TOKENS[n])),
                completion_tokens=list(map(int, TOKENS[n])),
                transcript_chars=list(map(int, TOKENS[n])),
                turns=[3 + (seed + n) % 4 for seed in range(N)],
                lost_errors=LOST[n],
                missing_variable_errors=LOST[n],
                solved=[not one for one in LOST[n]],
                ending=[ending if one else "finished" for one in LOST[n]],
            )
            for n, model in enumerate(("new", "old"))
        )
    )


BOTH, CUT = both(), both("max_turns")
ALONE = Pilot(BOTH.cells[:1], BOTH.costs[:1])


def test_without_a_pilot_the_usual_spread_of_easy_scores_is_assumed() -> None:
    found = answer(question("score", "not_lower_by", 0.03))
    assert found.tasks() == 135
    assert found.assumed.spread == 0.14
    assert "no pilot: scores of one kind of model on easy tasks" in found.assumed.source
    assert answer(question("lost_rate", "at_most", 0.05)).tasks() == 59
    relative = answer(question("relative_score", "not_lower_by", 0.05)).plan
    assert isinstance(relative, MeanPlan)
    assert relative.spread == pytest.approx(0.14 / (0.923 - 0.702), abs=0.005)


@pytest.mark.parametrize(
    ("metric", "kind", "limit"),
    [
        ("total_tokens", "ratio_at_most", 1.1),
        ("lost_rate", "not_higher_by", 0.05),
        ("score", "at_least", 0.5),
        ("turns", "not_higher_by", 1.0),
    ],
)
def test_what_is_not_known_asks_for_a_pilot(metric: str, kind: LimitKind, limit: float) -> None:
    with pytest.raises(UsageError, match="give --pilot RUN"):
        answer(question(metric, kind, limit))


def test_a_pilots_spread_is_that_of_its_pairs() -> None:
    found = answer(question("score", "not_lower_by", 0.05), BOTH).plan
    assert isinstance(found, MeanPlan)
    assert found.spread == pytest.approx(np.std(SCORES[0] - SCORES[1], ddof=1))
    fewer = answer(question("turns", "not_higher_by", 0.5), BOTH).plan
    assert isinstance(fewer, MeanPlan)
    turns = np.array([[3 + (seed + n) % 4 for seed in range(N)] for n in (0, 1)])
    assert fewer.spread == pytest.approx(np.std(turns[0] - turns[1], ddof=1))


def test_a_long_tail_counts_in_the_direction_of_the_gate() -> None:
    """Of scores a long lower tail costs tasks, of turns a long upper one."""
    tail = list(-RNG.exponential(0.1, N) + 0.1)
    zero = [0.0] * N
    scores = pilot(cell("new", score=tail), cell("old", score=zero))
    mirrored = pilot(cell("new", score=zero), cell("old", score=tail))
    one, other = (
        answer(question("score", "not_lower_by", 0.03), some).plan for some in (scores, mirrored)
    )
    turns = pilot(cell("new", turns=[-100 * x for x in tail]), cell("old", turns=[0.0] * N))
    cost = answer(question("turns", "not_higher_by", 3.0), turns).plan
    assert isinstance(one, MeanPlan)
    assert isinstance(other, MeanPlan)
    assert isinstance(cost, MeanPlan)
    assert one.skewness == pytest.approx(-other.skewness)
    assert one.skewness < -0.5
    assert cost.skewness == pytest.approx(one.skewness)


def test_of_one_cell_a_tail_counts_in_the_direction_of_the_limit() -> None:
    tail = [seed**2 for seed in range(1, 31)]  # a long upper one: what must not be high costs more
    known = pilot(cell("new", turns=tail, score=[n / 1_000 for n in tail]))
    high = answer(question("turns", "at_most", 500.0), known).plan
    low = answer(question("score", "at_least", 0.2), known).plan
    assert isinstance(high, MeanPlan)
    assert isinstance(low, MeanPlan)
    assert low.skewness == pytest.approx(-high.skewness)
    assert high.skewness < -0.5


def test_a_ratio_of_tokens_is_planned_by_fieller_and_its_equivalence_by_logarithms() -> None:
    one, other = (list(map(float, tokens)) for tokens in TOKENS)
    found = answer(question("total_tokens", "ratio_at_most", 1.1), BOTH)
    plain = ratio_plan(one, other, 1.1)
    assert isinstance(found.plan, MeanPlan)
    assert (found.plan.spread, found.plan.skewness, found.plan.margin) == pytest.approx(
        (plain.spread, plain.skewness, plain.margin)
    )
    equal = answer(question("total_tokens", "within", 1.1), BOTH).plan
    assert isinstance(equal, MeanPlan)
    assert equal.question == "equivalent"
    assert equal.margin == pytest.approx(np.log(1.1))
    parts = [np.array(column) / np.mean(column) for column in (one, other)]
    assert equal.spread == pytest.approx(np.std(parts[0] - parts[1], ddof=1))


def test_rates_are_planned_by_the_tasks_that_differ() -> None:
    found = answer(question("lost_rate", "not_higher_by", 0.1), BOTH)
    assert found.plan == PairedRatePlan(0.1, 0.25, 0.25)
    worse = answer(question("lost_rate", "not_higher_by", 0.1), BOTH, truth=0.04)
    assert worse.plan == PairedRatePlan(0.1, (0.5 + 0.04) / 2, (0.5 - 0.04) / 2)
    solved = answer(question("solved_rate", "not_lower_by", 0.1), BOTH, truth=-0.04)
    assert solved.plan == worse.plan  # solved less often is as bad
    more = answer(question("solved_rate", "at_least", 0.3), ALONE).plan
    assert more == RatePlan(0.7, 0.5)


def test_cells_that_are_alike_go_by_the_exact_bound_as_the_gate_does() -> None:
    same = pilot(cell("new", score=[0.7] * 20), cell("old", score=[0.7] * 20))
    found = answer(question("score", "not_lower_by", 0.03), same)
    n = found.tasks()
    assert n == 99
    for tasks, decided in ((98, False), (99, True)):
        cells = [cell(model, score=[0.7] * tasks) for model in ("new", "old")]
        low = difference(cells[0], cells[1]).estimate(ONE_SIDED).low
        assert low is not None
        assert (low >= -0.03) == decided
    turns = pilot(cell("new", turns=[3] * 20), cell("old", turns=[3] * 20))
    with pytest.raises(UsageError, match="all 20 tasks of the pilot are alike in turns"):
        answer(question("turns", "not_higher_by", 1), turns)
    with pytest.raises(Hopeless, match="it is thought to be 1"):
        answer(question("turns", "ratio_at_most", 0.9), turns)


def test_rounding_is_no_spread() -> None:
    """Sums in another order differ in the last digit; so do equal differences of other scores."""
    one, other = [0.1 + 0.2] * 20, [0.3] * 20
    same = pilot(cell("new", score=one), cell("old", score=other))
    assert answer(question("score", "not_lower_by", 0.03), same).tasks() == 99
    scores = [0.3 + n / 50 for n in range(20)]
    apart = pilot(cell("new", score=[n + 0.1 for n in scores]), cell("old", score=scores))
    with pytest.raises(UsageError, match="alike in score"):
        answer(question("score", "not_lower_by", 0.03), apart)


@pytest.mark.parametrize(
    ("metric", "kind", "limit", "fewest"),
    [
        ("total_tokens", "ratio_at_most", 1.01, 59),
        ("total_tokens", "within", 1.05, 62),
        ("relative_score", "not_lower_by", 0.2, 59),
        ("relative_score", "within", 0.2, 59),
    ],
)
def test_of_cells_that_are_alike_a_plan_and_the_gate_agree(
    metric: str, kind: LimitKind, limit: float, fewest: int
) -> None:
    asked = question(metric, kind, limit)
    gate = Gate("g", asked.metric, kind, limit, BASELINE, None, None, None, asked.level, None)
    decided = []
    for tasks in range(fewest - 4, fewest + 4):
        tokens = [5_000] * (tasks - 1) + [6_000]
        cells = [cell(model, total_tokens=tokens) for model in ("new", "old")]
        passes = decide(gate, cells).word == "pass"
        assert answer(asked, pilot(*cells)).power(tasks) == passes, tasks
        decided.append(passes)
    assert decided == sorted(decided)
    assert set(decided) == {False, True}


@pytest.mark.parametrize(
    ("metric", "kind", "limit", "cut", "passes"),
    [
        ("total_tokens", "at_most", 20_000.0, (True,), False),
        ("turns", "not_higher_by", 2.0, (True, True), False),
        ("total_tokens", "ratio_at_most", 1.3, (True, False), False),
        ("total_tokens", "ratio_at_most", 1.3, (False, True), True),
        ("total_tokens", "within", 1.4, (False, True), False),
        ("score", "not_lower_by", 0.2, (True, True), True),
        ("score_per_1k", "within", 1.4, (True, True), True),
    ],
)
def test_what_limits_cut_is_planned_only_where_the_gate_could_pass(
    metric: str, kind: LimitKind, limit: float, cut: tuple[bool, ...], passes: bool
) -> None:
    chosen = [(CUT if one else BOTH) for one in cut]
    cells = tuple(some.cells[n] for n, some in enumerate(chosen))
    known = Pilot(cells, tuple(some.costs[n] for n, some in enumerate(chosen)))
    asked = question(metric, kind, limit)
    gate = Gate("g", asked.metric, kind, limit, BASELINE, None, None, None, asked.level, None)
    rows = [[row for task in one for row in task] for one in cells]
    assert (decide(gate, rows).word == "pass") == passes
    if passes:
        assert answer(asked, known).power(N) > 0
    else:
        with pytest.raises(Hopeless, match="limits ended over 5% of the pilot's episodes"):
            answer(asked, known)


def test_tokens_of_different_tokenizers_are_not_planned() -> None:
    tokens = list(map(int, TOKENS[0]))
    known = pilot(
        cell("new", total_tokens=tokens, transcript_chars=tokens),
        cell("old", total_tokens=tokens[::-1], transcript_chars=tokens[::-1], tokenizer=["x"] * N),
    )
    for metric in ("total_tokens", "score_per_1k"):
        with pytest.raises(UsageError, match="different tokenizers counted the pilot's tokens"):
            answer(question(metric, "within", 1.4), known)
    assert answer(question("transcript_chars", "within", 1.4), known).tasks()


LIMITS: dict[LimitKind, tuple[float, ...]] = {
    "at_most": (0.9, 20_000.0),
    "at_least": (0.1, 0.01),
    "not_lower_by": (0.2,),
    "not_higher_by": (0.3, 2_000.0),
    "ratio_at_most": (1.3,),
    "ratio_at_least": (0.7,),
    "within": (0.3, 1.4),
}
FIRST = ("score", "relative_score", "lost_rate", "solved_rate", "total_tokens", "score_per_1k")
"""One of each kind; the others are planned alike."""


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        pytest.param(name, kind, marks=[pytest.mark.thorough] * (name not in FIRST))
        for name, metric in MEASURED.items()
        for kind in kinds_of(metric)
    ],
)
def test_every_metric_can_be_planned_and_limits_agree_with_powers(
    metric: str, kind: LimitKind
) -> None:
    limits = LIMITS[kind]
    asked = question(metric, kind, limits[0])
    amount = MEASURED[metric].unit not in ("score", "relative score", "share")
    if amount and len(limits) > 1:
        asked = question(metric, kind, limits[1])
    whole = CUT if metric == "finished_rate" else BOTH
    known = Pilot(whole.cells[: asked.cells], whole.costs[: asked.cells])
    found = answer(asked, known)
    needed = found.tasks()
    assert needed is not None
    assert found.power(needed) >= 0.8
    assert needed == 10 or found.power(needed - 1) < 0.8  # the fewest of which a mean is claimed
    strictest = found.limit(60)
    assert strictest is not None
    assert answer(question(metric, kind, strictest), known).power(60) >= 0.8
    truth = found.assumed.truth
    # Three digits are kept: nearer the truth by more than they hide, it is no longer decided.
    nearer = truth + (strictest - truth) * 0.9 if kind[:2] in ("at", "ra") else strictest * 0.9
    if kind == "within" and asked.by_ratio:
        nearer = 1 + (strictest - 1) * 0.9
    if abs(strictest - truth) > 0.05 * abs(strictest):
        assert answer(question(metric, kind, nearer), known).power(60) < 0.8


@pytest.mark.parametrize(
    ("metric", "kind", "limit", "truth"),
    [
        ("score", "not_lower_by", 0.03, -0.03),
        ("score", "within", 0.03, 0.05),
        ("total_tokens", "ratio_at_most", 1.1, 1.2),
        ("total_tokens", "ratio_at_most", 0.9, None),
        ("score_per_1k", "ratio_at_least", 1.1, None),
        ("lost_rate", "not_higher_by", 0.05, 0.05),
        ("lost_rate", "at_most", 0.05, None),
        ("score", "at_least", 0.99, None),
    ],
)
def test_a_truth_at_the_limit_is_hopeless(
    metric: str, kind: LimitKind, limit: float, truth: float | None
) -> None:
    asked = question(metric, kind, limit)
    with pytest.raises(Hopeless, match="cannot pass however many tasks there are"):
        answer(asked, ALONE if asked.cells == 1 else BOTH, truth)


def test_no_power_is_promised_of_fewer_tasks_than_an_interval_needs() -> None:
    found = answer(question("total_tokens", "at_most", 1e6), ALONE)
    assert found.power(9) == 0
    assert found.tasks() == 10


def test_a_pilot_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="2 tasks of the pilot have what is asked for"):
        answer(question("score", "at_least", 0.1), pilot(cell(score=[0.5, 0.6])))
    with pytest.raises(UsageError, match="has no scored task"):
        pilot(cell(score=[None, None]))
    with pytest.raises(UsageError, match="have no scored task in common"):
        pilot(cell(score=[0.5]), cell("old", "stateless", "hard", score=[0.5]))
