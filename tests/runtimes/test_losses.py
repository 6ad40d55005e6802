"""Whatever becomes of a block's process is data, and the next block answers."""

from __future__ import annotations

import pickle
import time

import pytest

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, Limits
from tests.runtimes.conftest import Play

SHORT = Limits(block_s=0.5)


def after(play: Play, code: str, contract: Contract, limits: Limits = SHORT) -> Execution:
    """Returns the execution of a block, having seen that the blocks after it are answered."""
    _, block, empty, full = play("a = 1", code, "b = 2", "b", contract=contract, limits=limits)
    keeps = contract is PERSISTENT
    assert block.carried_names == (("a",) if keeps else ())
    assert (empty.status, full.status) == ("ok", "ok" if keeps else "raised")
    if block.bound_names is None:
        assert empty.carried_names == ()
    assert block.restarted == (keeps and block.bound_names is None)
    return block


contracts = pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda c: c.name)

# -- deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (PERSISTENT, "while True: pass"),
        (STATELESS, "while True: pass"),
        (STATELESS, "while True: print('x' * 1000)"),
        (PERSISTENT, "import time; time.sleep(60)"),
        (
            STATELESS,
            "import signal, time\nfor n in range(1, 32):\n"
            "    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        ),
        (PERSISTENT, "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"),
        (PERSISTENT, "class A:\n    def __del__(self):\n        import time; time.sleep(60)\nA()"),
        (
            STATELESS,
            "import time\nclass E(Exception):\n    def __str__(self): time.sleep(60)\nraise E",
        ),
        (PERSISTENT, "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"),
        (STATELESS, "import os; os.closerange(0, 3)\nwhile True: pass"),
        (STATELESS, "import os; os.closerange(0, 3); os.close(4)\nwhile True: pass"),
    ],
)
def test_a_block_past_its_deadline_is_stopped(play: Play, contract: Contract, code: str) -> None:
    block = after(play, code, contract)
    assert (block.status, block.bound_names) == ("timeout", None)
    assert block.error == "The block was stopped after 0.5 s."
    assert block.error_type is None


def test_what_was_printed_before_the_deadline_is_shown(play: Play) -> None:
    (block,) = play("print('before')\nwhile True: pass", limits=SHORT)
    assert block.stdout == "before\n"


@contracts
def test_the_time_of_tools_counts(play: Play, contract: Contract) -> None:
    tools = {"slow": lambda: time.sleep(0.6)}
    block, on = play("slow()\nprint('not seen')", "print(1)", tools=tools, limits=SHORT)
    assert (block.status, block.stdout, len(block.calls)) == ("timeout", "", 1)
    assert on.stdout == "1\n"


# -- deaths ---------------------------------------------------------------------------------------


@contracts
@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("import os; os._exit(3)", "ended with exit status 3"),
        ("import os; os._exit(0)", "ended with exit status 0"),
        ("import ctypes; ctypes.string_at(0)", "killed by signal 11 (SIGSEGV)"),
        ("import os; os.abort()", "killed by signal 6 (SIGABRT)"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9 (SIGKILL)"),
        ("import os; os.kill(os.getpid(), 40)", "killed by signal 40 (real-time)"),
        ("import sys; sys.setrecursionlimit(10**9)\ndef f(x): return list(map(f, [x]))\nf(0)", ""),
    ],
)
def test_a_death_is_told_with_its_cause(
    play: Play, contract: Contract, code: str, end: str
) -> None:
    block = after(play, f"print('before')\n{code}", contract, Limits(block_s=5))
    if not end:  # what a stack overflow ends in is up to the interpreter
        assert block.status in ("died", "raised")
        return
    assert (block.status, block.stdout, block.bound_names) == ("died", "before\n", None)
    assert block.error is not None
    assert block.error.endswith(f"{end}.")
    assert block.error_type is None


def test_calls_made_before_a_death_are_recorded(play: Play) -> None:
    (block,) = play("t(1)\nimport os; os._exit(1)", tools={"t": lambda x: x})
    assert [call.args for call in block.calls] == [(1,)]


@pytest.mark.parametrize("descriptors", ["range(3, 99)", "range(99)", "[3]"])
def test_a_process_that_closes_its_wire_is_killed(play: Play, descriptors: str) -> None:
    block = after(
        play,
        f"import os\nfor n in {descriptors}:\n    try: os.close(n)\n    except OSError: pass",
        PERSISTENT,
    )
    assert block.status == "died"


def test_closing_the_wire_and_staying_is_told_as_such(play: Play) -> None:
    block = after(
        play, "import os, time; os.close(3); time.sleep(60)", STATELESS, Limits(block_s=9)
    )
    assert block.error == "The process closed its wire and was killed."


# -- frames that no block of ours sends -----------------------------------------------------------

FRAME = "import os, json\ndef send(b): os.write(3, len(b).to_bytes(4, 'big') + b)\n"


