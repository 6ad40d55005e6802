"""The environment: what each tool answers and charges, and that no play beats the optimum."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.errors import FamilyError, ToolError
from okrt.families.opaque_knapsack import OpaqueKnapsack
from okrt.families.opaque_knapsack.generate import TIERS
from okrt.families.opaque_knapsack.instance import Instance, from_task
from okrt.families.opaque_knapsack.optimum import solve
from okrt.types import Environment

FAMILY = OpaqueKnapsack()
TASK = FAMILY.task(5, "easy")
INSTANCE = from_task(TASK)
ALLOWED = sorted(INSTANCE.allowed_items, key=lambda item: item.weight)
FORBIDDEN = [item for item in INSTANCE.items if item.letter not in INSTANCE.allowed]
HOSTILE: list[Any] = [
    None, True, 0, 1.5, [], ["item"], {}, {"item_id": "x"}, [[[[]]]], "", "item_", "x" * 10**6,
    "\ud800", "\0", "item_\n", "__class__",
]  # fmt: skip


def play(environment: Environment, tool: str, *args: Any) -> Any:
    return json.loads(environment.tools[tool](*args))


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
        "list_items": [], "inspect": ["item_id"], "take_item": ["item_id"], "finish": [],
    }  # fmt: skip


def test_list_items_shows_the_ids_in_order() -> None:
    listed = play(FAMILY.environment(TASK), "list_items")
    assert listed == [item.id for item in INSTANCE.items]


def test_inspect_shows_the_item_and_is_charged_once() -> None:
    environment = FAMILY.environment(TASK)
    first, *others = INSTANCE.items
    for _ in range(3):
        answer = play(environment, "inspect", first.id)
        assert answer == {"class": first.letter, "value": first.value, "weight": first.weight}
    assert environment.outcome().metrics["inspected"] == 1
    for item in others[: INSTANCE.budget - 1]:
        play(environment, "inspect", item.id)
    assert "budget" in refused(environment, "inspect", others[INSTANCE.budget - 1].id)
    assert play(environment, "inspect", first.id)["value"] == first.value
    assert environment.outcome().metrics["inspected"] == INSTANCE.budget


def test_take_item_tells_the_capacity_left() -> None:
    environment = FAMILY.environment(TASK)
    item = ALLOWED[0]
    left = INSTANCE.capacity - item.weight
    assert play(environment, "take_item", item.id) == {"taken": item.id, "capacity_left": left}
    outcome = environment.outcome()
    assert outcome.score == item.value / INSTANCE.optimum
    assert (outcome.metrics["taken"], outcome.metrics["capacity_left"]) == (1, left)


def test_refused_takes_cost_nothing() -> None:
    environment = FAMILY.environment(TASK)
    play(environment, "take_item", ALLOWED[0].id)
    assert "already" in refused(environment, "take_item", ALLOWED[0].id)
    for item in FORBIDDEN:
        assert "class" in refused(environment, "take_item", item.id)
    heavy = 0
    for item in ALLOWED[1:]:
        if item.weight <= (environment.outcome().metrics["capacity_left"] or 0):
            play(environment, "take_item", item.id)
        else:
            assert "too heavy" in refused(environment, "take_item", item.id)
            heavy += 1
    assert heavy > 0


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_an_item_fits_down_to_the_last_unit(spare: int, fits: bool) -> None:
    item = ALLOWED[-1]
    private = {**TASK.private, "capacity": item.weight + spare}
    environment = FAMILY.environment(dataclasses.replace(TASK, private=private))
    if fits:
        assert play(environment, "take_item", item.id)["capacity_left"] == 0
    else:
        assert "too heavy" in refused(environment, "take_item", item.id)


@pytest.mark.parametrize("tool", ["inspect", "take_item"])
@pytest.mark.parametrize("argument", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_hostile_arguments_are_refused_cleanly(tool: str, argument: Any) -> None:
    message = refused(FAMILY.environment(TASK), tool, argument)
    assert len(message.encode()) < 400


@settings(deadline=None, max_examples=30)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_any_json_argument_is_refused_cleanly(argument: Any) -> None:
    environment = FAMILY.environment(TASK)
    for tool in ("inspect", "take_item"):
        refused(environment, tool, argument)


def test_after_finish_every_tool_refuses() -> None:
    environment = FAMILY.environment(TASK)
    assert not environment.finished
    environment.tools["finish"]()
    assert environment.finished
    item = ALLOWED[0].id
    calls = {"list_items": (), "inspect": (item,), "take_item": (item,), "finish": ()}
    assert set(calls) == set(environment.tools)
    for tool, args in calls.items():
        assert "finished" in refused(environment, tool, *args)


def test_solved_is_the_optimum_exactly() -> None:
    environment = FAMILY.environment(TASK)
    assert not environment.outcome().solved
    weights, values = [i.weight for i in ALLOWED], [i.value for i in ALLOWED]
    for index in solve(weights, values, INSTANCE.capacity).chosen:
        play(environment, "take_item", ALLOWED[index].id)
    outcome = environment.outcome()
    assert (outcome.score, outcome.solved) == (1.0, True)


def test_selection_score_is_over_what_was_inspected() -> None:
    environment = FAMILY.environment(TASK)
    light, other, *_ = ALLOWED
    assert environment.outcome().metrics["selection_score"] is None
    play(environment, "inspect", FORBIDDEN[0].id)
    assert environment.outcome().metrics["selection_score"] is None
    play(environment, "inspect", light.id)
    assert environment.outcome().metrics["selection_score"] == 0.0
    play(environment, "inspect", other.id)
    play(environment, "take_item", light.id)
    best = light.value + other.value
    assert light.weight + other.weight <= INSTANCE.capacity
    assert environment.outcome().metrics["selection_score"] == light.value / best


@settings(deadline=None)
@given(st.sampled_from(list(TIERS)), st.integers(0, 30), st.data())
def test_no_play_beats_the_optimum(tier: str, seed: int, data: st.DataObject) -> None:
    task = FAMILY.task(seed, tier)
    instance = from_task(task)
    environment = FAMILY.environment(task)
    ids = st.sampled_from([item.id for item in instance.items])
    for item_id in data.draw(st.lists(ids, max_size=60)):
        tool = environment.tools[data.draw(st.sampled_from(["take_item", "take_item", "inspect"]))]
        try:
            tool(item_id)
        except ToolError:
            continue
    check(environment, instance)


def check(environment: Environment, instance: Instance) -> None:
    outcome = environment.outcome()
    metrics = {name: value or 0 for name, value in outcome.metrics.items()}
    assert 0.0 <= outcome.score <= 1.0
    assert outcome.solved == (metrics["value"] == instance.optimum)
    assert metrics["capacity_left"] >= 0
    assert metrics["inspected"] <= instance.budget
    assert all(isinstance(value, (int, float)) for value in metrics.values())


@pytest.mark.parametrize("private", [{}, {"items": 3}, {**TASK.private, "capacity": "many"}])
def test_foreign_private_data_is_a_family_error(private: dict[str, Any]) -> None:
    with pytest.raises(FamilyError, match="opaque_knapsack/easy/eval/5@1"):
        FAMILY.environment(dataclasses.replace(TASK, private=private))
