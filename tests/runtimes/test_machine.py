"""Random programs, block by block, against a plain reference.

The reference runs the same block by `exec` in a dict, and keeps the files it wrote in another; what
either still holds when the next block begins is worked out here, by a rule of its own for each
contract. Output, names, files and errors must agree.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from okrt.runtimes.contracts import CONTRACTS, ResetEvery
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, ExecutionStatus, Kept, Limits
from tests.runtimes.conftest import TIERS, of_tier

NAMES = st.sampled_from(["a", "b", "c", "f", "_d"])
VALUES = st.sampled_from(["0", "1", "'x'", "[]", "{'k': 2}", "None", "[i * 2 for i in range(3)]"])
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("{} = {}".format, NAMES, NAMES),
    st.builds("{} += 1".format, NAMES),
    st.builds("print(type({}).__name__, end=';')".format, NAMES),
    st.builds("print({} + {})".format, NAMES, NAMES),
    st.builds("del {}".format, NAMES),
    st.builds("{}.append(3)".format, NAMES),
    st.builds("{}['k']".format, NAMES),
    st.builds("def {}(): return {}".format, NAMES, NAMES),
    st.builds("def {0}():\n    global {1}\n    {1} = 5".format, NAMES, NAMES),
    st.builds("def {0}():\n    {1} += 1\n    return {1}".format, NAMES, NAMES),
    st.builds("print(type({}()).__name__)".format, NAMES),
    st.builds("import math as {}".format, NAMES),
    st.builds("try:\n    {0}\nexcept NameError:\n    {0} = 7".format, NAMES),
    st.builds("for {} in range(2): pass".format, NAMES),
    st.builds("class {}: x = {}".format, NAMES, NAMES),
    st.builds("raise SystemExit({})".format, NAMES),
    st.builds("assert {}, {}".format, NAMES, NAMES),
    st.builds("globals().pop('{}')".format, NAMES),
    st.builds("{} = = 1".format, NAMES),
)
PROGRAMS = st.lists(STATEMENTS, min_size=1, max_size=5).map("\n".join)
CUT = "tool(1), tool(1), tool(1)"
ENDS: dict[str, ExecutionStatus] = {
    "": "ok", "1 / 0": "raised", CUT: "cap", "__import__('os')._exit(1)": "died",
}  # fmt: skip
LATE = "\nwhile True: pass"
LOSSES = st.sampled_from(["import os; os._exit(1)", "import os; os.kill(os.getpid(), 9)"])


def visible(names: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if not name.startswith("__")))


def reference(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Returns what an execution of the block should say."""
    carried = visible(names)
    kind = missing = None
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        try:
            exec(compile(code, "<reference>", "exec", dont_inherit=True), names)
        except BaseException as error:
            kind = type(error).__name__
            if isinstance(error, NameError) and not isinstance(error, UnboundLocalError):
                missing = error.name
    return {
        "status": "raised" if kind else "ok",
        "stdout": stdout.getvalue(),
        "error_type": kind,
        "missing_name": missing,
        "carried_names": carried,
        "bound_names": visible(names),
    }


class UntilAnError:
    """A user's own: names last until a block ends otherwise than well, files last."""

    name, notice, false_notice = "until-an-error", "Some.", "All."

    def keeps(self, turn: int, last: Execution) -> Kept:
        return Kept(names=last.status == "ok", files=True)


