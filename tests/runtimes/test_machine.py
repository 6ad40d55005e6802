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
from okrt.types import Contract, Execution, Limits
from tests.runtimes.conftest import of_tier, sandboxed

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
LOSSES = st.sampled_from(["import os; os._exit(1)", "import os; os.kill(os.getpid(), 9)"])


def reference(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Returns what an execution of the block should say."""
    carried = tuple(sorted(name for name in names if not name.startswith("__")))
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
        "bound_names": tuple(sorted(name for name in names if not name.startswith("__"))),
    }


class Machine(RuleBasedStateMachine):
    """A session and its reference."""

    def __init__(self, runtime: ZygoteRuntime, contract: Contract) -> None:
        super().__init__()
        self.contract = contract.name
        self.session = runtime.open(contract, {"tool": abs}, Limits(tool_cap=2))
        self.turn = 0
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.files: dict[str, str] = {}

    def keeps(self, cut_short: bool) -> tuple[bool, bool]:
        """Whether names and files outlive the block before `self.turn`."""
        if self.contract.startswith("reset-every-"):
            names = self.turn % int(self.contract.rpartition("-")[2]) > 0
            return names, names
        names = self.contract == "persistent" or (
            self.contract.startswith("carryover") and cut_short
        )
        return names, names or self.contract == "files"

    def boundary(self, lost: bool = False, cut_short: bool = False) -> None:
        self.turn += 1
        names, files = self.keeps(cut_short)
        if lost or not names:
            self.names = {"__name__": "__main__"}
        if not files or (lost and names):
            self.files = {}

    @rule(code=PROGRAMS)
    def block(self, code: str) -> None:
        expected = reference(code, self.names)
        execution = self.session.execute(code)
        assert {name: getattr(execution, name) for name in expected} == expected
        self.boundary()

    @rule(name=NAMES, text=NAMES)
    def write(self, name: str, text: str) -> None:
        """Which also reads all files there are."""
        code = (
            f"print({{f: open(f).read() for f in sorted(__import__('os').listdir())}})\n"
            f"open('{name}', 'a').write('{text}')"
        )
        assert self.session.execute(code).stdout == f"{dict(sorted(self.files.items()))}\n"
        self.files[name] = self.files.get(name, "") + text
        self.boundary()

    @rule(code=PROGRAMS)
    def cut(self, code: str) -> None:
        """By the cap, if the program gets that far."""
        expected = reference(code, self.names)
        execution = self.session.execute(f"{code}\ntool(1), tool(1), tool(1)")
        if expected["status"] == "raised":
            assert execution.error_type == expected["error_type"]
            self.boundary()
        else:
            assert (execution.status, execution.stdout) == ("cap", expected["stdout"])
            assert execution.bound_names == expected["bound_names"]
            self.boundary(cut_short=True)

    @rule(code=PROGRAMS, loss=LOSSES)
    def death(self, code: str, loss: str) -> None:
        expected = reference(code, self.names)
        execution = self.session.execute(f"{code}\n{loss}")
        if expected["status"] == "raised":
            assert execution.error_type == expected["error_type"]
            self.boundary()
        else:
            self.boundary(lost=True)
            assert execution == Execution(
                status="died",
                stdout=expected["stdout"][: expected["stdout"].rfind("\n") + 1],  # whole lines
                error=execution.error,
                carried_names=expected["carried_names"],
                restarted=self.keeps(cut_short=False)[0],
            )

    def teardown(self) -> None:
        self.session.close()


def agree(runtime: ZygoteRuntime, contract: Contract, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Machine(runtime, contract),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


ALL = pytest.mark.parametrize("contract", [*CONTRACTS, ResetEvery(3)], ids=lambda c: c.name)


@ALL
def test_a_session_agrees_with_a_dict(runtime: ZygoteRuntime, contract: Contract) -> None:
    agree(runtime, contract, examples=12)


@pytest.mark.thorough
@sandboxed
@ALL
def test_a_session_agrees_on_every_tier(tier: str, contract: Contract) -> None:
    with of_tier(tier) as runtime:
        agree(runtime, contract, examples=40)
