"""Conformance suites: the laws that a family, a runtime or a model must keep, as executable checks.

Each check returns None or raises AssertionError whose message begins with the law that was broken.
They are what okrt's own parts are tested with; an extension's author runs them from a test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from okrt import asking, specs
from okrt.errors import ToolError
from okrt.run import check_outcome, guard_family
from okrt.runtimes.frames import not_json
from okrt.runtimes.laws import laws
from okrt.runtimes.laws.law import hold
from okrt.runtimes.laws.survival import obeys
from okrt.salt import FIRST, SEEDS
from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Environment,
    Execution,
    Message,
    Model,
    Runtime,
    Split,
    Task,
    TaskFamily,
)

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 2**63, 1.5, "", "x" * 100_000, "\x00", [], [[[]]], {}, {"a": [None]},
)  # fmt: skip
"""Arguments of a block's that a tool must answer with a result or a plain error."""

SPLITS: tuple[Split, ...] = ("eval", "train", "val")


def check_family(family: TaskFamily | str, seeds: range = range(3)) -> None:
    """Holds a family to its protocol on a few tasks of each tier.

    Given as `module:attribute`, it is also generated in another process under another hash seed,
    which finds a set written into a prompt; given as an object, that cannot be tried.

    Raises:
        AssertionError: the message names the law.
        okrt.errors.SpecError: a member is missing (named), or there are no tiers.
    """
    made = specs.family(family)
    with _law("a family raises nothing of its own"):
        _check_family(made, family, seeds)


def _check_family(made: TaskFamily, family: TaskFamily | str, seeds: range) -> None:
    for tier in made.tiers:
        for seed in seeds:
            _check_task(made, tier, seed)
            _check_environment(made, made.task(seed, tier))
        with _law("a family takes seeds of eighteen digits, as private tasks have"):
            _check_task(made, tier, FIRST + SEEDS - 1)
    if isinstance(family, str):
        here = _family_bytes(family, seeds)
        other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        program = f"import okrt.testing as t; t._print_family({family!r}, {seeds!r})"
        there = subprocess.run(  # noqa: S603  this very interpreter
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
        )
        _hold(there.returncode == 0, "a family is generated in another process", there.stderr)
        _hold(there.stdout == here, "the same seed gives the same bytes in another process", family)


def check_runtime(runtime: Runtime) -> None:
    """Holds a runtime to every promise of its contracts: `okrt.runtimes.laws`, a table of them.

    Being closed is asked of every runtime but one whose `isolation` is `unsafe` or `none`. Takes
    some seconds.

    Raises:
        AssertionError: the message begins with the law.
    """
    with _law("a runtime says its isolation"):
        asked = laws(runtime)
    for law in asked:
        hold(law, runtime)


def check_contract(contract: Contract | str, runtime: Runtime | None = None) -> None:
    """Holds a contract to its protocol, and a runtime to what the contract says.

    Args:
        contract: an object, or its `module:attribute`.
        runtime: sessions of it are played under the contract; None: no block is run.

    Raises:
        AssertionError: the message names the law, or the member that breaks the protocol.
        okrt.errors.SpecError: a member is missing or of the wrong type (named), or `keeps` answers
            a first block with no `Kept`.
    """
    made = specs.contract(contract) if isinstance(contract, str) else specs.contract("", contract)
    for turn in range(1, 25):
        for last in _EXECUTIONS:
            with _law("a contract answers for every turn and block"):
                found = asking.kept(made, turn, last)
                again = asking.kept(made, turn, last)
            _hold(found == again, "a contract answers the same when it is asked again", turn)
    if runtime is not None:
        hold(obeys(made), runtime)


_EXECUTIONS = (
    Execution("ok", bound_names=("a",)),
    Execution("raised", error_type="NameError", error="x", missing_name="x", bound_names=()),
    Execution("cap", error_type="ToolCapExceeded", error="x", refused_calls=1, bound_names=("a",)),
    Execution("timeout", error="x"),
    Execution("died", error="x"),
)
"""Of every status; those of a process that was lost have no names."""


def check_model(model: Model, conversations: list[Conversation] | None = None) -> None:
    """Holds a model to one valid completion per conversation, in order, whatever is asked with it.

    The last law holds only for a model whose replies are a function of the conversation and its
    seed; a server that batches does not promise it.

    Raises:
        AssertionError: the message names the law.
    """
    with _law("a model raises nothing"):
        _check_model(model, conversations)