class Machine(RuleBasedStateMachine):
    """A session and its reference."""

    block_s = 30.0

    def __init__(self, runtime: ZygoteRuntime, contract: Contract) -> None:
        super().__init__()
        self.contract = contract.name
        limits = Limits(tool_cap=2, block_s=self.block_s)
        self.session = runtime.open(contract, {"tool": abs}, limits)
        self.turn = 0
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.files: dict[str, str] = {}

    def keeps(self, ended: ExecutionStatus) -> tuple[bool, bool]:
        """Whether names and files outlive the block before `self.turn`, which ended so."""
        if self.contract == "until-an-error":
            return ended == "ok", True
        if self.contract.startswith("reset-every-"):
            names = self.turn % int(self.contract.rpartition("-")[2]) > 0
            return names, names
        names = self.contract == "persistent" or (
            self.contract.startswith("carryover") and ended == "cap"
        )
        return names, names or self.contract == "files"

    def boundary(self, ended: ExecutionStatus) -> None:
        self.turn += 1
        lost = ended in ("died", "timeout")
        names, files = self.keeps(ended)
        if lost or not names:
            self.names = {"__name__": "__main__"}
        if not files or (lost and names):
            self.files = {}

    @rule(code=PROGRAMS)
    def block(self, code: str) -> None:
        expected = reference(code, self.names)
        execution = self.session.execute(code)
        assert {name: getattr(execution, name) for name in expected} == expected
        self.boundary(expected["status"])

    @rule(name=NAMES, text=NAMES, end=st.sampled_from(list(ENDS)))
    def write(self, name: str, text: str, end: str) -> None:
        """Which also reads all files there are, binds a name, and may then end badly."""
        code = (
            f"print({{f: open(f).read() for f in sorted(__import__('os').listdir())}})\n"
            f"open('{name}', 'a').write('{text}')\n{name} = 1\n{end}"
        )
        execution = self.session.execute(code)
        assert execution.stdout == f"{dict(sorted(self.files.items()))}\n"
        assert execution.carried_names == visible(self.names)
        assert execution.status == ENDS[end]
        self.names[name] = 1
        self.files[name] = self.files.get(name, "") + text
        self.boundary(ENDS[end])

    @rule(code=PROGRAMS)
    def cut(self, code: str) -> None:
        """By the cap, if the program gets that far."""
        expected = reference(code, self.names)
        execution = self.session.execute(f"{code}\n{CUT}")
        if expected["status"] == "raised":
            assert execution.error_type == expected["error_type"]
            self.boundary("raised")
        else:
            assert (execution.status, execution.stdout) == ("cap", expected["stdout"])
            assert execution.bound_names == expected["bound_names"]
            self.boundary("cap")

    @rule(code=PROGRAMS, loss=LOSSES)
    def death(self, code: str, loss: str) -> None:
        self.loss(code, loss, "died")

    def loss(self, code: str, loss: str, ended: ExecutionStatus) -> None:
        expected = reference(code, self.names)
        execution = self.session.execute(f"{code}\n{loss}")
        if expected["status"] == "raised":
            assert execution.error_type == expected["error_type"]
            self.boundary("raised")
        else:
            self.boundary(ended)
            assert execution == Execution(
                status=ended,
                stdout=expected["stdout"][: expected["stdout"].rfind("\n") + 1],  # whole lines
                error=execution.error,
                carried_names=expected["carried_names"],
                restarted=self.keeps(ended)[0],
            )

    def teardown(self) -> None:
        self.session.close()


class Impatient(Machine):
    """Whose blocks may also take too long."""

    block_s = 1.0

    @rule(code=PROGRAMS)
    def late(self, code: str) -> None:
        self.loss(code, LATE, "timeout")


def agree(
    runtime: ZygoteRuntime, contract: Contract, examples: int, kind: type[Machine] = Machine
) -> None:
    run_state_machine_as_test(
        lambda: kind(runtime, contract),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


EACH = [*CONTRACTS, ResetEvery(2), ResetEvery(3), UntilAnError()]
ALL = pytest.mark.parametrize("contract", EACH, ids=lambda contract: contract.name)


@ALL
def test_a_session_agrees_with_a_dict(runtime: ZygoteRuntime, contract: Contract) -> None:
    agree(runtime, contract, examples=10)


@pytest.mark.thorough
@pytest.mark.parametrize("tier", [*TIERS, "none"], indirect=True)
@ALL
def test_a_session_agrees_on_every_tier(tier: str, contract: Contract) -> None:
    """On `none` each fresh process is a new interpreter."""
    examples = 8 if tier == "none" else 40
    with of_tier(tier) as runtime:
        agree(runtime, contract, examples)
        agree(runtime, contract, examples // 4, Impatient)
