"""What a block leaves to the next where files survive: hostile data, no more than its share."""

from __future__ import annotations

import pytest

from okrt.runtimes.contracts import FILES
from okrt.runtimes.probe import FORBIDDEN
from okrt.types import Limits
from tests.attacks.conftest import Attack, Runtimes

LEFT = {
    "links that lead out": (
        "os.symlink('/', 'root'); os.symlink('..', 'up'); os.symlink('self', 'self')"
    ),
    "pipes": "for n in range(50): os.mkfifo(f'p{n}')",
    "locked directories": "for n in range(50): os.mkdir(f'x{n}', 0)",
    "names that are no text": "for n in range(128, 256): open(bytes([n]) * 200, 'w').close()",
    "deep directories": "for _ in range(500): os.mkdir('x'); os.chdir('x')",
    "many files": "for n in range(3500): open(f'x{n}', 'w').close()",
    "hard links": "open('x', 'w').close()\nfor n in range(500): os.link('x', f'x{n}')",
    "files that are open and mapped": (
        "import mmap\nkept = open('x', 'wb+'); kept.truncate(1 << 20)\n"
        "view = mmap.mmap(kept.fileno(), 1 << 20); view[0] = 1; os.unlink('x')"
    ),
    "an endless file without content": "with open('x', 'wb') as f: f.truncate(60 << 20)",
    "another place to stand": "os.mkdir('x'); os.chdir('x'); os.environ['HOME'] = os.getcwd()",
}
STAND = "import os; print(os.getcwd() == os.environ['HOME'] == os.environ['TMPDIR'], os.getcwd())"


@pytest.mark.parametrize("code", LEFT.values(), ids=LEFT)
@pytest.mark.parametrize(
    "end",
    [
        pytest.param("", id=""),
        pytest.param("\nos._exit(1)", id="dies", marks=pytest.mark.thorough),
        pytest.param("\nwhile True: pass", id="late", marks=pytest.mark.thorough),
    ],
)
def test_what_is_left_holds_up_nobody(attack: Attack, code: str, end: str) -> None:
    """The next block answers, in the same place; `attack` sees that all of it is gone."""
    block = attack(STAND, f"import os\n{code}{end}", STAND, contract=FILES)
    assert (block.status, block.stdout.split()[0]) == ("ok", "True")


def test_the_quota_is_that_of_the_episode(runtimes: Runtimes, tier: str) -> None:
    """T1: no room; T0: the process is killed, and the next starts empty, or none would ever run."""
    write = (
        "import os, time\nopen(str(len(os.listdir())), 'wb').write(bytes(20 << 20))\n"
        "if os.path.exists('3'): time.sleep(5)\n"  # the zygote looks now and then
        "print(len(os.listdir()))"
    )
    with runtimes.of(tier).open(FILES, {}, Limits(block_s=8)) as session:
        blocks = [session.execute(write) for _ in range(4)]
        after = session.execute("import os; print(len(os.listdir()))")
    assert [block.stdout for block in blocks[:3]] == ["1\n", "2\n", "3\n"]
    if tier == "T1":
        assert (blocks[3].error_type, after.stdout) == ("OSError", "4\n")
        assert not any(block.restarted for block in blocks)
    else:
        assert blocks[3].error is not None
        assert "more than 64 MiB" in blocks[3].error
        assert [block.restarted for block in blocks] == [False, False, False, True]
        assert (after.status, after.stdout) == ("ok", "0\n")


def test_the_process_before_is_dead(runtimes: Runtimes, tier: str) -> None:
    """A thread of it that writes on and on has stopped when the next block looks."""
    grows = (
        "import threading\ndef run():\n    with open('f', 'ab', buffering=0) as f:\n"
        "        while True: f.write(b'x')\n"
        "for _ in range(3): threading.Thread(target=run).start()"
    )
    look = (
        "import os, time\nbefore = os.stat('f').st_size; time.sleep(0.05)\n"
        "print(before > 0, os.stat('f').st_size == before)"
    )
    for _ in range(5):
        with runtimes.of(tier).open(FILES, {}, Limits()) as session:
            session.execute(grows)
            assert session.execute(look).stdout == "True True\n"


def test_the_scratch_of_another_session_is_closed_to_an_heir(attack: Attack) -> None:
    """The neighbour's lies beside it, and so do those of sessions that are over."""
    reach = (
        "import os\nhere = os.getcwd(); base = os.path.dirname(here)\n"
        "for n in range(300):\n    path = f'{base}/{n}'\n    if path == here: continue\n"
        "    os.symlink(path + '/f', f'l{n}')\n"
        "    for act in (os.listdir, os.mkdir, os.rmdir, lambda path: open(f'l{n}')):\n"
        "        try: act(path); print('DONE', path)\n        except OSError: continue\n"
        "for up in ('..', '../..', '/proc/self/fd', '/proc/1/root'):\n"
        "    try: print('SEEN', up, [n for n in os.listdir(up) if n.isdecimal()])\n"
        "    except OSError: continue"
    )
    patient = Limits(block_s=20)
    block = attack("open('f', 'w').close()", reach, contract=FILES, limits=patient)
    assert block.status == "ok"
    assert "DONE" not in block.stdout
    assert all(line.endswith("[]") for line in block.stdout.splitlines()), block.stdout


def test_what_an_heir_may_do_is_what_any_block_may(runtimes: Runtimes, tier: str) -> None:
    with runtimes.of(tier).open(FILES, {}, Limits()) as session:
        session.execute("open('f', 'w').close()")
        for what, code in FORBIDDEN.items():
            block = session.execute(code)
            assert (what, block.status) == (what, "raised"), block
        assert session.execute("import os; print(os.listdir())").stdout == "['f']\n"
