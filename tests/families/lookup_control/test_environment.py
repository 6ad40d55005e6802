"""The queue: what it shows, what it takes, how it is judged."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.errors import FamilyError, ToolError
from okrt.families.lookup_control import LookupControl
from okrt.families.lookup_control.generate import TIERS
from okrt.families.lookup_control.instance import Ticket, from_task
from okrt.types import Environment, Split

FAMILY = LookupControl()
TASK = FAMILY.task(5, "micro")
TICKETS = from_task(TASK).tickets


def refused(environment: Environment, tool: str, *args: Any) -> str:
    """Returns the message of the refusal, and checks that it changed nothing."""
    before = environment.outcome()
    with pytest.raises(ToolError) as caught:
        environment.tools[tool](*args)
    assert environment.outcome() == before
    return str(caught.value)


def by_hand(ticket: Ticket) -> int:
    """Returns what is sought, found by sorting and adding one by one."""
    if ticket.find == "sum":
        total = 0
        for number in ticket.numbers:
            total += number
        return total
    return sorted(ticket.numbers)[-1 if ticket.find == "largest" else 0]


def test_tools_have_the_signatures_of_the_prompt() -> None:
    tools = FAMILY.environment(TASK).tools
    shown = {name: [*inspect.signature(tool).parameters] for name, tool in tools.items()}
    assert shown == {"ticket": [], "record": ["id"], "answer": ["ticket", "value"], "finish": []}


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(list(TIERS)), st.integers(0, 10**6), st.sampled_from(["eval", "train", "val"])
)
def test_looking_each_up_answers_all(tier: str, seed: int, split: Split) -> None:
    task = FAMILY.task(seed, tier, split)
    environment = FAMILY.environment(task)
    tools = environment.tools
    assert environment.outcome().score == environment.outcome().metrics["floor_score"]
    for left, ticket in zip(
        range(len(from_task(task).tickets), 0, -1), from_task(task).tickets, strict=True
    ):
        shown = json.loads(tools["ticket"]())
        assert shown == {
            "left": left, "ticket": ticket.id, "record": ticket.record, "find": ticket.find,
        }  # fmt: skip
        assert json.loads(tools["record"](shown["record"])) == list(ticket.numbers)
        assert json.loads(tools["answer"](ticket.id, by_hand(ticket))) == {"left": left - 1}
    assert json.loads(tools["ticket"]()) == {"left": 0}
    assert environment.outcome().solved
    assert environment.outcome().score == environment.outcome().metrics["reference_score"]


@pytest.mark.parametrize("tier", TIERS)
def test_tiers_have_their_figures(tier: str) -> None:
    count, numbers, cap = {
        "micro": ((6, 9), 3, 6), "easy": ((20, 30), 4, 12), "hard": ((60, 90), 8, 12),
    }[tier]  # fmt: skip
    for seed in range(30):
        task = FAMILY.task(seed, tier)
        tickets = from_task(task).tickets
        assert count[0] <= len(tickets) <= count[1]
        assert task.tool_cap == cap
        assert f"a queue of {len(tickets)} tickets" in task.prompt
        assert all(len(ticket.numbers) == numbers for ticket in tickets)
        assert all(1 <= number <= 99 for ticket in tickets for number in ticket.numbers)


def test_the_score_is_the_share_answered_rightly_and_an_answer_is_final() -> None:
    environment = FAMILY.environment(TASK)
    first, second, *_ = TICKETS
    environment.tools["answer"](first.id, first.value + 1)
    assert "not the ticket" in refused(environment, "answer", first.id, first.value)
    assert environment.outcome().score == 0.0
    environment.tools["answer"](second.id, second.value)
    assert environment.outcome().score == 1 / len(TICKETS)
    assert environment.outcome().metrics["answered"] == 2


@pytest.mark.parametrize("value", [None, True, "7", 1.0, [], {}])
def test_an_answer_is_a_whole_number(value: Any) -> None:
    assert "whole number" in refused(FAMILY.environment(TASK), "answer", TICKETS[0].id, value)


@settings(deadline=None, max_examples=40)
@given(st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_any_argument_is_refused_cleanly(argument: Any) -> None:
    environment = FAMILY.environment(TASK)
    for call in (("record", argument), ("answer", argument, 1), ("answer", TICKETS[1].id, 1)):
        assert len(refused(environment, *call).encode()) < 200


def test_after_the_end_every_tool_refuses() -> None:
    environment = FAMILY.environment(TASK)
    for ticket in TICKETS:
        environment.tools["answer"](ticket.id, 0)
    assert "every ticket" in refused(environment, "answer", TICKETS[0].id, 0)
    assert environment.outcome().score == 0.0
    environment.tools["finish"]()
    assert environment.finished
    calls = {
        "ticket": (), "record": (TICKETS[0].record,), "answer": (TICKETS[0].id, 1), "finish": (),
    }  # fmt: skip
    assert set(calls) == set(environment.tools)
    for tool, args in calls.items():
        assert "finished" in refused(environment, tool, *args)


@pytest.mark.parametrize("private", [{}, {"tickets": 3}, {"tickets": [{"id": "x"}]}])
def test_foreign_private_data_is_a_family_error(private: dict[str, Any]) -> None:
    with pytest.raises(FamilyError, match="lookup_control/micro/eval/5@1"):
        FAMILY.environment(dataclasses.replace(TASK, private=private))
