"""Output is bounded, whatever is in it and however it is written."""

from __future__ import annotations

import pytest

from okrt.runtimes.contracts import STATELESS
from okrt.types import Limits
from tests.attacks.conftest import Attack

CAP = 4096
FLOOD = Limits(block_s=2, output_bytes=CAP)

FLOODS = {
    "a gigabyte by print": "for _ in range(64): print('x' * (1 << 24))",
    "a gigabyte by os.write": "import os\nfor _ in range(1 << 14): os.write(1, b'x' * 65536)",
    "a gigabyte on both streams": (
        "import os\nfor _ in range(1 << 13): os.write(1, b'x' * 65536), os.write(2, b'y' * 65536)"
    ),
    "many short lines": "while True: print()",
    "a flood from threads": (
        "import os, threading\ndef flood():\n    while True: os.write(1, b'x' * 65536)\n"
        "for _ in range(4): threading.Thread(target=flood).start()\nflood()"
    ),
    "a giant line on stderr": "import sys; sys.stderr.write('x' * (1 << 25))",
}


@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_cut_and_counted(attack: Attack, code: str) -> None:
    block = attack(code, limits=FLOOD)
    assert block.status in ("ok", "timeout")
    assert len(block.stdout) < CAP + 200
    assert block.truncated_chars > 1_000_000 or "print()" in code
    assert f"output cut at {CAP:,} bytes" in block.stdout


def test_a_giant_error_is_cut(attack: Attack) -> None:
    block = attack("raise ValueError('x' * (1 << 25))", limits=Limits(block_s=5))
    assert (block.status, block.error_type) == ("raised", "ValueError")
    assert block.error is not None
    assert len(block.error) < 50_000


def test_a_giant_name_of_an_error_harms_nothing(attack: Attack) -> None:
    block = attack("raise type('E' * (1 << 22), (Exception,), {})()", limits=Limits(block_s=5))
    assert block.status in ("raised", "died")
    assert len(block.error or "") < 50_000


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print('\\ud800')", "\\ud800\n"),
        ("import os; os.write(1, b'\\xff\\xfe\\n')", "\ufffd\ufffd\n"),
        ("print('\\x00\\x1b[2J')", "\x00\x1b[2J\n"),
        ("import os; os.write(1, '\u00e9'.encode()[:1])", "\ufffd"),
        ("import sys; sys.stdout.buffer.write(bytes([0x80]) * 3)", "\ufffd\ufffd\ufffd"),
    ],
    ids=["a lone surrogate", "no UTF-8", "control characters", "half a character", "raw bytes"],
)
def test_what_cannot_be_encoded_is_shown_somehow(attack: Attack, code: str, shown: str) -> None:
    assert attack(code).stdout == shown


def test_late_output_reaches_no_later_block(attack: Attack) -> None:
    late = (
        "import os, threading, time\ndef late():\n    while True:\n"
        "        os.write(1, b'late'); time.sleep(0.001)\nthreading.Thread(target=late).start()"
    )
    block = attack(late, "import time; time.sleep(0.05); print('own')", contract=STATELESS)
    assert (block.status, block.stdout) == ("ok", "own\n")


def test_the_names_a_block_leaves_are_bounded(attack: Attack) -> None:
    """They travel in a frame, which has a size."""
    code = "for n in range(200_000): globals()[f'name_{n}' * 4] = n"
    block = attack(code, limits=Limits(block_s=5))
    assert block.status in ("ok", "died")
