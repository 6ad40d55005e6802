"""Digests of the first 20 tasks a tier, and their two marks, as JSON on standard output.

`NAME/golden.json` is what this printed when the family's `VERSION` was last raised:
`python -m tests.families.golden NAME > tests/families/NAME/golden.json`
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from okrt import specs
from okrt.types import Task


def digest(task: Task) -> str:
    text = json.dumps([task.id, task.prompt, task.private, task.tool_cap])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def golden(name: str) -> dict[str, Any]:
    family = specs.family(name)
    table: dict[str, Any] = {}
    for tier in family.tiers:
        for task in (family.task(seed, tier) for seed in range(20)):
            metrics = family.environment(task).outcome().metrics
            table[task.id] = [digest(task), metrics["floor_score"], metrics["reference_score"]]
    return table


if __name__ == "__main__":
    sys.stdout.write(json.dumps(golden(sys.argv[1]), indent=0) + "\n")
