"""Tasks: the same bytes anywhere, the published figures, no instance in two splits."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from okrt.families.opaque_knapsack import OpaqueKnapsack, generate
from okrt.families.opaque_knapsack.generate import TIERS, Tier, draw_instance
from okrt.families.opaque_knapsack.instance import Instance, from_task
from okrt.families.opaque_knapsack.optimum import solve
from okrt.types import Split, Task, TaskFamily

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))
ROOT = Path(__file__).parents[3]
FAMILY: TaskFamily = OpaqueKnapsack()
PUBLISHED = {  # items, weight, value, classes, allowed, ratio
    "easy": ((25, 40), (5, 20), (10, 100), 15, 3, (0.35, 0.50)),
    "medium": ((40, 65), (5, 35), (10, 300), 26, 4, (0.35, 0.50)),
    "hard": ((80, 120), (5, 50), (10, 500), 26, 5, (0.40, 0.60)),
}


def tasks(tier: str, count: int = 60, split: Split = "eval") -> list[Task]:
    return [FAMILY.task(seed, tier, split) for seed in range(count)]


def instances(tier: str, count: int = 60) -> list[Instance]:
    return [from_task(task) for task in tasks(tier, count)]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_bytes_in_a_new_process_under_any_hash_seed(hash_seed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.families.golden", "opaque_knapsack"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    )
    assert json.loads(run.stdout) == GOLDEN


def test_golden_table_holds_twenty_tasks_a_tier() -> None:
    tiers = ("micro", "easy", "medium", "hard")
    assert list(GOLDEN) == [f"opaque_knapsack/{t}/eval/{s}@1" for t in tiers for s in range(20)]


@pytest.mark.parametrize("tier", TIERS)
def test_no_instance_is_shared_by_seeds_or_splits(tier: str) -> None:
    splits: tuple[Split, ...] = ("eval", "train", "val")
    drawn = [task for split in splits for task in tasks(tier, 100, split)]
    assert len({task.id for task in drawn}) == 300
    assert len({tuple(item.id for item in from_task(task).items) for task in drawn}) == 300


@pytest.mark.parametrize("tier", PUBLISHED)
def test_published_tiers_have_the_published_figures(tier: str) -> None:
    items, weight, value, classes, allowed, ratio = PUBLISHED[tier]
    for instance in instances(tier):
        assert items[0] <= len(instance.items) <= items[1]
        assert all(weight[0] <= item.weight <= weight[1] for item in instance.items)
        assert all(value[0] <= item.value <= value[1] for item in instance.items)
        assert all(re.fullmatch("item_[0-9a-f]{12}", item.id) for item in instance.items)
        assert len({item.letter for item in instance.items}) <= classes
        assert len(instance.allowed) == allowed
        total = sum(item.weight for item in instance.allowed_items)
        assert ratio[0] * total - 1 < instance.capacity <= ratio[1] * total
        best = solve_allowed(instance)
        assert len(instance.allowed_items) >= 5
        assert len(best) >= 3
        assert max(best) * 10 <= instance.optimum * 4
        mean_weight = Fraction(weight[0] + weight[1], 2)
        search = Fraction(3, 2) * instance.capacity / mean_weight / Fraction(allowed, classes)
        wanted = math.ceil(max(search, Fraction(11, 10) * len(best)))
        assert instance.budget == min(max(wanted, 5), len(instance.items))


def solve_allowed(instance: Instance) -> list[int]:
    """Returns the values of the optimum's items, and checks their sum."""
    allowed = instance.allowed_items
    best = solve([i.weight for i in allowed], [i.value for i in allowed], instance.capacity)
    assert best.value == instance.optimum
    return [allowed[index].value for index in best.chosen]


def test_micro_has_the_figures_of_the_issue() -> None:
    for task, instance in zip(tasks("micro"), instances("micro"), strict=True):
        count = len(instance.items)
        assert task.tool_cap == 6
        assert 8 <= count <= 14
        assert all(re.fullmatch("item_[0-9a-f]{4}", item.id) for item in instance.items)
        assert all(5 <= item.weight <= 20 for item in instance.items)
        assert all(10 <= item.value <= 100 for item in instance.items)
        assert len({item.letter for item in instance.items}) <= 5
        assert len(instance.allowed) in (2, 3)
        total = sum(item.weight for item in instance.allowed_items)
        assert instance.capacity == 20 or 0.35 * total - 1 < instance.capacity <= 0.5 * total
        assert instance.capacity >= 20
        assert instance.budget == math.ceil(0.75 * count)
        assert len(instance.allowed_items) >= 3
        assert len(solve_allowed(instance)) >= 2


