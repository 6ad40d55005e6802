"""Contracts differ exactly in what they promise."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from okrt.errors import ContractError
from okrt.runtimes.contracts import (
    ALL,
    CARRYOVER,
    CARRYOVER_ANNOUNCED,
    CONTRACTS,
    FILES,
    NOTHING,
    PERSISTENT,
    STATELESS,
    ResetEvery,
)
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, ExecutionStatus, Kept, Limits
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

    def keeps(self, turn: int, last: Execution) -> Kept:
        return ALL if turn % 2 == 1 and last.status == "ok" else NOTHING


def test_a_contract_of_ones_own_is_asked_at_every_boundary(play: Play) -> None:
    seen = play("a = 1", "a", "a", "a = 1; 1 / 0", "a", contract=EverySecond())
    assert [e.carried_names for e in seen] == [(), ("a",), (), (), ()]
    assert [e.missing_name for e in seen] == [None, None, "a", None, "a"]


@pytest.mark.parametrize("contract", [*CONTRACTS, ResetEvery(4)], ids=lambda c: c.name)
def test_a_contract_has_a_true_and_a_false_sentence(contract: Contract) -> None:
    assert contract.notice != contract.false_notice
    assert all(text.endswith(".") for text in (contract.notice, contract.false_notice))


def test_names_without_files_are_no_answer() -> None:
    with pytest.raises(ValueError, match="names are kept by keeping the process"):
        Kept(names=True, files=False)


@pytest.mark.parametrize("blocks", [1, 0, -3])
def test_a_reset_after_every_block_is_refused(blocks: int) -> None:
    with pytest.raises(ValueError, match=f"not {blocks}"):
        ResetEvery(blocks)


@pytest.mark.parametrize("status", ["ok", "raised", "cap", "timeout", "died"])
def test_what_each_contract_keeps(status: ExecutionStatus) -> None:
    """Of blocks 1 to 6, after blocks that ended so."""
    last = Execution(status)
    cut = status == "cap"
    expected = {
        PERSISTENT: [(True, True)] * 6,
        STATELESS: [(False, False)] * 6,
        CARRYOVER: [(cut, cut)] * 6,
        CARRYOVER_ANNOUNCED: [(cut, cut)] * 6,
        FILES: [(False, True)] * 6,
        ResetEvery(2): [(True, True), (False, False)] * 3,
        ResetEvery(3): [(True, True), (True, True), (False, False)] * 2,
    }
    for contract, wanted in expected.items():
        kept = [contract.keeps(turn, last) for turn in range(1, 7)]
        assert [(one.names, one.files) for one in kept] == wanted
        announced = cut and contract is CARRYOVER_ANNOUNCED
        assert all(bool(one.note) == announced for one in kept)


class Broken(EverySecond):
    def __init__(self, answer: object) -> None:
        super().__init__()
        object.__setattr__(self, "answer", answer)

    def keeps(self, turn: int, last: Execution) -> Kept:
        return self.answer  # type: ignore[no-any-return,attr-defined]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "Contract.keeps must return a Kept, got True"),
        (None, "Contract.keeps must return a Kept, got None"),
        (Kept(names=1, files=1), "Kept.names must be True .*, got 1"),  # type: ignore[arg-type]
        (Kept(names=False, files="no"), "Kept.files must be True .*, got 'no'"),  # type: ignore[arg-type]
        (Kept(names=False, files=False, note=None), "Kept.note must be text, got None"),  # type: ignore[arg-type]
    ],
)
def test_an_answer_of_another_type_is_the_contract_s_fault(
    play: Play, answer: object, said: str
) -> None:
    with pytest.raises(ContractError, match=f"^{said}$"):
        play("a = 1", contract=Broken(answer))


def test_a_failed_contract_leaves_a_session_that_starts_empty(runtime: ZygoteRuntime) -> None:
    class Once(EverySecond):
        def keeps(self, turn: int, last: Execution) -> Kept:
            if not last.stdout:
                raise ZeroDivisionError("by zero")
            return ALL

    with runtime.open(Once(), {}, Limits()) as session:
        with pytest.raises(
            ContractError, match=r"^Contract\.keeps raised ZeroDivisionError: by zero$"
        ):
            session.execute("a = 1")
        assert session.execute("print('a' in globals())").stdout == "False\n"
