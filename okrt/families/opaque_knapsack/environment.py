"""One Opaque Knapsack task being worked on: the tools, and the judgement of what was taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from okrt.errors import ToolError
from okrt.families.opaque_knapsack.instance import Instance, Item, from_task
from okrt.families.opaque_knapsack.optimum import solve
from okrt.families.opaque_knapsack.reference import floor_score, reference_score
from okrt.types import Outcome, Task


class OpaqueKnapsackEnvironment:
    """Holds the answers; the agent reaches it through the tools alone."""

    def __init__(self, task: Task) -> None:
        """Raises: FamilyError where the task's private data is not this family's."""
        self._seed = task.id
        self._instance: Instance = from_task(task)
        self._items = {item.id: item for item in self._instance.items}
        self._inspected: dict[str, Item] = {}
        self._taken: dict[str, Item] = {}
        self._finished = False

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "list_items": self.list_items,
            "inspect": self.inspect,
            "take_item": self.take_item,
            "finish": self.finish,
        }

    @property
    def finished(self) -> bool:
        return self._finished

    def list_items(self) -> str:
        """Returns the ids of all items. Raises: ToolError after `finish`."""
        self._check_open()
        return json.dumps(list(self._items))

    def inspect(self, item_id: str) -> str:
        """Returns class, value and weight; charged once per distinct item.

        Raises:
            ToolError: the id is unknown, the budget is spent, or the task is finished.
        """
        item = self._find(item_id)
        if item.id not in self._inspected:
            if len(self._inspected) >= self._instance.budget:
                raise ToolError(f"the inspection budget of {self._instance.budget} is spent")
            self._inspected[item.id] = item
        return json.dumps({"class": item.letter, "value": item.value, "weight": item.weight})

    def take_item(self, item_id: str) -> str:
        """Returns what was taken and the capacity left. A refused take changes nothing.

        Raises:
            ToolError: the id is unknown, the item is taken already, its class is not allowed, it
                weighs more than the capacity left, or the task is finished.
        """
        item = self._find(item_id)
        if item.id in self._taken:
            raise ToolError(f"{item.id} is taken already")
        if item.letter not in self._instance.allowed:
            raise ToolError(f"{item.id} is of a class that may not be taken")
        if item.weight > self._capacity_left:
            raise ToolError(f"{item.id} is too heavy for the capacity left")
        self._taken[item.id] = item
        return json.dumps({"taken": item.id, "capacity_left": self._capacity_left})

    def finish(self) -> str:
        """Ends the task. Raises: ToolError the second time."""
        self._check_open()
        self._finished = True
        return "finished"

    def outcome(self) -> Outcome:
        instance = self._instance
        value = sum(item.value for item in self._taken.values())
        return Outcome(
            score=value / instance.optimum,
            solved=value == instance.optimum,
            metrics={
                "floor_score": floor_score(instance, self._seed),
                "reference_score": reference_score(instance, self._seed),
                "selection_score": self._selection_score(value),
                "value": value,
                "optimum": instance.optimum,
                "items": len(instance.items),
                "inspected": len(self._inspected),
                "budget": instance.budget,
                "taken": len(self._taken),
                "capacity": instance.capacity,
                "capacity_left": self._capacity_left,
            },
        )

    @property
    def _capacity_left(self) -> int:
        return self._instance.capacity - sum(item.weight for item in self._taken.values())

    def _selection_score(self, value: int) -> float | None:
        """Returns the value taken over the best value within what was inspected.

        Above 1 where blind takes did better than the inspected items could. None where nothing was
        inspected that could have been taken.
        """
        seen = [i for i in self._inspected.values() if i.letter in self._instance.allowed]
        weights, values = [item.weight for item in seen], [item.value for item in seen]
        best = solve(weights, values, self._instance.capacity).value
        return value / best if best else None

    def _find(self, item_id: object) -> Item:
        self._check_open()
        if not isinstance(item_id, str):
            raise ToolError(f"an item id is a string, not {type(item_id).__name__}")
        if item_id not in self._items:
            # repr: hostile text may hold lone surrogates, which no wire can carry
            raise ToolError(f"unknown item {item_id[:40]!r}")
        return self._items[item_id]

    def _check_open(self) -> None:
        if self._finished:
            raise ToolError("the task is finished")
