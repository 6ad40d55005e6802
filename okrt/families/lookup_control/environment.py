"""One queue of look-ups being worked off: the tools, and the judgement of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from okrt.errors import ToolError
from okrt.families.lookup_control.instance import Instance, from_task
from okrt.types import Outcome, Task

FLOOR, REFERENCE = 0.0, 1.0
"""Scores of answering 0 to every ticket, without a look (all numbers are at least 1), and of the
scripted play that looks each up: no budget keeps it from any."""


class LookupControlEnvironment:
    """Holds the records and keeps the place in the queue; the agent reaches it through the tools
    alone."""

    def __init__(self, task: Task) -> None:
        """Raises: FamilyError where the task's private data is not this family's."""
        self._instance: Instance = from_task(task)
        self._records = {ticket.record: ticket.numbers for ticket in self._instance.tickets}
        self._answers: list[int] = []
        self._finished = False

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "ticket": self.ticket,
            "record": self.record,
            "answer": self.answer,
            "finish": self.finish,
        }

    @property
    def finished(self) -> bool:
        return self._finished

    def ticket(self) -> str:
        """Returns the ticket to be answered next. Raises: ToolError after `finish`."""
        self._check_open()
        if not self._left:
            return json.dumps({"left": 0})
        now = self._instance.tickets[len(self._answers)]
        shown = {"left": self._left, "ticket": now.id, "record": now.record, "find": now.find}
        return json.dumps(shown)

    def record(self, id: str) -> str:
        """Returns the numbers of a record.

        Raises:
            ToolError: there is no such record, or the task is finished.
        """
        self._check_open()
        if not isinstance(id, str) or id not in self._records:
            raise ToolError(f"unknown record {ascii(id)[:40]}")
        return json.dumps(self._records[id])

    def answer(self, ticket: str, value: int) -> str:
        """Returns how many tickets are left.

        Raises:
            ToolError: the ticket is not the one to be answered next, the value is no whole number,
                or the task is finished.
        """
        self._check_open()
        if not self._left:
            raise ToolError("every ticket is answered")
        if ticket != self._instance.tickets[len(self._answers)].id:
            raise ToolError(f"{ascii(ticket)[:40]} is not the ticket to be answered next")
        if type(value) is not int:
            raise ToolError(f"an answer is a whole number, not {type(value).__name__}")
        self._answers.append(value)
        return json.dumps({"left": self._left})

    def finish(self) -> str:
        """Ends the task. Raises: ToolError the second time."""
        self._check_open()
        self._finished = True
        return "finished"

    def outcome(self) -> Outcome:
        tickets = self._instance.tickets
        answered = zip(self._answers, tickets, strict=False)  # the others are not answered yet
        right = sum(given == ticket.value for given, ticket in answered)
        return Outcome(
            score=right / len(tickets),
            solved=right == len(tickets),
            metrics={
                "floor_score": FLOOR,
                "reference_score": REFERENCE,
                "tickets": len(tickets),
                "answered": len(self._answers),
                "right": right,
            },
        )

    @property
    def _left(self) -> int:
        return len(self._instance.tickets) - len(self._answers)

    def _check_open(self) -> None:
        if self._finished:
            raise ToolError("the task is finished")
