"""Under another contract or cap, a replay departs where a real run of the same blocks does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.analysis.missing import missing_variables
from okrt.audit.traces import Trace, block
from okrt.audit.verdict import audit_trace
from okrt.errors import ContractError, RuntimeFailure, SpecError, UsageError
from okrt.replay import replay, replaying
from okrt.replay.summary import Missed, cells
from okrt.run import TRIES, run_cases
from okrt.runtimes.contracts import (
    CARRYOVER,
    CARRYOVER_ANNOUNCED,
    FILES,
    PERSISTENT,
    STATELESS,
    ResetEvery,
)
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import (
    Contract,
    Cue,
    Environment,
    Execution,
    Failure,
    Kept,
    Limits,
    Settings,
    Task,
)
from tests.replay.recording import NAMED, OTHER, Short, again, expert, record
from tests.toys import FAMILY, Counter, Counting

STATEMENTS = st.sampled_from([
    "x = 1", "y = [2, 3]", "import math", "def f(): return x", "print(x)", "print(len(y))",
    "print(math.pi)", "print(f())", "x += 1", "del x",
    "try: x\nexcept NameError: x = 5", "try: print(y)\nexcept NameError: print('none')",
    "try: add(x)\nexcept Exception: pass", "print(add(2))", "add(1)",
    "for n in range(7): add(n)", "try:\n  for n in range(8): add(n)\nexcept RuntimeError: pass",
    "import random; print(random.random())", "print({'b', 'a', 'c'})", "1 / 0", "finish()",
    "raise SystemExit",
])  # fmt: skip
PROGRAMS = st.lists(
    st.lists(STATEMENTS, min_size=1, max_size=3).map("\n".join), min_size=1, max_size=4
)


def seen(done: Execution | None) -> tuple[object, ...]:
    """What of a block does not depend on who looks."""
    assert done is not None
    return done.status, done.stdout, done.error, done.calls, done.refused_calls


@settings(max_examples=20, deadline=None)
@given(PROGRAMS, st.sampled_from(sorted(NAMED)))
def test_the_faithful_turns_are_those_of_the_real_run(
    runtime: ZygoteRuntime, codes: list[str], contract: str
) -> None:
    recorded = record(runtime, codes, NAMED[contract])
    here = recorded.trajectory
    there = record(runtime, codes, OTHER[contract]).trajectory  # the same blocks whatever is shown
    found = again(runtime, recorded, OTHER[contract])
    assert here is not None
    assert there is not None
    pairs = list(zip(here.turns, there.turns, strict=False))
    parts = [
        i for i, (a, b) in enumerate(pairs, 1)
        if a.observation != b.observation
    ]  # fmt: skip
    last = parts[0] if parts else len(pairs)
    assert found.faithful_turns == found.same_turns == len(found.turns) == last
    lost = [kind == "lost" for kind in missing_variables(there.turns[:last], ["add", "finish"])]
    assert [turn.lost is not None for turn in found.turns] == lost
    for turn, (a, b) in zip(found.turns, pairs, strict=False):
        assert b.execution is not None
        assert (turn.status, turn.refused) == (b.execution.status, b.execution.refused_calls)
        assert (turn.departs is None) == (seen(a.execution) == seen(b.execution) and not turn.seen)
        assert turn.steady in (None, True)


BEYOND = "try: s = x\nexcept NameError: s = 0\nfor n in range(s, s + 9): add(n)"
CASES = [
    (["x = 1", "print(x)"], "persistent", (2, "lost", "x, last alive in block 1, is gone")),
    (["x = 1", "x"], "stateless", (2, "found", "x was gone in the record")),
    (["x = 1", "try: x\nexcept NameError: print('none')"], "persistent", (2, "guarded", "x")),
    (["x = 1", "try: print(x)\nexcept: print(2)"], "persistent", (2, "output", "reads x")),
    (["n = 2", "try: add(n)\nexcept Exception: add(3)"], "persistent", (2, "calls", "add")),
    (["import os; os._exit(1)", "1"], "persistent", (1, "notes", "restart")),
    (["x = 1", "'x' in globals() or finish()", "1"], "persistent", (2, "calls", "finish")),
    (["import os", "'os' in globals() and os._exit(1)"], "stateless", (2, "died", "status 1")),
    (["import os", "'os' in globals() and os._exit(1)"], "persistent", (2, "survived", "ok")),
    (["x = 1", "1 / ('x' in globals())"], "persistent", (2, "error", "ZeroDivision")),
    (["x = 3", BEYOND, "1"], "persistent", (2, "guarded", "is ready to miss x")),
]  # fmt: skip


@pytest.mark.parametrize(("codes", "contract", "expected"), CASES)
def test_a_departure_is_named(
    runtime: ZygoteRuntime, codes: list[str], contract: str, expected: tuple[int, str, str]
) -> None:
    found = again(runtime, record(runtime, codes, NAMED[contract]), OTHER[contract])
    assert found.departure is not None
    assert (found.departure.number, found.departure.departs) == expected[:2]
    assert expected[2] in found.departure.detail
    assert found.departure.steady


CUT = "x = 1\nfor n in range(9): add(n)"
LEAVE = "open('f', 'w').write('left')"
READ = "try: print(open('f').read())\nexcept OSError: print('none')"
SEE = "print('x' in globals())"
BOUNDARIES = {
    "carryover keeps, for one turn": (CARRYOVER, [CUT, SEE, SEE], (2, "output", "'True', 'False'")),
    "carryover forgets": (CARRYOVER, ["x = 1", SEE, SEE], None),
    "what carryover announces": (CARRYOVER_ANNOUNCED, [CUT, "1"], (1, "notes", "contract's note")),
    "files last": (FILES, [LEAVE, READ, "x"], (2, "output", "'left', 'none'")),
    "names do not": (FILES, ["x = 1", SEE, SEE], None),
    "every second boundary": (ResetEvery(2), ["1", "x = 1", "print(x)"], None),
    "every other boundary": (ResetEvery(2), ["x = 1", SEE, SEE], (2, "output", "'True', 'False'")),
    "what is lost at it": (ResetEvery(2), ["x = 1", SEE, "print(x)"], (2, "output", "line 1")),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_what_a_contract_keeps_is_where_it_departs(runtime: ZygoteRuntime, name: str) -> None:
    """Of what was recorded under `stateless`."""
    contract, codes, expected = BOUNDARIES[name]
    found = again(runtime, record(runtime, codes, STATELESS), contract)
    if expected is None:
        assert found.departure is None
        assert found.faithful_turns == len(codes)
    else:
        assert found.departure is not None
        assert (found.departure.number, found.departure.departs) == expected[:2]
        assert expected[2] in found.departure.detail
        assert found.departure.steady
        assert found.faithful_turns == expected[0]


@pytest.mark.parametrize("contract", [CARRYOVER_ANNOUNCED, FILES, ResetEvery(2)])
def test_a_record_of_any_contract_repeats_itself_and_is_known_by_its_name(
    runtime: ZygoteRuntime, contract: Contract
) -> None:
    """Its own contract is found to tell whether a departure under another is steady."""
    recorded = record(runtime, [f"{LEAVE}\n{CUT}", READ, SEE, SEE], contract)
    assert again(runtime, recorded, contract).departure is None
    elsewhere = again(runtime, recorded, STATELESS)
    assert elsewhere.departure is not None
    assert elsewhere.departure.steady


def test_a_contract_that_breaks_is_put_down_to_itself(runtime: ZygoteRuntime) -> None:
    class Breaks:
        name, notice, false_notice = "breaks", "Some.", "All."

        def keeps(self, turn: int, last: Execution) -> Kept:
            raise ZeroDivisionError("by zero")

    recorded = record(runtime, ["x = 1", "print(x)"])
    with pytest.raises(ContractError, match=r"Contract\.keeps raised ZeroDivisionError: by zero"):
        again(runtime, recorded, Breaks())


class Draws(Counting):
    """A family whose tool answers 1, 2, 3: another in each run, the replay and its control too."""

    def __init__(self) -> None:
        self.drawn = 0

    def environment(self, task: Task) -> Environment:
        self.drawn += 1
        return Counter(task.private["target"], self.drawn)


@pytest.mark.parametrize(
    ("code", "departs", "steady"),
    [
        ("n = add(0)\nif n == 2: 1 / 0\nprint(n)", "error", False),  # its control: other calls
        ("print(add(0))\nprint(x)", "lost", True),
        ("n = add(0)\nif n == 2: print(x)\nif n == 3: del x; print(x)", "lost", False),
    ],
)
def test_a_departure_is_steady_if_the_recorded_contract_shows_none(
    runtime: ZygoteRuntime, code: str, departs: str, steady: bool
) -> None:
    family = Draws()
    recorded = record(runtime, ["x = 1", code], family=family)
    found = replay(recorded, STATELESS, Limits(tool_cap=5), runtime, family=family)
    assert found.departure is not None
    assert (found.departure.number, found.departure.departs) == (2, departs)
    assert found.departure.steady is steady


def test_a_timeout_is_a_departure(short: Short) -> None:
    codes = ["x = 1", "while 'x' not in globals(): pass"]
    found = again(short, record(short, codes), STATELESS)
    assert found.departure is not None
    assert found.departure.departs == "timeout"


def test_what_is_not_shown_ends_no_faith(runtime: ZygoteRuntime) -> None:
    """A block that swallows its loss and prints nothing: the next reply answers the same."""
    codes = ["x = 1", "try: add(x)\nexcept Exception: pass", "print('on')", "y = 1", "print(x)"]
    found = again(runtime, record(runtime, codes), STATELESS)
    assert [turn.departs for turn in found.turns] == [None, "calls", None, None, "lost"]
    assert found.departure is not None
    assert not found.departure.seen
    assert found.faithful_turns == 5
    assert found.first_lost is not None
    assert found.first_lost.number == 5


def test_a_loss_of_the_record_is_told_as_well(runtime: ZygoteRuntime) -> None:
    found = again(runtime, record(runtime, ["x = 1", "print(x)"], STATELESS))
    assert [(turn.departs, turn.lost) for turn in found.turns] == [(None, None), (None, "x")]


def test_every_departure_is_tried_under_the_recorded_contract(runtime: ZygoteRuntime) -> None:
    """Not the first alone."""
    codes = ["x = 1", "try: add(x)\nexcept Exception: pass", "import time; print(time.time_ns())"]
    found = again(runtime, record(runtime, codes), STATELESS)
    assert [turn.departs for turn in found.turns] == [None, "calls", "output"]
    assert [turn.steady for turn in found.turns] == [None, True, False]
    codes[2] = "print('x' in globals())"
    found = again(runtime, record(runtime, codes), STATELESS)
    assert [turn.steady for turn in found.turns] == [None, True, True]


def test_after_what_is_shown_nothing_is_run(runtime: ZygoteRuntime) -> None:
    found = again(runtime, record(runtime, ["x = 1", "print(x)", "add(1)"]), STATELESS)
    assert len(found.turns) == found.faithful_turns == 2


def test_an_episode_that_ends_earlier_departs_there(runtime: ZygoteRuntime) -> None:
    codes = ["x = 1", "try: x\nexcept NameError: finish()", "add(1)"]
    found = again(runtime, record(runtime, codes), STATELESS)
    assert found.departure is not None
    assert (found.departure.number, found.departure.seen) == (2, True)
    assert found.faithful_turns == 2


@pytest.mark.parametrize(("cue", "same"), [("none", True), ("true", False), ("false", False)])
def test_another_prompt_leaves_no_faithful_turn(
    runtime: ZygoteRuntime, cue: Cue, same: bool
) -> None:
    chosen = Settings(max_turns=2, cue=cue)
    found = again(runtime, record(runtime, ["x = 1", "print(x)"], settings=chosen), STATELESS)
    assert found.prompt_same is same
    assert (found.faithful_turns, found.same_turns) == (2 if same else 0, 2)


def test_an_episode_that_ends_all_the_same_is_known_whole(runtime: ZygoteRuntime) -> None:
    """The last turn allowed: nobody is shown what it did."""
    codes = ["x = 1", "x; finish()"]
    more, last = (
        again(runtime, record(runtime, codes, settings=Settings(max_turns=n)), STATELESS)
        for n in (3, 2)
    )
    assert more.departure is not None
    assert (more.departure.departs, more.departure.seen) == ("lost", True)  # it would go on
    assert last.departure is not None
    assert (last.departure.departs, last.departure.seen) == ("lost", False)
    (cell,) = cells([last])
    assert cell.missed[-1] == Missed(2, 1, 1)


def test_a_cap_bites_where_it_did_not(runtime: ZygoteRuntime) -> None:
    codes = ["add(1)", "for n in range(5): print(add(n))", "add(1)"]
    recorded = record(runtime, codes)
    lower = again(runtime, recorded, cap=3)
    assert lower.departure is not None
    assert (lower.departure.number, lower.departure.departs) == (2, "cap")
    assert (lower.departure.demand, lower.departure.refused) == (4, 1)
    assert (lower.same_turns, lower.faithful_turns) == (2, 0)  # the prompt states the cap
    assert [one.calls for one in lower.recorded_demand] == [1, 5, 1]
    cut = record(runtime, codes, settings=Settings(max_turns=3, tool_cap=3))
    higher = again(runtime, cut, cap=5)
    assert higher.departure is not None
    assert (higher.departure.departs, higher.departure.demand) == ("uncapped", 5)
    assert [one.cut for one in higher.recorded_demand] == [False, True, False]
    lowest = again(runtime, cut, cap=2)
    assert lowest.departure is not None
    assert (lowest.departure.departs, lowest.departure.demand) == ("cap", 3)


def test_the_experts_lose_in_replay_what_they_lose_for_real(runtime: ZygoteRuntime) -> None:
    """The real run: the expert of persistent in stateless, up to its first loss."""
    recorded = expert(runtime, "persistent", PERSISTENT, range(4))
    real = expert(runtime, "persistent", STATELESS, range(4))
    for there, other in zip(recorded, real, strict=True):
        assert there.trajectory is not None
        assert other.trajectory is not None
        turns = other.trajectory.turns
        at = missing_variables(turns, other.tools).index("lost")
        done = turns[at].execution
        assert done is not None
        found = again(runtime, there, STATELESS)
        assert found.departure is not None
        assert found.departure.departs == "lost"
        assert found.first_lost is not None
        assert (found.first_lost.number, found.first_lost.lost) == (at + 1, done.missing_name)
        assert found.faithful_turns == at + 1


@pytest.mark.parametrize("name", ["persistent", "stateless"])
def test_the_audit_foretells_it_without_running_anything(runtime: ZygoteRuntime, name: str) -> None:
    for recorded in expert(runtime, name, PERSISTENT, range(3)):
        assert recorded.trajectory is not None
        codes = tuple(
            block(turn.code or "", turn.observation) for turn in recorded.trajectory.turns
        )
        foretold = audit_trace(Trace(recorded.id, "okrt", codes, frozenset(recorded.tools)))
        found = again(runtime, recorded, STATELESS)
        assert foretold.misses is (found.first_lost is not None) is (name == "persistent")
        if found.first_lost is not None:
            first = min(one.block for one in foretold.findings if one.kind == "reads")
            assert found.first_lost.number == first


# -- what cannot be replayed ----------------------------------------------------------------------


def test_an_episode_that_was_broken_off_is_refused(runtime: ZygoteRuntime) -> None:
    whole = record(runtime, ["1"])
    broken = replace(whole, trajectory=None, failure=Failure("model", "E", "gone"))
    with pytest.raises(UsageError, match="broken off"):
        again(runtime, broken)


def test_another_family_is_refused(runtime: ZygoteRuntime) -> None:
    recorded = record(runtime, ["1"])
    with pytest.raises(SpecError, match="give --family"):
        replay(recorded, STATELESS, Limits(), runtime)


def test_a_contract_without_a_name_leaves_the_cause_open(runtime: ZygoteRuntime) -> None:
    recorded = replace(record(runtime, ["x = 1", "print(x)"]), contract="mine")
    found = replay(recorded, STATELESS, Limits(tool_cap=5), runtime, family=FAMILY)
    assert found.departure is not None
    assert (found.departure.departs, found.departure.steady) == ("lost", None)


def test_a_sandbox_that_fails_is_no_departure(
    runtime: ZygoteRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record(runtime, ["1"])
    opened: list[object] = []

    def fails(*arguments: object, **named: object) -> None:
        opened.append(arguments)
        raise RuntimeFailure("no sandbox")

    monkeypatch.setattr(runtime, "open", fails)
    monkeypatch.setattr(replaying, "run_cases", partial(run_cases, sleep=lambda s: None))
    with pytest.raises(RuntimeFailure, match="no sandbox"):
        again(runtime, recorded)
    assert len(opened) == TRIES
