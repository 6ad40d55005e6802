"""Random programs, block by block, against a plain reference.

The reference runs the same block by `exec` in a dict: one dict for persistent, a new one per block
for stateless, a new one after a death. Output, names and errors must agree.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, Limits

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
        self.keeps = contract is PERSISTENT
        self.session = runtime.open(contract, {}, Limits())
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def boundary(self, lost: bool) -> None:
        if lost or not self.keeps:
            self.names = {"__name__": "__main__"}

    @rule(code=PROGRAMS)
    def block(self, code: str) -> None:
        expected = reference(code, self.names)
        execution = self.session.execute(code)
        assert {name: getattr(execution, name) for name in expected} == expected
        self.boundary(lost=False)

    @rule(code=PROGRAMS, loss=LOSSES)
    def death(self, code: str, loss: str) -> None:
        expected = reference(code, self.names)
        execution = self.session.execute(f"{code}\n{loss}")
        if expected["status"] == "raised":
            assert execution.error_type == expected["error_type"]
            self.boundary(lost=False)
        else:
            assert execution == Execution(
                status="died",
                stdout=expected["stdout"][: expected["stdout"].rfind("\n") + 1],  # whole lines
                error=execution.error,
                carried_names=expected["carried_names"],
                restarted=self.keeps,
            )
            self.boundary(lost=True)

    def teardown(self) -> None:
        self.session.close()


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda c: c.name)
def test_a_session_agrees_with_a_dict(runtime: ZygoteRuntime, contract: Contract) -> None:
    run_state_machine_as_test(
        lambda: Machine(runtime, contract),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=25,
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
