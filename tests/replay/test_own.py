"""A record repeats itself under its own contract and cap, to the byte."""

from __future__ import annotations

import pytest

from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Settings
from tests.replay.recording import NAMED, OTHER, Short, again, expert, record

HOSTILE = {
    "random": ["import random", "import random; print(random.random())"],
    "hashes": ["print({str(n) for n in range(50)}, hash('a'))"],
    "exit": ["x = 1\nimport os; os._exit(3)", "print('x' in globals())"],
    "system exit": ["raise SystemExit(4)"],
    "forged": ["import os, stat\nfor fd in range(3, 20):\n  try:\n"
               "    if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, b'\\0\\0\\0\\2{}')\n"
               "  except OSError: pass", "print(1)"],
    "deep": ["def f(): return f()\nf()"],
    "flood": ["print('y' * 100_000)", "import sys; print(1); print(2, file=sys.stderr)"],
    "patched": ["import builtins; builtins.print = None", "print(1)"],
    "no python": ["print(", "1 +"],
    "own error": ["class E(Exception):\n  def __str__(self): raise ValueError\nraise E"],
    "beyond the cap": ["for n in range(9): add(n)", "try:\n  for n in range(9): add(n)\n"
                       "except ToolCapExceeded: print('enough')"],
    "wrong calls": ["add('x')", "add(1, 2, 3)", "print(add(2**70))"],
    "lost": ["x = 1", "print(x)", "def f(): return x\nx = 2", "print(f())"],
    "nothing": ["pass", ""],
}  # fmt: skip


@pytest.mark.parametrize("contract", NAMED)
@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_block_does_to_its_process_is_repeated(
    runtime: ZygoteRuntime, name: str, contract: str
) -> None:
    recorded = record(runtime, HOSTILE[name], NAMED[contract])
    found = again(runtime, recorded)
    assert found.own
    assert found.departure is None
    assert found.faithful_turns == found.recorded_turns == len(HOSTILE[name])


def test_a_repeat_has_a_seed_of_its_own(runtime: ZygoteRuntime) -> None:
    first, second = (record(runtime, HOSTILE["random"], repeat=n) for n in (0, 1))
    assert first.trajectory is not None
    assert second.trajectory is not None
    assert first.trajectory.turns[1].execution != second.trajectory.turns[1].execution
    assert again(runtime, second).departure is None


def test_a_timeout_is_repeated(short: Short) -> None:
    codes = ["x = 1\nprint('so far')\nwhile True: pass", "print('x' in globals())"]
    found = again(short, record(short, codes))
    assert [turn.status for turn in found.turns] == ["timeout", "ok"]
    assert found.departure is None


ENDINGS = {
    "finished": (["x = add(1)", "finish(); print(x)"], Settings(), False),
    "max_turns": (["x = add(1)", "print(x)"], Settings(max_turns=2), False),
    "context": (["x = add(1)", "print(x)"], Settings(), True),
    "token_budget": (["x = add(1)", "print(x)"], Settings(token_budget=20), False),
}


@pytest.mark.parametrize("contract", NAMED)
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_repeated(runtime: ZygoteRuntime, ending: str, contract: str) -> None:
    codes, settings, gives = ENDINGS[ending]
    recorded = record(runtime, codes, NAMED[contract], settings, gives=gives)
    assert recorded.trajectory is not None
    assert recorded.trajectory.ending == ending
    assert again(runtime, recorded).departure is None
    elsewhere = again(runtime, recorded, OTHER[contract])
    assert elsewhere.departure is not None
    assert elsewhere.departure.number == 2


@pytest.mark.parametrize("format", ["code_tag", "tool_call"])
@pytest.mark.parametrize("names", [False, True])
def test_notes_and_names_are_repeated(runtime: ZygoteRuntime, format: str, names: bool) -> None:
    settings = Settings(max_turns=2, format=format, names=names)  # type: ignore[arg-type]
    recorded = record(runtime, ["x = 1", "print(x)"], settings=settings)
    assert recorded.trajectory is not None
    assert recorded.trajectory.turns[0].reply_problem is not None  # the blocks are fenced
    assert again(runtime, recorded).departure is None


@pytest.mark.parametrize("name", ["persistent", "stateless"])
@pytest.mark.parametrize("contract", NAMED)
def test_the_experts_are_repeated(runtime: ZygoteRuntime, name: str, contract: str) -> None:
    for recorded in expert(runtime, name, NAMED[contract], range(3)):
        found = again(runtime, recorded)
        assert found.departure is None
        assert len(found.turns) == found.recorded_turns > 3


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["persistent", "stateless"])
@pytest.mark.parametrize("contract", NAMED)
def test_a_hundred_episodes_are_repeated(runtime: ZygoteRuntime, name: str, contract: str) -> None:
    recorded = expert(runtime, name, NAMED[contract], range(25), "easy")
    assert [again(runtime, one).departure for one in recorded] == [None] * 25


def test_a_clock_is_found_out_and_named(runtime: ZygoteRuntime) -> None:
    recorded = record(runtime, ["import time", "import time; print(time.time_ns())", "print(1)"])
    found = again(runtime, recorded)
    assert found.departure is not None
    assert (found.departure.number, found.departure.departs) == (2, "output")
    assert found.departure.steady is False
    assert "name time" in found.departure.detail
    assert [turn.departs for turn in found.turns] == [None, "output", None]  # it goes on


def test_an_address_is_not_put_down_to_the_contract(runtime: ZygoteRuntime) -> None:
    recorded = record(runtime, ["import uuid; print(uuid.uuid4())", "print(1)"])
    found = again(runtime, recorded, OTHER["persistent"])
    assert found.departure is not None
    assert found.departure.steady is False
    assert found.faithful_turns == len(found.turns) == 1
