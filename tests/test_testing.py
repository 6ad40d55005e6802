"""The conformance suites: our own parts pass them, and a broken part fails the law it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from okrt import specs
from okrt.errors import SpecError
from okrt.models.local import LocalModel
from okrt.models.scripted import ScriptedModel
from okrt.runtimes import laws
from okrt.runtimes.contracts import ALL, NOTHING, PERSISTENT
from okrt.runtimes.frames import not_json
from okrt.runtimes.host import ZygoteRuntime
from okrt.testing import HOSTILE, check_contract, check_family, check_model, check_runtime
from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Execution,
    Kept,
    Limits,
    Session,
    Task,
    Usage,
)
from tests.checkpoints import make_checkpoint
from tests.toys import Counter, Counting, Says


@pytest.mark.parametrize("family", [*specs.FAMILIES, "tests.toys:FAMILY"])
def test_our_families_keep_their_laws(family: str) -> None:
    check_family(family)


def test_a_tool_is_tried_with_what_a_block_can_pass() -> None:
    assert [value for value in HOSTILE if not_json(value)] == []


@pytest.mark.thorough  # each tier alone is held to them in tests/runtimes/test_tiers.py
def test_our_runtime_keeps_its_laws() -> None:
    with ZygoteRuntime() as runtime:
        check_runtime(runtime)


def test_our_models_keep_their_laws(tmp_path: Path) -> None:
    check_model(ScriptedModel("s", lambda conversation: conversation.messages[-1].content))
    make_checkpoint(tmp_path / "m")
    for temperature in (0.0, 1.0):
        check_model(
            LocalModel(tmp_path / "m", temperature=temperature, max_new_tokens=8, thinking="off")
        )


class Drifting(Counting):
    """Never the same task twice."""

    drawn = 0

    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        self.drawn += 1
        return replace(super().task(seed, tier, split), prompt=f"task {self.drawn}")


class OneSplit(Counting):
    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        return replace(super().task(seed, tier), split=split)


class Misnamed(Counting):
    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        return replace(super().task(seed, tier, split), tier="other")


class Shared(Counting):
    def __init__(self) -> None:
        self.one = Counter(5)

    def environment(self, task: Task) -> Counter:
        return self.one


class Fragile(Counting):
    def environment(self, task: Task) -> Any:
        class Breaks(Counter):
            def add(self, n: int) -> int:
                raise RuntimeError("boom")

        return Breaks(5)


class Quitting(Counting):
    def environment(self, task: Task) -> Any:
        class Quits(Counter):
            def add(self, n: int) -> int:
                raise SystemExit(3)

        return Quits(5)


class Giving(Counting):
    """Its tools return what no run takes."""

    def __init__(self, result: Any, tool: str = "add") -> None:
        self.result, self.tool = result, tool

    def environment(self, task: Task) -> Any:
        result, name = self.result, self.tool

        class Gives(Counter):
            @property
            def tools(self) -> Mapping[str, Any]:
                return {**super().tools, name: lambda *args: result}

        return Gives(5)


class Raising(Counting):
    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        raise KeyError("nothing there")


class OneTier(Counting):
    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        return replace(super().task(seed, {"low": "low"}[tier], split))


class Keeping(Counting):
    def __init__(self, made: Callable[[], Any]) -> None:
        self.made = made

    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        return replace(super().task(seed, tier, split), private={"kept": self.made()})


class NoTiers(Counting):
    tiers: Any = ()


class Narrow(Counting):
    """As numpy's older generators."""

    def task(self, seed: int, tier: str, split: Any = "eval") -> Task:
        if seed >= 2**32:
            raise ValueError("Seed must be between 0 and 2**32 - 1")
        return super().task(seed, tier, split)


class Endless(Counting):
    def environment(self, task: Task) -> Any:
        class NoFinish(Counter):
            @property
            def tools(self) -> Mapping[str, Any]:
                return {"add": self.add}

        return NoFinish(5)


@pytest.mark.parametrize(
    ("family", "law"),
    [
        (Drifting(), "the same seed is the same task"),
        (OneSplit(), "no instance is in two splits"),
        (Misnamed(), "a task knows its coordinates"),
        (Shared(), "environments of one task share no state"),
        (Fragile(), "a tool answers hostile arguments with a plain error"),
        (Quitting(), "a tool answers hostile arguments with a plain error: .* SystemExit: 3"),
        (Giving({1}), r"a tool returns JSON data: add returned type set: \{1\}"),
        (Giving(b"x"), "a tool returns JSON data: add returned type bytes"),
        (Giving(date(2000, 1, 1)), "a tool returns JSON data: add returned type date"),
        (Giving({1: 2}), "a tool returns JSON data: add returned a dict with a key of type int"),
        (Giving([float("nan")]), "a tool returns JSON data: add returned the float nan"),
        (Giving(10**30), "a tool returns JSON data: add returned an int beyond 64 bits"),
        (Giving({1}, "finish"), "a tool returns JSON data: finish returned type set"),
        (Endless(), "there is a tool named finish"),
        (
            Raising(),
            r"a family raises nothing of its own: .*task\(0, 'low', 'eval'\) raised KeyError",
        ),
        (
            Narrow(),
            r"a family takes seeds of eighteen digits, as private tasks have: .*task\(9{18}, "
            r"'low', 'eval'\) raised ValueError: Seed must",
        ),
        (OneTier(), r"a family raises nothing of its own: .*task\(0, 'high', 'eval'\) raised Key"),
        (
            Keeping(Lock),
            "a task goes through JSON unchanged: counting/low/eval/0@1: Task.private must be JSON "
            "data: TypeError: .*lock",
        ),
        (
            Keeping(lambda: (1, 2)),
            r"a task goes through JSON unchanged, Task.private as well: found \({'kept': \(1, "
            r"2\)}, {'kept': \[1, 2\]}\)",
        ),
        ("tests.toys:UNORDERED", "the same seed gives the same bytes in another process"),
    ],
)
def test_a_broken_family_fails_the_law_it_breaks(family: Any, law: str) -> None:
    with pytest.raises(AssertionError, match=f"^{law}"):
        check_family(family)


