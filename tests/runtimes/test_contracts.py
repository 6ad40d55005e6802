"""Contracts differ exactly in what they promise."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.types import Contract, Execution
from tests.runtimes.conftest import Play


def test_persistent_keeps_variables_functions_and_imports(play: Play) -> None:
    first, second, third = play(
        "import math\nx = [1]\ndef f(): return x[0]",
        "x.append(2); x[0] = 5",
        "print(f(), x, math.pi)",
    )
    assert third.stdout == "5 [5, 2] 3.141592653589793\n"
    assert (first.carried_names, first.bound_names) == ((), ("f", "math", "x"))
    assert second.carried_names == third.carried_names == ("f", "math", "x")


def test_stateless_loses_them(play: Play) -> None:
    _, second = play("x = 1\nimport math", "print(x)", contract=STATELESS)
    assert (second.status, second.error_type, second.missing_name) == ("raised", "NameError", "x")
    assert second.carried_names == ()
    assert not second.restarted


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS])
def test_the_same_block_runs_the_same_way_when_it_is_the_first(
    play: Play, contract: Contract
) -> None:
    code = "import random\nprint(random.random(), hash('a'), sorted(globals()))\nundefined"
    (here,) = play(code, contract=contract, seed="s")
    (there,) = play(code, contract=PERSISTENT, seed="s")
    assert here == there


def test_each_false_notice_is_the_others_true_one() -> None:
    assert PERSISTENT.notice == STATELESS.false_notice != PERSISTENT.false_notice
    assert STATELESS.notice == PERSISTENT.false_notice
    assert (PERSISTENT.name, STATELESS.name) == ("persistent", "stateless")


@dataclass(frozen=True)
class EverySecond:
    """A contract of a user's own: names survive into odd turns, if the block before went well."""

    name: str = "every-second"
    notice: str = "Some survive."
    false_notice: str = "All survive."

    def keeps_names(self, turn: int, last: Execution) -> bool:
        return turn % 2 == 1 and last.status == "ok"


def test_a_contract_of_ones_own_is_asked_at_every_boundary(play: Play) -> None:
    seen = play("a = 1", "a", "a", "a = 1; 1 / 0", "a", contract=EverySecond())
    assert [e.carried_names for e in seen] == [(), ("a",), (), (), ()]
    assert [e.missing_name for e in seen] == [None, None, "a", None, "a"]


def test_a_failed_contract_leaves_a_session_that_starts_empty(play: Play) -> None:
    class Broken(EverySecond):
        def keeps_names(self, turn: int, last: Execution) -> bool:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play("a = 1", contract=Broken())
