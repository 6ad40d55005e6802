"""Every law of a runtime fails the runtime that breaks it, and names itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import pytest

from okrt.errors import FamilyError, ToolError
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.runtimes.laws import CLOSED, laws
from okrt.runtimes.laws.law import Law, hold
from okrt.runtimes.laws.memory import KEEPS, SURVIVES
from okrt.runtimes.laws.sessions import SESSIONS
from okrt.runtimes.laws.survival import OBEYS
from okrt.types import Contract, Execution, Limits, Session

Tools = Mapping[str, Callable[..., Any]]


@dataclass
class Fake:
    """Our runtime, but for what a subclass or a function changes of it."""

    inner: ZygoteRuntime
    code: Callable[[str], str] = str
    told: Callable[[Execution], Execution] = lambda execution: execution
    contract: Contract | None = None
    tools: Callable[[Tools], Tools] = dict
    limits: Callable[[Limits], Limits] = lambda limits: limits
    isolation: str = "fake"
    landlock_abi: int | None = None

    def open(self, contract: Contract, tools: Tools, limits: Limits, seed: str = "") -> FakeSession:
        session = self.inner.open(
            self.contract or contract, self.tools(tools), self.limits(limits), seed
        )
        return FakeSession(session, self, tools)

    def close(self) -> None:
        return


@dataclass
class FakeSession:
    inner: Session
    runtime: Fake
    its_tools: Tools

    def execute(self, code: str) -> Execution:
        return self.runtime.told(self.inner.execute(self.runtime.code(code)))

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


Break = Callable[[ZygoteRuntime], Fake]


def tells(**changes: Any) -> Break:
    """Says this of every block."""
    return lambda inner: Fake(inner, told=lambda execution: replace(execution, **changes))


def under(contract: Contract) -> Break:
    """Has one contract, whatever is asked for."""
    return lambda inner: Fake(inner, contract=contract)


def runs(form: str) -> Break:
    """Puts something before or after each block."""
    return lambda inner: Fake(inner, code=lambda code: form.format(code))


def grants(**changes: Any) -> Break:
    """Has limits of its own."""
    return lambda inner: Fake(inner, limits=lambda limits: replace(limits, **changes))


def serves(change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Break:
    """Serves other tools than it was given."""
    return lambda inner: Fake(
        inner, tools=lambda tools: {name: change(tool) for name, tool in tools.items()}
    )


@dataclass
class Forgetting(FakeSession):
    """Empties the namespace after each block, and nothing else."""

    def execute(self, code: str) -> Execution:
        execution = super().execute(code)
        self.inner.execute("for n in list(globals()):\n    if n[:2] != '__': del globals()[n]")
        return execution


@dataclass
class Broken(FakeSession):
    """Raises what is data, and the other way round."""

    closed: bool = False

    def execute(self, code: str) -> Execution:
        try:
            execution = super().execute(code)
        except FamilyError:
            return Execution("ok")
        if execution.status == "raised":
            raise RuntimeError(execution.error)
        return execution

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed twice")
        self.closed = True
        super().close()

    def __exit__(self, *_: object) -> None:
        self.inner.close()


@dataclass
class Chatty(FakeSession):
    """Serves a call once more before the next block."""

    blocks: int = 0

    def execute(self, code: str) -> Execution:
        self.blocks += 1
        if self.blocks > 1:
            self.its_tools["tool"]("late")
        return super().execute(code)


def has(kind: type[FakeSession], contract: Contract | None = None) -> Break:
    """Has sessions of this kind."""

    @dataclass
    class Runtime(Fake):
        def open(
            self, contract: Contract, tools: Tools, limits: Limits, seed: str = ""
        ) -> FakeSession:
            session = self.inner.open(self.contract or contract, tools, limits, seed)
            return kind(session, self, tools)

    return lambda inner: Runtime(inner, contract=contract)


class OneForAll(Fake):
    """Gives everybody the same session."""

    def open(self, contract: Contract, tools: Tools, limits: Limits, seed: str = "") -> FakeSession:
        if not hasattr(self, "only"):
            self.only = super().open(contract, tools, limits, seed)
        return self.only


class OtherSeeds(Fake):
    """Takes no seed."""

    drawn = itertools.count()

    def open(self, contract: Contract, tools: Tools, limits: Limits, seed: str = "") -> FakeSession:
        return super().open(contract, tools, limits, str(next(self.drawn)))


def says_other_errors(tool: Callable[..., Any]) -> Callable[..., Any]:
    def served(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool(*args, **kwargs)
        except ToolError as error:
            raise ValueError(*error.args) from error
        except KeyError as error:
            raise ToolError(*error.args) from error

    return served


def repeats_itself(tool: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: 7


def counts_for_ever(tools: Tools) -> Tools:
    calls = itertools.count()

    def echo(value: Any) -> Any:
        if next(calls) >= 3:
            raise ToolError("no more")
        return value

    return {**tools, "echo": echo}


RESTORE = """
import builtins, random
if hasattr(builtins, "state"): random.setstate(builtins.state)
{}
builtins.state = random.getstate()"""

BREAKS: dict[str, Break] = {
    "a persistent runtime keeps names": under(STATELESS),
    "a tool's name stays with": under(STATELESS),
    "bound names are those": tells(bound_names=()),
    "carried names are those": tells(carried_names=None),
    "a stateless runtime keeps no name": under(PERSISTENT),
    "a stateless runtime gives a tool": under(PERSISTENT),
    "a stateless runtime leaks nothing": has(Forgetting, PERSISTENT),
    "a session outlives, its names intact": under(STATELESS),
    "a carryover runtime keeps": under(STATELESS),
    "a carryover runtime forgets": under(PERSISTENT),
    "a files runtime keeps files": under(STATELESS),
    "a files runtime keeps no name": under(PERSISTENT),
    "a files runtime leaks nothing": has(Forgetting, PERSISTENT),
    "a runtime that is reset": under(PERSISTENT),
    "a session keeps what its contract says": tells(stdout=""),
    "an error is data": has(Broken),
    "a missing name": tells(missing_name=None),
    "death is data": tells(restarted=False),
    "an endless block is stopped": tells(status="raised"),
    "a stateless session": tells(restarted=True),
    "tools answer": tells(calls=()),
    "JSON data goes through": serves(repeats_itself),
    "a tool's refusal": serves(says_other_errors),
    "a tool's builtin error": serves(says_other_errors),
    "arguments that do not fit": serves(repeats_itself),
    "arguments that are no JSON data": runs("def echo(value): return value\n{}"),
    "calls from threads": serves(repeats_itself),
    "the cap ends a block": grants(tool_cap=99),
    "a cap that the block catches": tells(refused_calls=0),
    "the cap is no ToolError": lambda inner: Fake(
        inner, tools=counts_for_ever, limits=lambda limits: replace(limits, tool_cap=99)
    ),
    "each block has the whole cap": lambda inner: Fake(inner, tools=counts_for_ever),
    "output and errors come": runs("import io, sys; sys.stderr = io.StringIO()\n{}"),
    "output is cut": tells(truncated_chars=0),
    "a flood of output": tells(status="died"),
    "output that is no text": tells(stdout="a\n"),
    "there is no input": runs("import io, sys; sys.stdin = io.StringIO('x')\n{}"),
    "random draws differ": runs("import random; random.seed(1)\n{}"),
    "the same seed gives": OtherSeeds,
    "random draws of a block": lambda inner: Fake(
        inner, contract=PERSISTENT, code=lambda code: RESTORE.format(code)
    ),
    "sessions are separate": OneForAll,
    "a session can be closed twice": has(Broken),
    "a contract is asked": under(PERSISTENT),
    "a call after the block's end": has(Chatty),
    "output after the block's end": tells(late_output_bytes=0),
    "the time of tools": grants(block_s=10.0),
    "the record of a call": tells(calls=()),
    "a tool that breaks": has(Broken),
    "memory ends": grants(memory_mib=4096),
    "a block starts in an empty directory": runs("open('x', 'w').close()\n{}"),
}
"""A runtime that breaks the laws whose names begin so."""


OPEN = laws(Fake(ZygoteRuntime(), isolation="none"))
FORBIDS = [law for law in CLOSED if law.name.startswith("a block cannot")]
EMPTY = [law for law in CLOSED if law not in FORBIDS]


@pytest.mark.parametrize("law", [*OPEN, *EMPTY], ids=lambda law: law.name)
def test_a_runtime_that_breaks_a_law_fails_by_its_name(runtime: ZygoteRuntime, law: Law) -> None:
    (break_it,) = [one for name, one in BREAKS.items() if law.name.startswith(name)]
    with pytest.raises(AssertionError) as failed:
        hold(law, break_it(runtime))
    assert str(failed.value).startswith(f"{law.name}: ")


@pytest.fixture(scope="module")
def unsafe() -> Iterator[ZygoteRuntime]:
    with ZygoteRuntime(unsafe=True) as runtime:
        yield runtime


@pytest.mark.parametrize("law", FORBIDS, ids=lambda law: law.name)
def test_a_runtime_that_is_not_closed_fails_by_what_is_open(
    unsafe: ZygoteRuntime, law: Law
) -> None:
    with pytest.raises(AssertionError, match=f"^{law.name}"):
        hold(law, unsafe)


def thinks(code: str) -> str:
    """As a model would; a process sets out for its next block meanwhile."""
    time.sleep(0.02)
    return code


@pytest.mark.parametrize("law", [*KEEPS, *SURVIVES, *SESSIONS, *OBEYS], ids=lambda law: law.name)
def test_laws_hold_however_long_the_model_thinks(runtime: ZygoteRuntime, law: Law) -> None:
    hold(law, Fake(runtime, code=thinks))


def test_names_of_laws_tell_them_apart() -> None:
    names = [law.name for law in [*OPEN, *CLOSED]]
    assert len(set(names)) == len(names)
    used = {begun for begun in BREAKS for name in names if name.startswith(begun)}
    assert used == set(BREAKS)


def test_being_closed_is_asked_of_who_says_so() -> None:
    assert laws(Fake(ZygoteRuntime(), isolation="T9"))[len(OPEN) :] == CLOSED
