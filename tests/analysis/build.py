"""Episodes built by hand, and strategies for any episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from okrt.types import (
    Completion,
    Cue,
    Ending,
    Episode,
    Execution,
    ExecutionStatus,
    Failure,
    ModelCard,
    Outcome,
    Settings,
    Task,
    ToolCall,
    Trajectory,
    Turn,
    Usage,
)

TASK = Task("opaque_knapsack", "easy", "eval", 17, 1, "Fill the knapsack.", {}, tool_cap=25)
CARD = ModelCard(
    "expert:persistent", "expert:persistent", "scripted", None, "persistent", "simple/1"
)
OUTCOME = Outcome(
    0.9, False, {"floor_score": 0.7, "reference_score": 0.95, "selection_score": 1.0, "taken": 9.0}
)


def call(name: str, *args: Any, error: str | None = None) -> ToolCall:
    return ToolCall(name, args, None if error else "{}", error)


def turn(
    code: str | None = "pass",
    *,
    execution: Execution | None = None,
    reply: str = "ok",
    observation: str = "(no output)",
    tokens: tuple[int | None, int | None] = (10, 5),
) -> Turn:
    """A turn whose block, if there is code, ran to its end unless told otherwise."""
    if code is not None and execution is None:
        execution = ran()
    usage = Usage(*tokens)
    return Turn(Completion(reply, "stop", usage), reply, code, execution, observation)


def ran(
    bound: Sequence[str] | None = (),
    carried: Sequence[str] | None = (),
    *calls: ToolCall,
    refused: int = 0,
    status: ExecutionStatus = "ok",
    error_type: str | None = None,
    restarted: bool = False,
) -> Execution:
    return Execution(
        status=status,
        error_type=error_type,
        calls=calls,
        refused_calls=refused,
        bound_names=None if bound is None else tuple(bound),
        carried_names=None if carried is None else tuple(carried),
        restarted=restarted,
    )


def missing(name: str | None, bound: Sequence[str] = (), *calls: ToolCall) -> Execution:
    """What a block does that an uncaught NameError ends."""
    return Execution(
        status="raised",
        error_type="NameError",
        error=f"NameError: name {name!r} is not defined",
        missing_name=name,
        calls=calls,
        bound_names=tuple(bound),
        carried_names=(),
    )


def episode(
    *turns: Turn,
    id: str = "0f3a",
    task: Task = TASK,
    repeat: int = 0,
    contract: str = "stateless",
    model: ModelCard = CARD,
    asked: Settings | None = None,
    outcome: Outcome | None = OUTCOME,
    ending: Ending = "finished",
    failure: Failure | None = None,
) -> Episode:
    broken = failure is not None
    return Episode(
        id=id,
        task=task,
        repeat=repeat,
        contract=contract,
        model=model,
        settings=asked or Settings(),
        prompt_digest="5d41",
        trajectory=None if broken else Trajectory(task.prompt, turns, ending),
        outcome=None if broken else outcome,
        failure=failure,
        timing={} if broken else {"wall_s": 0.25, "isolation": "process"},
    )


def reread(one: Episode) -> Episode:
    """The episode as it comes back from a file."""
    return msgspec.json.decode(msgspec.json.encode(one), type=Episode)


def sample() -> Episode:
    """A persistent expert in a stateless runtime: sets up, loses it, rebuilds, finishes."""
    setup = "import json\nseen = {i: json.loads(inspect(i)) for i in ids}\nprint(seen)"
    rebuild = "import json\nseen = {'item_1': 7}\nprint(inspect('item_1'))"
    inspected = (call("inspect", "item_1"), call("inspect", "item_2"))
    return episode(
        turn(
            setup,
            execution=ran(("json", "seen"), (), *inspected),
            reply=f"Look first.\n```python\n{setup}\n```",
            observation="{'item_1': 7, 'item_2': 9}",
            tokens=(100, 30),
        ),
        turn(
            "print(seen)",
            execution=missing("seen"),
            reply="```python\nprint(seen)\n```",
            observation="NameError: name 'seen' is not defined",
            tokens=(150, 10),
        ),
        turn(
            rebuild,
            execution=ran(("json", "seen"), (), call("inspect", "item_1"), refused=1),
            reply=f"It is gone.\n```python\n{rebuild}\n```",
            observation="7",
            tokens=(180, 40),
        ),
        turn(
            "take_item('item_1')\nfinish()",
            execution=ran(
                (), (), call("take_item", "item_1", error="ToolError: no"), call("finish")
            ),
            reply="```python\ntake_item('item_1')\nfinish()\n```",
            observation="",
            tokens=(230, 12),
        ),
    )


# -- strategies -----------------------------------------------------------------------------------

law = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""How laws over episodes are tried: a busy machine is no finding."""

NAMES = st.sampled_from(("a", "b", "items", "itemz", "look_up", "lookup", "inspect"))
_BLOCKS = st.sampled_from(
    (
        "",
        "pass",
        "a = 1",
        "items = [a for a in b]",
        "def look_up(): return items",
        "try:\n    items\nexcept NameError:\n    items = []",
        "import items as b",
        "((((",
        "\0",
    )
)
_COUNTS = st.none() | st.integers(0, 10_000)
_CALLS = st.builds(
    ToolCall,
    name=st.sampled_from(("inspect", "list_items", "finish")),
    args=st.lists(st.none() | st.integers(-9, 9) | st.text(max_size=2), max_size=2).map(tuple),
    result=st.none(),
    error=st.none() | st.just("ToolError: no"),
)
_LISTED = st.lists(NAMES, unique=True, max_size=4).map(lambda names: tuple(sorted(names)))


@st.composite
def executions(draw: st.DrawFn) -> Execution:
    status = draw(st.sampled_from(get_args(ExecutionStatus)))
    error_type = draw(st.sampled_from(("NameError", "UnboundLocalError", "KeyError", "ToolError")))
    raised = status == "raised"
    return Execution(
        status=status,
        error_type=error_type if raised else None,
        missing_name=draw(st.none() | NAMES) if raised and error_type == "NameError" else None,
        calls=tuple(draw(st.lists(_CALLS, max_size=4))),
        refused_calls=draw(st.integers(0, 3)),
        carried_names=draw(st.none() | _LISTED),
        bound_names=None if status in ("timeout", "died") else draw(_LISTED),
        restarted=draw(st.booleans()),
    )


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    code = draw(st.none() | _BLOCKS)
    return turn(
        code,
        execution=None if code is None else draw(executions()),
        reply=draw(st.text(max_size=20)),
        observation=draw(st.text(max_size=20)),
        tokens=(draw(_COUNTS), draw(_COUNTS)),
    )


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    share = st.floats(0, 1, allow_nan=False)
    metrics = {"floor_score": draw(st.none() | share), "reference_score": draw(st.none() | share)}
    broken = draw(st.none() | st.just(Failure("model", "TimeoutError", "no answer")))
    return episode(
        *draw(st.lists(turns(), max_size=6)),
        id=draw(st.text("0123456789abcdef", min_size=4, max_size=4)),
        task=Task("f", draw(st.sampled_from("ab")), "eval", draw(st.integers(0, 4)), 1, "p", {}, 6),
        contract=draw(st.sampled_from(("persistent", "stateless"))),
        model=draw(st.sampled_from((CARD, ModelCard("m|1", "dir", "local", tokenizer="abc")))),
        asked=Settings(cue=draw(st.sampled_from(get_args(Cue))), temperature=0),
        outcome=Outcome(draw(share), draw(st.booleans()), metrics),
        ending=draw(st.sampled_from(get_args(Ending))),
        failure=broken,
    )
