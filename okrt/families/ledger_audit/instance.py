"""The data behind one ledger: what the host knows and the agent must find out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from okrt.errors import FamilyError
from okrt.types import Task


class Account(msgspec.Struct, frozen=True):
    id: str
    region: str
    contact: str


class Entry(msgspec.Struct, frozen=True):
    account: str
    kind: str
    amount: int


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    total: int
    account: str
    contact: str


class Instance(msgspec.Struct, frozen=True):
    accounts: tuple[Account, ...]
    entries: tuple[Entry, ...]
    """Both in the order of the rows, which says nothing about the answer."""
    region: str
    kind: str
    """The entries asked about are of this kind, of accounts in this region."""
    page: int
    """Rows that one read shows."""
    budget: int
    """Calls of `rows` and `contact` that may be made, repeated ones counted again."""
    answer: Answer

    @property
    def pages(self) -> int:
        """Reads that show both tables once."""
        return -(-len(self.accounts) // self.page) + -(-len(self.entries) // self.page)


def totals_of(
    accounts: Iterable[Account], entries: Iterable[Entry], region: str, kind: str
) -> dict[str, int]:
    """Returns what the asked entries of each account in the region add up to; 0 where none is."""
    totals = {account.id: 0 for account in accounts if account.region == region}
    for entry in entries:
        if entry.kind == kind and entry.account in totals:
            totals[entry.account] += entry.amount
    return totals


def share_right(given: Answer, right: Answer) -> float:
    """Returns the share of the answer's three parts that is right."""
    return sum(right_parts(given, right).values()) / 3


def right_parts(given: Answer, right: Answer) -> dict[str, bool]:
    """Returns, by name, whether each part is right."""
    return {
        "total": given.total == right.total,
        "account": given.account == right.account,
        "contact": given.contact == right.contact,
    }


def to_private(instance: Instance) -> dict[str, Any]:
    """Returns the instance as JSON data, equal to itself after a round trip."""
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(instance))
    return data


def from_task(task: Task) -> Instance:
    """Returns the instance of a task.

    Raises:
        FamilyError: the private data is not that of a ledger.
    """
    try:
        return msgspec.convert(task.private, Instance)
    except msgspec.ValidationError as error:
        raise FamilyError(
            f"task {task.id}: its private data is no ledger ({error}); "
            "make the task again with LedgerAudit().task"
        ) from error
