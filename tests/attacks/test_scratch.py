"""Scratch is bounded in total, and gone afterwards, whatever was put into it."""

from __future__ import annotations

import shutil
import tempfile

import pytest

from okrt.runtimes.contracts import STATELESS
from okrt.types import Limits
from tests.attacks.conftest import Attack

MOST = 1 << 30
"""Bytes that no block gets to write: on T0 it is stopped when it is seen to have written too much,
which is a moment after."""
LIMITS = Limits(block_s=4, memory_mib=512)

FILLS = {
    "one big file": (
        "with open('x', 'wb') as f:\n    while True: f.write(bytes(1 << 22)); f.flush()"
    ),
    "one big file by mmap": (
        "import mmap\nfd = os.open('x', os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 1 << 30)\n"
        "m = mmap.mmap(fd, 1 << 28)\nfor n in range(0, 1 << 28, 4096): m[n] = 1"
    ),
    "fallocate": "fd = os.open('x', os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, 1 << 40)",
    "many files": (
        "n = 0\nwhile True:\n    n += 1\n"
        "    with open(f'x{n}', 'wb') as f: f.write(bytes(1 << 20))"
    ),
    "many files that are unlinked but open": (
        "held = []\nwhile True:\n    f = open('x', 'wb'); f.write(bytes(1 << 22)); f.flush()\n"
        "    os.unlink('x'); held.append(f)"
    ),
    "many empty files": "n = 0\nwhile True: n += 1; open(f'x{n}', 'w').close()",
    "many directories": "n = 0\nwhile True: n += 1; os.mkdir(f'x{n}')",
    "deep directories": "while True: os.mkdir('x'); os.chdir('x')",
    "many links": "open('x', 'w').close()\nn = 0\nwhile True: n += 1; os.link('x', f'x{n}')",
    "long symbolic links": "n = 0\nwhile True: n += 1; os.symlink('x' * 4000, f'x{n}')",
    "locked directories": (
        "for n in range(100): os.mkdir(f'x{n}', 0o0)"
    ),
    "files in a directory that cannot be listed": (
        "os.mkdir('x', 0o300)\nn = 0\nwhile True:\n    n += 1\n"
        "    with open(f'x/{n}', 'wb') as f: f.write(bytes(1 << 20))"
    ),
}  # fmt: skip


SLOW = ("many directories", "long symbolic links")
"""On T0 they make so many that the kernel takes up to half a minute to remove them."""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name, marks=[pytest.mark.thorough] * (name in SLOW))
        for name, code in FILLS.items()
    ],
)
def test_filling_scratch_ends(attack: Attack, code: str) -> None:
    """With an error, a death or the deadline; `attack` sees that all of it is gone."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    block = attack(f"import os\n{code}", limits=LIMITS)
    assert block.status in ("ok", "raised", "died", "timeout")
    assert block.error_type in (None, "OSError", "MemoryError", "ValueError", "FileNotFoundError")
    assert shutil.disk_usage(tempfile.gettempdir()).free > free - MOST


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 1 << 24])
def test_no_session_holds_more_than_its_share(attack: Attack, size: int) -> None:
    fill = (
        "written, n = 0, 0\ntry:\n"
        f"    while written < {MOST} + {size}:\n        n += 1\n"
        f"        with open(f'x{{n}}', 'wb', buffering=0) as f: written += f.write(bytes({size}))\n"
        "except OSError: pass\nprint(written)"
    )
    block = attack(fill, limits=Limits(block_s=20))
    assert block.status in ("ok", "died"), block
    if block.status == "ok":
        assert int(block.stdout) < MOST


def test_scratch_is_new_for_every_stateless_block(attack: Attack) -> None:
    leave = "import os; open('left', 'w').write('x'); os.mkdir('d'); os.chdir('d')"
    block = attack(leave, "import os; print(os.listdir('.'))", contract=STATELESS)
    assert block.stdout == "[]\n"


def test_the_scratch_of_another_session_is_closed(attack: Attack) -> None:
    """The neighbour's lies beside it."""
    code = (
        "import os\nfor up in ('..', '../..'):\n    try: print(os.listdir(up))\n"
        "    except OSError: continue\n"
        "here = os.getcwd(); base = os.path.dirname(here)\n"
        "for n in range(2000):\n    path = f'{base}/{n}'\n"
        "    if path == here: continue\n    try: os.listdir(path); print('DONE', path)\n"
        "    except OSError: continue\n"
        "    try: open(path + '/okrt-attack-x', 'w'); print('DONE', path)\n"
        "    except OSError: pass"
    )
    block = attack(code)
    assert block.status == "ok"
    assert "DONE" not in block.stdout
