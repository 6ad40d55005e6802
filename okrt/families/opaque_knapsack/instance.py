"""The data behind one Opaque Knapsack task: what the host knows and the agent must find out."""

from __future__ import annotations

from typing import Any

import msgspec

from okrt.errors import FamilyError
from okrt.types import Task


class Item(msgspec.Struct, frozen=True):
    id: str
    letter: str = msgspec.field(name="class")
    value: int
    weight: int


class Instance(msgspec.Struct, frozen=True):
    items: tuple[Item, ...]
    """In the order that `list_items` shows, which says nothing about value."""
    allowed: tuple[str, ...]
    """The class letters that may be taken, sorted; one of them may occur on no item."""
    capacity: int
    budget: int
    """Distinct items that may be inspected."""
    optimum: int
    """The best total value of allowed items within the capacity."""

    @property
    def allowed_items(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.letter in self.allowed)


def to_private(instance: Instance) -> dict[str, Any]:
    """Returns the instance as JSON data, equal to itself after a round trip."""
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(instance))
    return data


def from_task(task: Task) -> Instance:
    """Returns the instance of a task.

    Raises:
        FamilyError: the private data is not that of an Opaque Knapsack task.
    """
    try:
        return msgspec.convert(task.private, Instance)
    except msgspec.ValidationError as error:
        raise FamilyError(
            f"task {task.id}: its private data is no Opaque Knapsack instance ({error}); "
            "make the task again with OpaqueKnapsack().task"
        ) from error
