"""What arrives on the wire is read as data of fixed types, or ends the process that sent it."""

from __future__ import annotations

import pickle

import pytest

from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.types import Contract, Limits
from tests.attacks.conftest import Attack

SEND = """
import json, os, stat, sys, time
def is_socket(n):
    try: return stat.S_ISSOCK(os.fstat(n).st_mode)
    except OSError: return False
wire = next(n for n in range(256) if is_socket(n))
def raw(data):
    while data: data = data[os.write(wire, data):]
def send(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    raw(len(data).to_bytes(4, 'big') + data)
frame, step = sys._getframe(), None
while frame:
    for value in list(frame.f_locals.values()):
        if isinstance(value, dict) and {'step', 'turn'} <= value.keys(): step = value['step']
    frame = frame.f_back
assert step, 'the step id is nowhere'
call = {'type': 'call', 'step': step, 'id': 1, 'tool': 'tool', 'args': [], 'kwargs': {}}
done = {'type': 'done', 'step': step, 'bound': []}
"""
STAY = "\ntime.sleep(3600)"
LIMITS = Limits(block_s=5)


class Pickled:
    """Unpickling it would write a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("/tmp/okrt-attack-pickle", "w"))


BAD = {
    "garbage": "raw(b'garbage garbage garbage')",
    "the largest length": "raw(b'\\xff' * 8)",
    "a huge frame": "send(b' ' * (1 << 24))",
    "no JSON": "send(b'no json')",
    "an empty frame": "send(b'')",
    "a list": "send([1, 2])",
    "an empty object": "send({})",
    "no UTF-8": "send(b'\\xff\\xfe')",
    "a deep frame": "send(b'[' * 500_000)",
    "a deep call": "send(json.dumps(call).encode().replace(b'[]', b'[' * 5000 + b']' * 5000))",
    "a deeper call": (
        "send(json.dumps(call).encode().replace(b'[]', b'[' * 400_000 + b']' * 400_000))"
    ),
    "a pickle": f"send({pickle.dumps(Pickled())!r})",
    "a pickle within": f"send(dict(call, args={pickle.dumps(Pickled())!r}.decode('latin-1')))",
    "another step's end": "send(dict(done, step='0' * 16))",
    "another step's call": "send(dict(call, step='0' * 16))",
    "ready once more": "send({'type': 'ready'})",
    "failed": "send({'type': 'failed', 'message': 'x'})",
    "an unknown type": "send({'type': 'eval', 'code': '1'})",
    "a tool that is none": "send(dict(call, tool='__import__'))",
    "a tool's attribute": "send(dict(call, tool='tool.__globals__'))",
    "arguments that are none": "send(dict(call, args=7))",
    "an integer of any size": "send(json.dumps(call).encode().replace(b'[]', b'[1' + b'0' * 400_000 + b']'))",  # noqa: E501
    "nan": "send(json.dumps(call).encode().replace(b'[]', b'[NaN]'))",
    "names that are none": "send(dict(done, bound=[1, None]))",
}  # fmt: skip


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda contract: contract.name)
@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_bad_frame_ends_the_process(attack: Attack, code: str, contract: Contract) -> None:
    served: list[object] = []
    block = attack(
        f"{SEND}{code}{STAY}", contract=contract, tools={"tool": served.append}, limits=LIMITS
    )
    assert block.status == "died", block
    assert block.error is not None
    assert block.error.startswith("The process was killed: it ")
    assert served == []


def test_a_forged_end_spoils_its_own_step_alone(attack: Attack) -> None:
    forged = f"{SEND}send(dict(done, bound=['forged'], error_type='E', error='e'))\nsend(done)"
    block = attack("a = 1", forged, "print('next')", "print('on')")
    assert (block.status, block.stdout) == ("ok", "on\n")


def test_no_forged_end_is_taken_for_a_later_one(attack: Attack) -> None:
    """Were one left over, every later answer would be that of the block before."""
    served: list[int] = []
    forged = f"{SEND}send(done); send(done); send(done)"
    later = [f"tool({n})" for n in range(4)]
    block = attack(forged, *later, tools={"tool": served.append})
    assert [call.args for call in block.calls] == [(3,)]
    assert served in ([0, 1, 2, 3], [1, 2, 3])


def test_forged_calls_count(attack: Attack) -> None:
    served: list[int] = []

    def tool() -> None:
        served.append(1)

    block = attack(
        f"{SEND}while True: send(call); os.read(wire, 4096)",
        tools={"tool": tool},
        limits=Limits(block_s=0.5, tool_cap=5),
    )
    assert block.status == "timeout"
    assert (len(served), len(block.calls)) == (5, 5)
    assert block.refused_calls > 5


def test_a_caller_that_reads_no_answer_piles_up_nothing(attack: Attack) -> None:
    served = []

    def tool() -> str:
        served.append(1)
        return "x" * 100_000

    limits = Limits(block_s=0.5, tool_cap=10**6)
    block = attack(f"{SEND}while True: send(call)", tools={"tool": tool}, limits=limits)
    assert block.status == "timeout"
    assert len(served) < 50


def test_half_a_frame_holds_up_nobody(attack: Attack) -> None:
    limits = Limits(block_s=0.5)
    assert (
        attack(f"{SEND}raw(b'\\x00\\x00\\x10\\x00{{')\n{STAY}", limits=limits).status == "timeout"
    )


def test_descriptors_sent_along_stay_with_nobody(attack: Attack) -> None:
    """Sent as ancillary data; `attack` counts the host's descriptors."""
    code = f"""{SEND}
import array, socket
here = socket.socket(fileno=os.dup(wire))
held = array.array('i', [os.open('.', os.O_RDONLY) for _ in range(50)])
try: here.sendmsg([b'\\x00'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)])
except OSError: pass
{STAY}"""
    assert attack(code, limits=Limits(block_s=0.5)).status in ("timeout", "died")


