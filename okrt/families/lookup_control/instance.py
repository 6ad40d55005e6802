"""The data behind one queue of look-ups: what the host knows and the agent must find out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from okrt.errors import FamilyError
from okrt.types import Task

Sought = Literal["sum", "largest", "smallest"]


class Ticket(msgspec.Struct, frozen=True):
    id: str
    find: Sought
    record: str
    numbers: tuple[int, ...]
    """What stands in the record."""

    @property
    def value(self) -> int:
        """The right answer."""
        if self.find == "sum":
            return sum(self.numbers)
        return max(self.numbers) if self.find == "largest" else min(self.numbers)


class Instance(msgspec.Struct, frozen=True):
    tickets: tuple[Ticket, ...]
    """In the order of the queue."""


def to_private(instance: Instance) -> dict[str, Any]:
    """Returns the instance as JSON data, equal to itself after a round trip."""
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(instance))
    return data


def from_task(task: Task) -> Instance:
    """Returns the instance of a task.

    Raises:
        FamilyError: the private data is not that of such a queue.
    """
    try:
        return msgspec.convert(task.private, Instance)
    except msgspec.ValidationError as error:
        raise FamilyError(
            f"task {task.id}: its private data is no queue of look-ups ({error}); "
            "make the task again with LookupControl().task"
        ) from error
