"""The study's estimands over rows: paired by task and settings, repeats averaged first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from okrt.analysis.brief import Brief, brief
from okrt.analysis.estimands import (
    FourCells,
    any_lost,
    any_missing,
    character_ratio,
    contrasts,
    difference,
    four_cells,
    linear,
    quality,
    rate_contrast,
    rate_of,
    relative_difference,
    score_per_1k,
    score_per_1k_ratio,
    token_ratio,
)
from okrt.analysis.pairing import identical_tasks, paired
from okrt.analysis.stats import (
    Inference,
    at_most,
    mean_difference,
    mean_interval,
    rate_difference,
    rate_interval,
    ratio_of_ratios,
    ratio_of_sums,
)
from okrt.errors import UsageError
from okrt.types import Failure
from tests.analysis.test_cells import make as make_row

N = 24
SCORES = {
    "pp": [0.5 + 0.02 * task for task in range(N)],
    "ps": [0.4 + 0.005 * (task * 7 % N) for task in range(N)],
    "sp": [0.6 + 0.01 * (task * 5 % N) for task in range(N)],
    "ss": [0.55 + 0.015 * (task * 11 % N) for task in range(N)],
}
NAMES = {"p": "persistent", "s": "stateless"}


def make(seed: int, repeat: int = 0, **changes: object) -> Brief:
    return brief(make_row(seed, repeat, **{"transcript_digest": "same", **changes}), {})


def cell(which: str, scores: Sequence[float] | None = None, **changes: object) -> list[Brief]:
    trained, run = (NAMES[letter] for letter in which)
    fields: dict[str, Any] = {"model": f"m-{trained}", "trained_under": trained, "contract": run}
    chosen = SCORES[which] if scores is None else scores
    fields |= changes
    return [make(100 + task, score=score, **fields) for task, score in enumerate(chosen)]


def four() -> FourCells:
    return FourCells(*(cell(which) for which in ("pp", "ps", "sp", "ss")))


def value(inference: Inference) -> float:
    found = inference.estimate().value
    assert found is not None
    return found


def mean(which: str) -> float:
    return sum(SCORES[which]) / N


def test_the_quality_of_a_cell_is_its_mean_score() -> None:
    assert quality(cell("pp")).estimate() == mean_interval(SCORES["pp"])


def test_the_four_contrasts_are_those_of_the_paper() -> None:
    found = contrasts(four())
    q = {which: mean(which) for which in SCORES}
    assert value(found["G_P"]) == pytest.approx(q["pp"] - q["ps"])
    assert value(found["G_S"]) == pytest.approx(q["ss"] - q["sp"])
    assert value(found["D"]) == pytest.approx((q["pp"] - q["ps"]) - (q["sp"] - q["ss"]))
    assert value(found["M"]) == pytest.approx(q["ps"] - q["ss"])
    assert found["G_P"].estimate() == mean_difference(SCORES["pp"], SCORES["ps"]).estimate()
    assert {one.estimate().n for one in found.values()} == {N}


def test_d_is_paired_over_all_four_cells() -> None:
    by_task = [
        (pp - ps) - (sp - ss)
        for pp, ps, sp, ss in zip(*(SCORES[w] for w in ("pp", "ps", "sp", "ss")), strict=True)
    ]
    expected, found = mean_interval(by_task), contrasts(four())["D"].estimate()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_contrasts_of_caps_are_linear_with_the_cap_apart() -> None:
    """A_P = G_P(25) - G_P(80)."""
    slack, binding = cell("pp", tool_cap=80), cell("ps", tool_cap=25)
    cells = (cell("pp", tool_cap=25), binding, slack, cell("ps", SCORES["sp"], tool_cap=80))
    found = linear(cells, (1, -1, -1, 1), apart={"tool_cap"})
    assert value(found) == pytest.approx(mean("sp") - mean("ps"))
    with pytest.raises(UsageError, match="differ in tool_cap \\(25, 80\\)"):
        linear(cells, (1, -1, -1, 1))
    with pytest.raises(ValueError, match="zip"):
        linear(cells, (1, -1), apart={"tool_cap"})


@pytest.mark.parametrize("setting", ["cue", "prompt_set", "temperature", "max_turns", "packages"])
def test_cells_under_other_settings_are_not_compared(setting: str) -> None:
    changed: dict[str, Any] = {setting: "other"}
    other = [make(row.seed, model="m", contract="stateless", **changed) for row in cell("pp")]
    with pytest.raises(UsageError, match=f"differ in {setting}"):
        difference(cell("pp"), other)


def test_a_cell_is_one_model_in_one_runtime() -> None:
    with pytest.raises(UsageError, match="several values of model"):
        quality([*cell("pp"), *cell("sp")])
    with pytest.raises(UsageError, match="several values of contract"):
        quality([*cell("pp"), *cell("ps")])


def test_tasks_that_a_cell_lacks_or_holds_only_as_failures_are_left_out_and_counted() -> None:
    broken = make(
        102, model="m-persistent", contract="stateless", score=None,
        failure=Failure("model", "Timeout", "no answer"),
    )  # fmt: skip
    other = [row for row in cell("ps") if row.seed not in (102, 105)]
    pairs = paired(cell("pp"), [*other, broken])
    assert len(pairs.tasks) == N - 2
    assert [task.split("/")[-1] for task in pairs.left_out] == ["102@1", "105@1"]
    found = difference(cell("pp"), [*other, broken]).estimate()
    kept = [task for task in range(N) if task not in (2, 5)]
    expected = mean_difference(
        [SCORES["pp"][task] for task in kept], [SCORES["ps"][task] for task in kept]
    ).estimate()
    assert found.value == pytest.approx(expected.value)
    assert found.n == N - 2


def test_cells_without_a_common_task_bear_nothing() -> None:
    apart = [make(500 + task, model="x", contract="stateless") for task in range(N)]
    for found in (
        difference(cell("pp"), apart),
        token_ratio(cell("pp"), apart),
        rate_contrast(cell("pp"), apart, any_lost),
        relative_difference(cell("pp"), apart),
        score_per_1k_ratio(cell("pp"), apart),
        difference([], []),
        quality([]),
        rate_of([], any_lost),
    ):
        assert found.estimate().method == "none: no values"
    assert identical_tasks(cell("pp"), apart) == (0, 0)


def test_the_order_of_rows_makes_no_difference() -> None:
    one, other = cell("pp"), cell("ps")
    found = difference(one, other).estimate()
    assert found == difference(one[::-1], other[5:] + other[:5]).estimate()


def test_repeats_are_averaged_by_task_first() -> None:
    again = [
        make(row.seed, 1, model=row.model, contract=row.contract, score=0.9) for row in cell("pp")
    ]
    found = difference([*cell("pp"), *again], cell("ps")).estimate()
    expected = [
        (one + 0.9) / 2 - other for one, other in zip(SCORES["pp"], SCORES["ps"], strict=True)
    ]
    assert found.value == pytest.approx(sum(expected) / N)
    assert found.n == N


def test_identical_scores_are_bounded_by_how_many_tasks_may_differ() -> None:
    same = cell("ps", SCORES["pp"])
    found = difference(cell("pp"), same).estimate(0.90)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / N))
    assert identical_tasks(cell("pp"), same) == (N, N)
    changed = [make(100, contract="stateless", model="m-persistent", transcript_digest="other")]
    assert identical_tasks(cell("pp"), [*changed, *same[1:]]) == (N - 1, N)
    other = [make(100, contract="stateless", model="m-persistent", score=0.1)]  # the same words
    assert identical_tasks(cell("pp"), [*other, *same[1:]]) == (N - 1, N)
    unknown = cell("pp", transcript_digest=None)
    assert identical_tasks(unknown, unknown) == (0, N)


def test_token_ratios_are_of_sums_over_the_common_tasks() -> None:
    one = [make(100 + task, model="a", total_tokens=1_000 + 50 * task) for task in range(N)]
    other = [
        make(100 + task, model="b", total_tokens=400 + 30 * (task % 5)) for task in range(N + 3)
    ]
    sums = ratio_of_sums(
        [1_000 + 50 * task for task in range(N)], [400 + 30 * (task % 5) for task in range(N)]
    )
    assert token_ratio(one, other).estimate() == sums
    completions = token_ratio(one, other, lambda row: row.completion_tokens).estimate()
    assert completions.value == pytest.approx(1)


def test_tokens_of_different_tokenizers_have_no_ratio() -> None:
    one, other = cell("pp"), cell("ps", tokenizer="another")
    for found in (token_ratio(one, other), score_per_1k_ratio(one, other)):
        assert found.estimate().value is None
        assert found.estimate().method == "none: tokens were counted by different tokenizers"
        assert at_most(found.estimate(0.90), 9).word == "inconclusive"
    assert character_ratio(one, other).estimate().value == pytest.approx(1)
    mixed = [*one[1:], make(100, model="m-persistent", contract="persistent", tokenizer="another")]
    assert score_per_1k(mixed).estimate().value is None


def test_a_cell_that_limits_cut_short_gives_a_bound() -> None:
    def counted(which: str, cut: int) -> list[Brief]:
        model, run = f"m-{which}", NAMES[which[1]]
        return [
            make(
                100 + task, model=model, contract=run,
                total_tokens=900 + 40 * task + 9 * (task % len(run)),
                ending="context" if task < cut else "finished",
            )
            for task in range(N)
        ]  # fmt: skip

    one, other = counted("pp", 0), counted("ps", 0)
    plain = token_ratio(one, other).estimate()
    longer = token_ratio(counted("pp", 2), other)
    assert (longer.estimate().low, longer.estimate().high) == (plain.low, None)
    assert longer.estimate().method == f"at least: {plain.method}"
    assert (plain.side, longer.estimate().side) == ("", "at least")
    assert longer.p_below(9) == 1
    assert at_most(longer.estimate(0.90), 9).word == "inconclusive"
    assert at_most(longer.estimate(0.90), 0.1).word == "fail"
    shorter = token_ratio(one, counted("ps", 2)).estimate()
    assert (shorter.low, shorter.high) == (None, plain.high)
    assert shorter.method.startswith("at most: ")
    both = token_ratio(counted("pp", 2), counted("ps", 2)).estimate()
    assert (both.low, both.high, both.method) == (None, None, "none: limits cut both cells")
    assert token_ratio(counted("pp", 1), other).estimate() == plain  # 1 of 24 is below 5%


def test_rates_are_exact_and_paired_by_tango() -> None:
    one = [make(100 + task, model="a", lost_errors=int(task < 6)) for task in range(N)]
    other = [make(100 + task, model="b", lost_errors=3 * (task % 5 == 0)) for task in range(N)]
    assert rate_of(one, any_lost).estimate() == rate_interval(6, N)
    found = rate_contrast(one, other, any_lost).estimate()
    flags = [float(task < 6) for task in range(N)], [float(task % 5 == 0) for task in range(N)]
    assert found == rate_difference(*flags).estimate()
    assert rate_of(one, any_missing).estimate().value == 1


def test_rates_of_repeated_tasks_are_over_tasks() -> None:
    one = [
        make(100 + task, r, model="a", lost_errors=int(task % 3 < r))
        for task in range(N)
        for r in range(2)
    ]
    other = [make(100 + task, r, model="b", lost_errors=0) for task in range(N) for r in range(2)]
    found = rate_contrast(one, other, any_lost).estimate()
    shares = [(task % 3 < 1) / 2 for task in range(N)]
    assert found.value == pytest.approx(sum(shares) / N)
    assert rate_of(one, any_lost).estimate().n == N
    none = rate_contrast(other, other, any_lost).estimate()
    assert none.value == 0
    assert none.low == pytest.approx(-(none.high or 0))


def test_score_per_1k_is_a_ratio_of_sums_and_compares_by_its_ratio() -> None:
    one = [
        make(100 + task, model="a", score=0.5 + task / 60, total_tokens=800 + task)
        for task in range(N)
    ]
    other = [
        make(100 + task, model="b", score=0.6, total_tokens=900 - 9 * task) for task in range(N)
    ]
    columns: list[list[float | None]] = [
        [0.5 + task / 60 for task in range(N)], [800 + task for task in range(N)],
        [0.6] * N, [900 - 9 * task for task in range(N)],
    ]  # fmt: skip
    assert score_per_1k(one).estimate() == ratio_of_sums(columns[0], columns[1], scale=1_000)
    assert score_per_1k_ratio(one, other).estimate() == ratio_of_ratios(columns).estimate()
    assert value(score_per_1k_ratio(one, other)) == pytest.approx(
        value(score_per_1k(one)) / value(score_per_1k(other))
    )


def test_the_relative_difference_weighs_as_the_relative_score_of_a_cell() -> None:
    def played(model: str, scores: list[float]) -> list[Brief]:
        return [
            make(
                100 + task, model=model, score=score, floor_score=0.5,
                reference_score=0.7 + 0.01 * task,
                relative_score=None if task == 3 else 0.0,
            )
            for task, score in enumerate(scores)
        ]  # fmt: skip

    found = relative_difference(played("a", SCORES["pp"]), played("b", SCORES["ps"]))
    kept = [task for task in range(N) if task != 3]
    above = sum(SCORES["pp"][task] - SCORES["ps"][task] for task in kept)
    assert value(found) == pytest.approx(above / sum(0.2 + 0.01 * task for task in kept))
    assert found.estimate().n == N - 1


def test_the_four_cells_are_found_by_what_the_models_were_trained_under() -> None:
    cells = four()
    rows = [row for one in (cells.ss, cells.pp, cells.sp, cells.ps) for row in one]
    assert four_cells(rows) == cells
    again = [make(100, model="m-persistent-2", trained_under="persistent", contract="persistent")]
    with pytest.raises(UsageError, match="2 models were trained under persistent"):
        four_cells([*rows, *again])
    assert four_cells([*rows, *again], ("m-persistent", "m-stateless")) == cells
    with pytest.raises(UsageError, match=r"0 models were trained under stateless \(none\)"):
        four_cells(cells.pp)