def test_a_million_calls_are_counted_and_refused(attack: Attack) -> None:
    served: list[int] = []
    code = "for n in range(1_000_000):\n    try: tool(n)\n    except ToolCapExceeded: refused = n"
    block = attack(code, tools={"tool": served.append}, limits=Limits(block_s=1, tool_cap=25))
    assert block.status == "timeout"
    assert served == list(range(25))
    assert block.refused_calls > 100


def test_a_million_calls_within_a_large_cap_end_at_the_deadline(attack: Attack) -> None:
    limits = Limits(block_s=1, tool_cap=10**7)
    block = attack("for n in range(1_000_000): tool(n)", tools={"tool": lambda n: n}, limits=limits)
    assert block.status == "timeout"
    assert [call.args for call in block.calls] == [(n,) for n in range(len(block.calls))]


ARGUMENTS = {
    "an object": "object()",
    "a function": "print",
    "a set": "{1}",
    "bytes": "b'x'",
    "a lone surrogate": "'\\ud800'",
    "nan": "float('nan')",
    "a giant integer": "1 << 100",
    "a list within itself": "(lambda x: x.append(x) or x)([])",
    "a key that is no text": "{1: 2}",
    "a deep list": "__import__('functools').reduce(lambda x, _: [x], range(500), 1)",
}


@pytest.mark.parametrize("argument", ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_that_are_no_json_never_leave_the_block(attack: Attack, argument: str) -> None:
    code = f"try: tool({argument})\nexcept TypeError: print('TypeError')"
    block = attack(code, tools={"tool": lambda x: x})
    assert (block.status, block.stdout, block.calls) == ("ok", "TypeError\n", ())


def test_a_string_that_pretends_to_be_one(attack: Attack) -> None:
    """A subclass could answer differently when it is encoded."""
    code = (
        "class S(str):\n    def __str__(self): return 'evil'\n"
        "    def encode(self, *a): return b'evil'\n"
        "class L(list):\n    def __iter__(self): return iter(['evil'])\n"
        'class N(int):\n    def __repr__(self): return \'[], "tool": "x"\'\n'
        "for x in (S('s'), L([1]), N(3)):\n    try: tool(x)\n    except TypeError: pass"
    )
    block = attack(code, tools={"tool": lambda x: x})
    assert block.status == "ok", block
    assert all(call.name == "tool" for call in block.calls)
