"""Between which marks a score stands, by tier: `python benchmarks/scores.py`.

`floor` and `reference` are those of every row. `exact on seen` spends the whole budget on random
items and then solves exactly on what was seen, without blind takes: about the best that inspection
alone can do, mean of 10 draws a task. Source of the question: arXiv 2603.01209's public code, for
whose generator 0.873 (47% solved) on easy and 0.841 (18%) on hard were measured.
"""

from __future__ import annotations

import argparse
from random import Random
from statistics import fmean

from okrt.families.opaque_knapsack import OpaqueKnapsack
from okrt.families.opaque_knapsack.instance import from_task
from okrt.families.opaque_knapsack.optimum import solve
from okrt.types import Task

DRAWS = 10


def exact_on_seen(task: Task) -> list[float]:
    """Returns the score of each draw."""
    instance = from_task(task)
    allowed = set(instance.allowed)
    scores = []
    for draw in range(DRAWS):
        rng = Random(f"exact on seen/{task.id}/{draw}")
        seen = rng.sample(list(instance.items), min(instance.budget, len(instance.items)))
        usable = [item for item in seen if item.letter in allowed]
        best = solve(
            [item.weight for item in usable], [item.value for item in usable], instance.capacity
        )
        scores.append(best.value / instance.optimum)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/scores.py --tasks 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=100, help="tasks a tier (default: 100)")
    tasks = parser.parse_args().tasks
    family = OpaqueKnapsack()
    print(f"{tasks} tasks a tier, eval seeds from 0")
    print(f"{'tier':8} {'floor':>7} {'reference':>10} {'exact on seen':>14} {'solved on seen':>15}")
    for tier in family.tiers:
        made = [family.task(seed, tier) for seed in range(tasks)]
        marks = [family.environment(task).outcome().metrics for task in made]
        floor = fmean(m["floor_score"] or 0.0 for m in marks)
        reference = fmean(m["reference_score"] or 0.0 for m in marks)
        seen = [score for task in made for score in exact_on_seen(task)]
        solved = fmean(score == 1 for score in seen)
        print(f"{tier:8} {floor:7.3f} {reference:10.3f} {fmean(seen):14.3f} {solved:15.0%}")


if __name__ == "__main__":
    main()