def test_a_family_without_tiers_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^family 'counting' has no tiers: give it at least one$"):
        check_family(NoTiers())


class AlwaysPersistent:
    """Keeps everything, whatever the contract."""

    isolation = "none"
    landlock_abi = None

    def __init__(self, inner: ZygoteRuntime) -> None:
        self.inner = inner

    def open(
        self, contract: Contract, tools: Mapping[str, Any], limits: Limits, seed: str = ""
    ) -> Session:
        return self.inner.open(PERSISTENT, tools, limits, seed)

    def close(self) -> None:
        pass


class NoCap(AlwaysPersistent):
    def open(
        self, contract: Contract, tools: Mapping[str, Any], limits: Limits, seed: str = ""
    ) -> Session:
        return self.inner.open(contract, tools, replace(limits, tool_cap=999), seed)


def test_a_runtime_that_says_it_is_closed_and_is_not_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = "KEEPS FORGETS SURVIVES ENDS CALLS CAPS OUTPUT SESSIONS CARRIES SPARES RESETS OBEYS"
    for name in kept.split():
        monkeypatch.setattr(laws, name, [])  # it keeps these, which takes seconds

    class Pretends(ZygoteRuntime):
        isolation = "T0"

    with Pretends(unsafe=True) as runtime, pytest.raises(AssertionError, match=r"^a block cannot"):
        check_runtime(runtime)


@pytest.mark.parametrize(
    ("broken", "law"),
    [(AlwaysPersistent, "a stateless runtime keeps no name"), (NoCap, "the cap ends a block")],
)
def test_a_broken_runtime_fails_the_law_it_breaks(broken: type[AlwaysPersistent], law: str) -> None:
    with ZygoteRuntime() as runtime, pytest.raises(AssertionError, match=f"^{law}"):
        check_runtime(broken(runtime))


class EveryOther:
    name = "every-other"
    notice = "Variables survive every other turn."
    false_notice = "Variables survive every turn."

    def keeps(self, turn: int, last: Execution) -> Kept:
        return ALL if turn % 2 == 1 else NOTHING


EVERY_OTHER = EveryOther()


class Raises(EveryOther):
    def keeps(self, turn: int, last: Execution) -> Kept:
        assert last.bound_names is not None
        return ALL


class Forgetful(EveryOther):
    asked = 0

    def keeps(self, turn: int, last: Execution) -> Kept:
        self.asked += 1
        return ALL if self.asked % 2 == 1 else NOTHING


class Quits(EveryOther):
    def keeps(self, turn: int, last: Execution) -> Kept:
        if last.status == "died":
            raise SystemExit(3)
        return ALL


class Nameless(EveryOther):
    notice: Any = None


def test_a_contract_keeps_its_laws_and_the_runtime_what_it_says() -> None:
    with ZygoteRuntime() as runtime:
        check_contract("tests.test_testing:EVERY_OTHER", runtime)
        with pytest.raises(AssertionError, match=r"^a session keeps what its contract says"):
            check_contract(EVERY_OTHER, AlwaysPersistent(runtime))


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Raises(), "a contract answers for every turn and block: ContractError: Contract.keeps"),
        (Forgetful(), "a contract answers the same when it is asked again"),
        (Quits(), "a contract answers for every turn and block: ContractError: .* SystemExit: 3"),
    ],
)
def test_a_broken_contract_fails_the_law_it_breaks(broken: Contract, law: str) -> None:
    with pytest.raises(AssertionError, match=f"^{law}"):
        check_contract(broken)


def test_a_contract_that_lacks_a_member_names_it() -> None:
    with pytest.raises(SpecError, match="it has no notice"):
        check_contract(Nameless())


class Short(Says):
    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return super().generate(conversations)[:1]


class Neighbourly(Says):
    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return [Completion(str(len(conversations)), "stop", Usage()) for _ in conversations]


class Leaves(Says):
    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (Short("a"), "one completion for each conversation"),
        (Neighbourly("a"), "neighbours in a batch change no reply"),
        (Leaves("a"), "a model raises nothing: SystemExit: 3"),
    ],
)
def test_a_broken_model_fails_the_law_it_breaks(model: Any, law: str) -> None:
    with pytest.raises(AssertionError, match=f"^{law}"):
        check_model(model)
