"""One ledger being audited: the tools, and the judgement of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from okrt.errors import ToolError
from okrt.families.ledger_audit.instance import Answer, Instance, from_task, right_parts
from okrt.families.ledger_audit.reference import FLOOR, reference_score
from okrt.types import Outcome, Task


class LedgerAuditEnvironment:
    """Holds the tables and the answer; the agent reaches them through the tools alone."""

    def __init__(self, task: Task) -> None:
        """Raises: FamilyError where the task's private data is not this family's."""
        self._instance: Instance = from_task(task)
        self._contacts = {account.id: account.contact for account in self._instance.accounts}
        self._tables: dict[str, list[dict[str, Any]]] = {
            "accounts": [{"account": a.id, "region": a.region} for a in self._instance.accounts],
            "entries": [
                {"account": e.account, "kind": e.kind, "amount": e.amount}
                for e in self._instance.entries
            ],
        }
        self._reads: list[tuple[str, int]] = []
        self._answer: Answer | None = None
        self._finished = False

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "rows": self.rows,
            "contact": self.contact,
            "submit": self.submit,
            "finish": self.finish,
        }

    @property
    def finished(self) -> bool:
        return self._finished

    def rows(self, table: str, start: int) -> str:
        """Returns the rows from number `start` on, as many as are shown at a time.

        Raises:
            ToolError: there is no such table or row, the budget is spent, or the task is finished.
        """
        self._check_open()
        if not isinstance(table, str) or table not in self._tables:
            raise ToolError(f"unknown table {_shown(table)}; known: accounts, entries")
        found = self._tables[table]
        if type(start) is not int or not 0 <= start < len(found):
            raise ToolError(f"no row {_shown(start)}; {table} has 0 to {len(found) - 1}")
        self._charge(table, start)
        return json.dumps(found[start : start + self._instance.page])

    def contact(self, account: str) -> str:
        """Returns the contact of an account.

        Raises:
            ToolError: there is no such account, the budget is spent, or the task is finished.
        """
        self._check_open()
        if not isinstance(account, str) or account not in self._contacts:
            raise ToolError(f"unknown account {_shown(account)}")
        self._charge(account, 0)
        return json.dumps({"contact": self._contacts[account]})

    def submit(self, answer: dict[str, Any]) -> str:
        """Takes the answer. One that is refused may be mended.

        Raises:
            ToolError: it has other parts than the three, or of another type; an answer was taken
                already; or the task is finished.
        """
        self._check_open()
        if self._answer is not None:
            raise ToolError("an answer was submitted already")
        try:
            self._answer = msgspec.convert(answer, Answer)
        except msgspec.ValidationError:
            raise ToolError(
                'an answer is {"total": a whole number, "account": an id, "contact": an id}'
            ) from None
        return "submitted"

    def finish(self) -> str:
        """Ends the task. Raises: ToolError the second time."""
        self._check_open()
        self._finished = True
        return "finished"

    def outcome(self) -> Outcome:
        right = (
            dict.fromkeys(("total", "account", "contact"), False)
            if self._answer is None
            else right_parts(self._answer, self._instance.answer)
        )
        return Outcome(
            score=sum(right.values()) / 3,
            solved=all(right.values()),
            metrics={
                "floor_score": FLOOR,
                "reference_score": reference_score(self._instance),
                **{f"{part}_right": float(is_right) for part, is_right in right.items()},
                "submitted": float(self._answer is not None),
                "reads": len(self._reads),
                "repeated_reads": len(self._reads) - len(set(self._reads)),
                "pages": self._instance.pages,
                "budget": self._instance.budget,
            },
        )

    def _charge(self, table: str, start: int) -> None:
        if len(self._reads) >= self._instance.budget:
            raise ToolError(f"the reading budget of {self._instance.budget} is spent")
        self._reads.append((table, start))

    def _check_open(self) -> None:
        if self._finished:
            raise ToolError("the task is finished")


def _shown(value: object) -> str:
    """Returns the value, cut; ASCII, for hostile text may hold what no wire can carry."""
    return ascii(value)[:40]
