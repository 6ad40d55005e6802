from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from okrt.analysis.cells import Cell, Table, tables
from okrt.analysis.rows import Row, row
from okrt.analysis.stats import mean_interval, rate_interval, ratio_of_sums
from okrt.types import Failure
from tests.analysis.build import sample

SAMPLE = row(sample())


def make(seed: int = 0, repeat: int = 0, **changes: object) -> Row:
    """The sample's row as that of another task, with some fields changed."""
    changed = replace(
        SAMPLE,
        episode_id=f"{seed:04d}-{repeat}-{'-'.join(map(str, changes.values()))}",
        task_id=f"opaque_knapsack/easy/eval/{seed}@1",
        seed=seed,
        repeat=repeat,
    )
    return replace(changed, **changes)  # type: ignore[arg-type]  # any field, by name


def only_cell(rows: Sequence[Row]) -> Cell:
    ((cell,),) = (table.cells.values() for table in tables(rows))
    return cell


def keys(found: Sequence[Table]) -> list[tuple[str, str, dict[str, object]]]:
    return [(table.family, table.tier, dict(table.axes)) for table in found]


def test_a_table_holds_one_family_and_tier() -> None:
    rows = [make(0, tier="hard"), make(1), make(2, family="another"), make(3)]
    assert keys(tables(rows)) == [
        ("another", "easy", {}),
        ("opaque_knapsack", "easy", {}),
        ("opaque_knapsack", "hard", {}),
    ]


def test_an_axis_makes_tables_only_where_it_varies_within_the_tier() -> None:
    rows = [
        make(0, tool_cap=80),
        make(0, tool_cap=25),
        make(0, tool_cap=6, tier="micro"),
        make(1, tool_cap=25, names=True),
        make(1, tool_cap=25, cue="true"),
    ]
    assert keys(tables(rows)) == [
        ("opaque_knapsack", "easy", {"cue": "none", "names": False, "tool_cap": 25}),
        ("opaque_knapsack", "easy", {"cue": "none", "names": False, "tool_cap": 80}),
        ("opaque_knapsack", "easy", {"cue": "none", "names": True, "tool_cap": 25}),
        ("opaque_knapsack", "easy", {"cue": "true", "names": False, "tool_cap": 25}),
        ("opaque_knapsack", "micro", {}),
    ]


def test_cells_are_by_model_and_contract() -> None:
    rows = [
        make(seed, model=model, contract=contract, score=score)
        for seed in range(3)
        for model, contract, score in (("b", "stateless", 0.2), ("a", "persistent", 0.4))
    ]
    (table,) = tables(rows)
    assert (table.models, table.contracts) == (["a", "b"], ["persistent", "stateless"])
    assert list(table.cells) == [("a", "persistent"), ("b", "stateless")]
    assert table.cells["a", "persistent"].score.value == pytest.approx(0.4)
    assert table.cells["b", "stateless"].n == 3


def test_the_order_of_the_rows_makes_no_difference() -> None:
    rows = [make(seed, score=seed / 7, contract=c) for seed in range(7) for c in ("x", "y")]
    shuffled = rows.copy()
    random.Random("order").shuffle(shuffled)
    assert tables(shuffled) == tables(rows)


def test_failures_are_counted_and_enter_no_figure() -> None:
    failure = Failure("model", "Timeout", "no answer")
    broken = make(
        9, score=None, solved=None, relative_score=None, turns=None, total_tokens=None,
        lost_errors=None, missing_variable_errors=None, ending=None, failure=failure,
    )  # fmt: skip
    cell, without = only_cell([make(0), make(1), broken]), only_cell([make(0), make(1)])
    assert (cell.n, cell.tasks, cell.failures) == (2, 2, 1)
    assert replace(cell, failures=0) == without


def test_a_cell_of_failures_alone_has_no_figure() -> None:
    cell = only_cell([make(0, score=None, failure=Failure("model", "E", "m"))])
    assert (cell.n, cell.failures) == (0, 1)
    assert (cell.score.value, cell.lost_rate.value, cell.score_per_1k.value) == (None, None, None)
    assert (cell.total_tokens, cell.turns, cell.censored_share) == (None, None, None)
    assert not cell.at_least


