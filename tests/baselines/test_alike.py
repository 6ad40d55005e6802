"""What keeps two runs from being compared is said line by line; what does not matter is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from okrt.analysis.brief import Brief
from okrt.baselines.alike import differences
from okrt.errors import StoreError
from okrt.types import Settings
from tests.baselines.build import RUN, N, cell, episode


def between(mine: list[Brief], theirs: list[Brief], cells: Any = None, **run: Any) -> list[str]:
    return differences({**RUN, **run}, mine, RUN, theirs, cells)


def test_the_same_tasks_and_settings_are_alike() -> None:
    mine = cell(model="new", trained_under="mixed", tokenizer="another", transcript_digest="x")
    assert between(mine, list(reversed(cell([0.1] * N)))) == []


def test_machine_versions_and_time_make_no_difference() -> None:
    assert between(cell(), cell(), machine={"cpus": 64}, versions={}, okrt="9", created="x") == []


@pytest.mark.parametrize(
    ("field", "mine", "theirs"),
    [
        ("temperature", 0.0, 0.2),
        ("max_turns", 8, 40),
        ("tool_cap", 6, 25),
        ("cue", "true", "none"),
        ("names", True, False),
        ("format", "code_tag", "fenced"),
        ("thinking", "keep", "off"),
        ("prompt_set", "coached", "matched"),
        ("prompt_digest", "aaaa", "5d41"),
    ],
)
def test_another_setting_of_a_row_is_named(field: str, mine: Any, theirs: Any) -> None:
    (line,) = between(cell(**{field: mine}), cell(**{field: theirs}))
    assert line == (
        f"stateless, opaque_knapsack/easy: {field}: {mine} here, {theirs} in the baseline"
    )


def test_packages_are_settings() -> None:
    (line,) = between(cell(packages=("numpy", "scipy")), cell())
    assert line.endswith("packages: numpy scipy here, none in the baseline")


@pytest.mark.parametrize(
    ("field", "value", "usual"),
    [
        ("max_new_tokens", 512, 2048),
        ("observation_chars", 100, 20_000),
        ("token_budget", 10_000, None),
        ("stop_repetition", 0, 512),
    ],
)
def test_so_is_one_that_rows_do_not_state(field: str, value: int, usual: Any) -> None:
    settings = {**msgspec.to_builtins(Settings()), field: value}
    (line,) = between(cell(), cell(), settings=settings)
    assert line == f"{field}: {value} here, {usual} in the baseline"
    del settings[field]  # a run of a version that had no such setting
    assert between(cell(), cell(), settings=settings) == []


def test_settings_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(StoreError, match="settings"):
        between(cell(), cell(), settings={"max_turns": "many"})


def test_a_mixed_cell_is_said_even_where_both_are_mixed_alike() -> None:
    mixed = [*cell(max_turns=8), *cell(max_turns=9)]
    (line,) = between(mixed, mixed)
    assert "max_turns: several values, 8, 9" in line


def test_tasks_that_are_missing_and_extra_are_counted_and_the_first_named() -> None:
    mine = [episode(seed) for seed in range(20) if seed != 7]
    theirs = [episode(seed) for seed in range(12)]
    missing, extra = between(mine, theirs)
    assert missing.endswith("tasks: 1 (opaque_knapsack/easy/eval/7@1) of the baseline missing here")
    assert "tasks: 8 (" in extra
    assert "eval/12@1, opaque_knapsack/easy/eval/13@1, opaque_knapsack/easy/eval/14@1, ...)" in (
        extra
    )
    assert extra.endswith("here that the baseline has not")


def test_tasks_that_infrastructure_broke_off_are_there() -> None:
    mine = [*cell()[1:], episode(0, score=None, failure=None)]
    assert between(mine, cell()) == []


def test_tasks_of_another_version_are_other_tasks() -> None:
    mine = [episode(s, task_id=f"opaque_knapsack/easy/eval/{s}@2") for s in range(3)]
    (line,) = between(mine, [episode(seed) for seed in range(3)])
    assert line.endswith("tasks: of version 2 here, 1 in the baseline")


def test_cells_are_looked_at_one_by_one_and_only_those_asked_for() -> None:
    mine = [*cell(), *cell(contract="persistent", max_turns=8), *cell(tier="hard")]
    theirs = [*cell(), *cell(contract="persistent")]
    assert between(mine, theirs) == [
        "persistent, opaque_knapsack/easy: max_turns: 8 here, 40 in the baseline",
        "stateless, opaque_knapsack/hard: the baseline has no such cell",
    ]
    assert between(mine, theirs, [("stateless", "easy")]) == []
    assert between(theirs, mine, [("stateless", "hard")]) == [
        "stateless, opaque_knapsack/hard: the run has no such cell"
    ]
    assert between(mine, theirs, [("files", "easy")]) == ["files, easy: neither has such a cell"]


def test_nothing_to_compare_is_alike_with_nothing() -> None:
    assert between([], []) == []