@pytest.mark.parametrize("tier", TIERS)
def test_every_end_of_a_range_is_drawn(tier: str) -> None:
    drawn = [item for instance in instances(tier) for item in instance.items]
    assert (min(i.weight for i in drawn), max(i.weight for i in drawn)) == TIERS[tier].weight
    letters = {item.letter for item in drawn}
    assert letters == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@pytest.mark.parametrize("tier", TIERS)
def test_list_order_says_nothing_about_value(tier: str) -> None:
    halves = [0, 0]
    for instance in instances(tier, 100):
        middle = len(instance.items) // 2
        halves[0] += sum(item.value for item in instance.items[:middle])
        halves[1] += sum(item.value for item in instance.items[-middle:])
    assert abs(halves[0] / halves[1] - 1) < 0.08


def test_prompt_tells_what_it_must_and_no_more() -> None:
    task = FAMILY.task(17, "easy")
    instance = from_task(task)
    letters = ", ".join(sorted({item.letter for item in instance.items}))
    assert f"\nCapacity: {instance.capacity}\n" in task.prompt
    assert f"\nInspection budget: {instance.budget}\n" in task.prompt
    assert f"\nClasses that occur: {letters}\n" in task.prompt
    for tool in FAMILY.environment(task).tools:
        assert f"\n- {tool}(" in task.prompt
    assert not any(item.id in task.prompt for item in instance.items)
    assert str(instance.optimum) not in task.prompt
    for word in ("persist", "stateless", "variable", " turns", "fresh", "tool calls"):
        assert word not in task.prompt


@pytest.mark.parametrize("tier", TIERS)
def test_prompts_of_a_tier_differ_in_their_three_figures_alone(tier: str) -> None:
    figures = re.compile(r"(Capacity|Inspection budget|Classes that occur): .*")
    assert len({figures.sub("", task.prompt) for task in tasks(tier, 10)}) == 1


def test_private_data_is_json() -> None:
    task = FAMILY.task(0, "micro")
    assert json.loads(json.dumps(task.private)) == task.private
    assert set(task.private) == {"items", "allowed", "capacity", "budget", "optimum"}
    assert set(task.private["items"][0]) == {"id", "class", "value", "weight"}


@pytest.mark.parametrize(
    ("seed", "tier", "split", "told"),
    [(0, "huge", "eval", "'huge'"), (-1, "easy", "eval", "-1"), (0, "easy", "test", "'test'")],
)
def test_bad_arguments_are_named(seed: int, tier: str, split: Split, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FAMILY.task(seed, tier, split)


LONELY = Tier((4, 4), (5, 9), (10, 20), (26, 26), (1, 1), (0.5, 0.5), min_capacity=20,
              min_allowed_items=1, min_optimum_items=1, max_value_share=1.0)  # fmt: skip


def test_one_allowed_item_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "MAX_DRAWS", 1)
    for seed in range(50):
        assert draw_instance(Random(f"lonely/{seed}"), LONELY).allowed_items


def test_a_tier_that_cannot_be_met_raises() -> None:
    with pytest.raises(ValueError, match="200"):
        draw_instance(Random("never"), dataclasses.replace(LONELY, min_allowed_items=5))


def test_budget_is_clamped_and_follows_the_larger_need() -> None:
    def budget(items: int, capacity: int, optimum_items: int) -> int:
        return generate._budget(TIERS["easy"], items, 15, 3, capacity, optimum_items)

    assert budget(40, capacity=34, optimum_items=4) == 21  # 1.5 * 34 / 12.5 * 5 = 20.4
    assert budget(40, capacity=5, optimum_items=9) == 10
    assert budget(40, capacity=5, optimum_items=3) == 5
    assert budget(25, capacity=60, optimum_items=4) == 25


def test_the_tiers_of_the_docs_are_those_of_the_code() -> None:
    def span(ends: tuple[float, float]) -> str:
        return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g}–{ends[1]:g}"  # noqa: RUF001

    page = (ROOT / "docs" / "families.md").read_text("utf-8")
    for name, tier in TIERS.items():
        line = (
            f"| {name} | {span(tier.items)} | {span(tier.classes)}, {span(tier.allowed)} | "
            f"{span(tier.ratio)} | {tier.tool_cap} |"
        )
        assert line in page