def test_estimates_are_over_tasks() -> None:
    scores = [0.2, 0.9, 0.4, 0.7]
    tokens = [1_000, 4_000, 2_000, 9_000]
    rows = [
        make(seed, score=score, total_tokens=total, solved=score > 0.8, lost_errors=seed % 2)
        for seed, (score, total) in enumerate(zip(scores, tokens, strict=True))
    ]
    cell = only_cell(rows)
    assert cell.score == mean_interval(scores)
    assert cell.solved == rate_interval(1, 4)
    assert cell.lost_rate == rate_interval(2, 4)
    assert cell.missing_variable_rate == rate_interval(4, 4)
    assert cell.total_tokens == 4_000
    assert cell.score_per_1k == ratio_of_sums(scores, tokens, scale=1_000)
    assert cell.score_per_1k.value == pytest.approx(1_000 * sum(scores) / sum(tokens))


def test_an_episode_counts_once_however_often_it_misses() -> None:
    rows = [make(0, missing_variable_errors=5, lost_errors=4), make(1, missing_variable_errors=0)]
    cell = only_cell([rows[0], replace(rows[1], lost_errors=0)])
    assert (cell.missing_variable_rate.value, cell.lost_rate.value) == (0.5, 0.5)


def test_repeats_of_a_task_are_averaged_before_the_interval() -> None:
    rows = [
        make(seed, repeat, score=(seed + repeat) / 4, lost_errors=repeat, total_tokens=100)
        for seed in range(3)
        for repeat in range(2)
    ]
    cell = only_cell(rows)
    assert (cell.n, cell.tasks) == (6, 3)
    assert cell.score == mean_interval([0.125, 0.375, 0.625])
    assert (cell.lost_rate.value, cell.lost_rate.n) == (0.5, 3)
    assert cell.lost_rate.method.startswith("Korn-Graubard")
    assert cell.score_per_1k == ratio_of_sums([0.25, 0.75, 1.25], [200, 200, 200], scale=1_000)


def test_what_one_episode_did_not_measure_has_no_mean() -> None:
    cell = only_cell([make(0), make(1, total_tokens=None)])
    assert cell.total_tokens is None
    assert cell.completion_tokens == SAMPLE.completion_tokens
    assert cell.score_per_1k.n == 1


def test_relative_score_is_over_the_tasks_that_have_one() -> None:
    cell = only_cell([make(0, relative_score=None), make(1, score=0.7)])
    assert (cell.relative_score.value, cell.relative_score.n) == (0.0, 1)


def test_relative_score_is_a_ratio_of_sums_over_tasks() -> None:
    rows = [
        make(0, score=0.8, floor_score=0.70, reference_score=0.71, relative_score=10.0),
        make(1, score=0.8, floor_score=0.60, reference_score=0.99, relative_score=0.51),
    ]
    cell = only_cell(rows)
    assert cell.relative_score.value == pytest.approx((0.1 + 0.2) / (0.01 + 0.39))


@pytest.mark.parametrize("ending", ["max_turns", "context", "token_budget"])
def test_a_cell_says_which_share_was_ended_by_a_limit(ending: str) -> None:
    rows = [make(seed, ending=ending if seed == 0 else "finished") for seed in range(20)]
    cell = only_cell(rows)
    assert (cell.censored_share, cell.at_least) == (0.05, False)
    assert only_cell(rows[:19]).at_least


def test_tokenizers_are_those_that_counted() -> None:
    rows = [
        make(0, model="a"),
        make(0, model="b", tokenizer="other"),
        make(0, model="c", tokenizer="unused", total_tokens=None),
    ]
    (table,) = tables(rows)
    assert table.tokenizers == ["other", "simple/1"]


def test_no_rows_make_no_tables() -> None:
    assert tables([]) == []