@contracts
@pytest.mark.parametrize(
    "code",
    [
        "os.write(3, b'garbage garbage garbage')",
        "os.write(3, b'\\xff' * 8)",
        "send(b'not json')",
        "send(b'[1, 2]')",
        "send(b'{}')",
        "send(b'\\xff\\xfe')",
        "send(b'[' * 500_000)",
        'send(b\'{"type":"done","step":"x","bound":["\' + b\'\\\\ud800\' + b\'"]}\')',
        "send(json.dumps({'type': 'done', 'step': '0' * 16, 'bound': []}).encode())",
        "send(json.dumps({'type': 'ready'}).encode())",
        "send(json.dumps({'type': 'failed', 'message': 'x'}).encode())",
        f"send({pickle.dumps(print)!r})",
        "send(b'')",
    ],
)
def test_a_forged_frame_ends_the_process(play: Play, contract: Contract, code: str) -> None:
    block = after(play, f"{FRAME}{code}\nimport time; time.sleep(60)", contract, Limits(block_s=9))
    assert block.status == "died"
    assert block.error is not None
    assert block.error.startswith("The process was killed: it ")


STEP = """
import gc
(me,) = [o for o in gc.get_objects() if type(o).__name__ == 'Worker']
def call(**changes):
    frame = {'type': 'call', 'step': me._step, 'id': 1, 'tool': 't', 'args': [], 'kwargs': {}}
    return json.dumps({**frame, **changes}).encode()
"""


@pytest.mark.parametrize(
    "code",
    [
        "send(call(tool='other'))",
        "send(call(args=[2**70]))",
        "send(call().replace(b'[]', b'[' * 200 + b']' * 200))",
        "send(call().replace(b'[]', b'[' * 400_000 + b']' * 400_000))",
        "send(call(args=7))",
    ],
)
def test_a_forged_call_ends_the_process(play: Play, code: str) -> None:
    sleep = "import time; time.sleep(60)"
    (block,) = play(
        f"{FRAME}{STEP}{code}\n{sleep}", tools={"t": lambda *args: None}, limits=Limits(block_s=9)
    )
    assert block.status == "died"
    assert block.calls == ()


def test_a_caller_that_reads_no_answers_piles_up_nothing(play: Play) -> None:
    served = []

    def t() -> str:
        served.append(1)
        return "x" * 100_000

    (block,) = play(
        f"{FRAME}{STEP}while True: send(call())",
        tools={"t": t},
        limits=Limits(block_s=0.5, tool_cap=10**6),
    )
    assert block.status == "timeout"
    assert len(served) < 20


# -- between blocks -------------------------------------------------------------------------------

LATER = """
import gc, os, threading, time
(runner,) = [o for o in gc.get_objects() if type(o).__name__ == 'Worker']
def later():
    while runner._step is not None: time.sleep(0.002)
    time.sleep(0.05)
    {}
threading.Thread(target=later).start()
"""


def pause(runtime: ZygoteRuntime, code: str) -> Execution:
    """Runs what a block leaves behind, while no block runs, and returns the next execution."""
    with runtime.open(PERSISTENT, {}, Limits()) as session:
        assert session.execute(f"a = 1\n{LATER.format(code)}").status == "ok"
        time.sleep(0.5)
        block = session.execute("print('ran')")
        last = session.execute("print('on')")
    assert last.stdout == "on\n"
    assert block.carried_names is not None
    assert "a" in block.carried_names
    assert (last.carried_names == ()) == block.restarted == (block.status == "died")
    return block


def test_bytes_between_blocks_end_the_process(runtime: ZygoteRuntime) -> None:
    block = pause(runtime, "os.write(3, b'x')")
    assert (block.status, block.stdout) == ("died", "")
    assert block.error == "The process was killed: it sent a message between two blocks."


def test_a_death_between_blocks_is_told_by_the_next(runtime: ZygoteRuntime) -> None:
    block = pause(runtime, "os._exit(5)")
    assert (block.status, block.stdout) == ("died", "")
    assert block.error == "The process ended with exit status 5."


def test_output_between_blocks_is_dropped_and_counted(runtime: ZygoteRuntime) -> None:
    block = pause(runtime, "print('late')")
    assert (block.status, block.stdout, block.late_output_bytes) == ("ok", "ran\n", 5)


def test_threads_that_go_on_harm_nothing(play: Play) -> None:
    blocks = play(
        "import threading, itertools\n"
        "def spin():\n    for i in itertools.count(): print(end='')\n"
        "for _ in range(4): threading.Thread(target=spin).start()",
        *["print('on')"] * 3,
    )
    assert [block.stdout for block in blocks[1:]] == ["on\n"] * 3


def test_a_thread_that_floods_the_output_holds_nothing_up(play: Play) -> None:
    blocks = play(
        "import threading, os\n"
        "def flood():\n    while True: os.write(1, b'x' * 60_000)\n"
        "threading.Thread(target=flood).start()",
        *["a = 1"] * 3,
    )
    assert [block.status for block in blocks] == ["ok"] * 4
