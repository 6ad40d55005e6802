"""The environment: what each tool answers and charges, and how an answer is judged."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.errors import FamilyError, ToolError
from okrt.families.ledger_audit import LedgerAudit
from okrt.families.ledger_audit.instance import from_task
from okrt.types import Environment

FAMILY = LedgerAudit()
TASK = FAMILY.task(5, "easy")
INSTANCE = from_task(TASK)
RIGHT = {
    "total": INSTANCE.answer.total,
    "account": INSTANCE.answer.account,
    "contact": INSTANCE.answer.contact,
}
ACCOUNT = INSTANCE.accounts[0]


def refused(environment: Environment, tool: str, *args: Any) -> str:
    """Returns the message of the refusal, and checks that it changed nothing."""
    before = environment.outcome()
    with pytest.raises(ToolError) as caught:
        environment.tools[tool](*args)
    assert environment.outcome() == before
    return str(caught.value)


def test_tools_have_the_signatures_of_the_prompt() -> None:
    tools = FAMILY.environment(TASK).tools
    shown = {name: [*inspect.signature(tool).parameters] for name, tool in tools.items()}
    assert shown == {
        "rows": ["table", "start"], "contact": ["account"], "submit": ["answer"], "finish": [],
    }  # fmt: skip


def test_pages_show_each_table_whole_and_in_order() -> None:
    environment = FAMILY.environment(TASK)
    found: dict[str, list[dict[str, Any]]] = {}
    for table, size in (
        ("accounts", len(INSTANCE.accounts)),
        ("entries", len(INSTANCE.entries)),
    ):
        pages = [
            json.loads(environment.tools["rows"](table, n)) for n in range(0, size, INSTANCE.page)
        ]
        assert all(len(page) == INSTANCE.page for page in pages[:-1])
        found[table] = [row for page in pages for row in page]
    accounts = [{"account": a.id, "region": a.region} for a in INSTANCE.accounts]
    entries = [{"account": e.account, "kind": e.kind, "amount": e.amount} for e in INSTANCE.entries]
    assert found == {"accounts": accounts, "entries": entries}
    assert environment.outcome().metrics["reads"] == INSTANCE.pages
    assert environment.outcome().metrics["repeated_reads"] == 0


def test_every_read_is_charged_a_repeated_one_again() -> None:
    environment = FAMILY.environment(TASK)
    for _ in range(INSTANCE.budget - 1):
        environment.tools["rows"]("entries", 0)
    shown = json.loads(environment.tools["contact"](ACCOUNT.id))
    assert shown == {"contact": ACCOUNT.contact}
    for call in (("rows", "entries", 0), ("rows", "accounts", 5), ("contact", ACCOUNT.id)):
        assert "budget" in refused(environment, *call)
    metrics = environment.outcome().metrics
    assert metrics["reads"] == INSTANCE.budget
    assert metrics["repeated_reads"] == INSTANCE.budget - 2


@pytest.mark.parametrize(
    ("changes", "score"),
    [({}, 3), ({"total": 0}, 2), ({"account": "x"}, 2), ({"contact": "x"}, 2),
     ({"total": 0, "account": "x"}, 1), ({"total": 0, "account": "x", "contact": ""}, 0)],
)  # fmt: skip
def test_the_score_is_the_share_that_is_right(changes: dict[str, Any], score: int) -> None:
    environment = FAMILY.environment(TASK)
    assert environment.outcome().score == 0.0
    assert environment.tools["submit"]({**RIGHT, **changes}) == "submitted"
    outcome = environment.outcome()
    assert outcome.score == score / 3
    assert outcome.solved == (score == 3)
    right = [name for name in RIGHT if outcome.metrics[f"{name}_right"]]
    assert right == [name for name in RIGHT if name not in changes]


def test_an_answer_is_taken_once() -> None:
    environment = FAMILY.environment(TASK)
    environment.tools["submit"]({**RIGHT, "total": 0})
    assert "already" in refused(environment, "submit", RIGHT)


WRONG: list[Any] = [
    None, True, 7, "total", [], {}, {"total": 1}, [RIGHT], {**RIGHT, "more": 1},
    {**RIGHT, "total": "12"}, {**RIGHT, "total": True}, {**RIGHT, "total": 1.5},
    {**RIGHT, "account": 7}, {**RIGHT, "contact": None},
]  # fmt: skip


@pytest.mark.parametrize("answer", WRONG, ids=lambda value: ascii(value)[:30])
def test_an_answer_of_another_shape_is_refused_and_may_be_mended(answer: Any) -> None:
    environment = FAMILY.environment(TASK)
    assert "total" in refused(environment, "submit", answer)
    environment.tools["submit"](RIGHT)
    assert environment.outcome().solved


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=40)
@given(JSON, JSON)
def test_any_json_argument_is_refused_cleanly(one: Any, other: Any) -> None:
    environment = FAMILY.environment(TASK)
    for call in (("rows", one, other), ("rows", "entries", "0"), ("contact", one), ("submit", one)):
        assert len(refused(environment, *call).encode()) < 400
    size = len(INSTANCE.entries)
    for start in (-1, size, 10**30, True, 1.0, None):
        assert "no row" in refused(environment, "rows", "entries", start)


def test_after_finish_every_tool_refuses() -> None:
    environment = FAMILY.environment(TASK)
    assert not environment.finished
    environment.tools["finish"]()
    assert environment.finished
    calls = {"rows": ("entries", 0), "contact": (ACCOUNT.id,), "submit": (RIGHT,), "finish": ()}
    assert set(calls) == set(environment.tools)
    for tool, args in calls.items():
        assert "finished" in refused(environment, tool, *args)


@pytest.mark.parametrize("private", [{}, {"accounts": 3}, {**TASK.private, "budget": "many"}])
def test_foreign_private_data_is_a_family_error(private: dict[str, Any]) -> None:
    with pytest.raises(FamilyError, match="ledger_audit/easy/eval/5@1"):
        FAMILY.environment(dataclasses.replace(TASK, private=private))