def _check_model(model: Model, conversations: list[Conversation] | None) -> None:
    asked = conversations or [
        Conversation((Message("user", f"Say {word}."),), seed=seed)
        for seed, word in enumerate(("one", "two", "three"))
    ]
    _hold(bool(model.name), "a model has a name", model)
    _hold(list(model.generate([])) == [], "no conversations, no completions", model.name)
    answers = model.generate(asked)
    _hold(len(answers) == len(asked), "one completion for each conversation", len(answers))
    for answer in answers:
        _hold(isinstance(answer, Completion), "a completion is a Completion", answer)
        _hold(isinstance(answer.text, str), "a completion's text is text", answer)
        _hold(
            answer.finish_reason in ("stop", "length", "context"),
            "the finish reason is stop, length or context",
            answer.finish_reason,
        )
        counts = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        _hold(all(n is None or n >= 0 for n in counts), "token counts are None or >= 0", counts)
    alone = [model.generate([one])[0].text for one in asked]
    _hold(alone == [a.text for a in answers], "neighbours in a batch change no reply", alone)


# -- families ------------------------------------------------------------------------------------


def _check_task(family: TaskFamily, tier: str, seed: int) -> None:
    tasks = {split: _task(family, seed, tier, split) for split in SPLITS}
    for split, task in tasks.items():
        _hold(isinstance(task, Task), "task returns a Task", task)
        with _law(f"a task goes through JSON unchanged: {task.id}: Task.private must be JSON data"):
            again = msgspec.json.decode(msgspec.json.encode(task), type=Task)
        parts = (task.private, again.private)
        _hold(again == task, "a task goes through JSON unchanged, Task.private as well", parts)
        where = (task.family, task.tier, task.split, task.seed)
        _hold(where == (family.name, tier, split, seed), "a task knows its coordinates", where)
        same = task == _task(family, seed, tier, split)
        _hold(same, "the same seed is the same task", task.id)
        _hold(bool(task.prompt.strip()), "a task has a prompt", task.id)
        _hold(task.tool_cap >= 1, "a task's tool cap is at least 1", task.tool_cap)
    bodies = {(task.prompt, msgspec.json.encode(task.private)) for task in tasks.values()}
    _hold(len(bodies) == len(SPLITS), "no instance is in two splits", (tier, seed))


def _task(family: TaskFamily, seed: int, tier: str, split: Split) -> Task:
    call = f"task({seed}, {tier!r}, {split!r})"
    return guard_family(call, lambda: family.task(seed, tier, split))


def _check_environment(family: TaskFamily, task: Task) -> None:
    fresh = family.environment(task)
    _hold(not fresh.finished, "an environment begins unfinished", task.id)
    check_outcome(fresh.outcome())
    tools = dict(fresh.tools)
    _hold("finish" in tools, "there is a tool named finish", sorted(tools))
    for name, tool in tools.items():
        _hold(callable(tool) and name.isidentifier(), "tools are functions by name", name)
        if name != "finish":
            for value in HOSTILE:
                _check_answer(name, tool, value)
    check_outcome(fresh.outcome())
    other = family.environment(task)
    _hold(not other.finished, "environments of one task share no state", task.id)
    _finish(fresh)
    _hold(fresh.finished, "finish() finishes", task.id)
    _hold(not other.finished, "environments of one task share no state", task.id)
    check_outcome(fresh.outcome())


def _finish(environment: Environment) -> None:
    _check_result("finish", environment.tools["finish"]())


def _check_answer(name: str, tool: Callable[..., Any], value: Any) -> None:
    try:
        result = tool(value)
    except (ToolError, TypeError, ValueError, LookupError):
        return
    except (Exception, SystemExit) as error:
        raise AssertionError(
            f"a tool answers hostile arguments with a plain error: {name}({value!r:.40}) raised "
            f"{type(error).__name__}: {error}"
        ) from error
    _check_result(name, result)


def _check_result(name: str, result: Any) -> None:
    if problem := not_json(result):
        raise AssertionError(f"a tool returns JSON data: {name} returned {problem}: {result!r:.80}")


def _family_bytes(spec: str, seeds: range) -> bytes:
    family = specs.family(spec)
    tasks = [
        family.task(seed, tier, split)
        for tier in family.tiers
        for seed in seeds
        for split in SPLITS
    ]
    return msgspec.json.encode(tasks)


def _print_family(spec: str, seeds: range) -> None:
    sys.stdout.buffer.write(_family_bytes(spec, seeds))


@contextmanager
def _law(law: str) -> Iterator[None]:
    """Whatever is raised inside breaks the law, unless it says itself which."""
    try:
        yield
    except AssertionError:
        raise
    except (Exception, SystemExit) as error:
        raise AssertionError(f"{law}: {type(error).__name__}: {error}") from error


def _hold(condition: bool, law: str, found: object) -> None:
    if not condition:
        raise AssertionError(f"{law}: found {found!r:.600}")
