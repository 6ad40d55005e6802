"""Processes, descriptors and directories come and go as promised."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes import process
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.runtimes.namespaces import SCRATCH
from okrt.runtimes.scratch import remove_tree
from okrt.types import Contract, Limits, Session
from tests.runtimes.conftest import of_tier, sandboxed


def eventually(true: Callable[[], bool]) -> bool:
    """Whether a condition comes to hold within some seconds."""
    for _ in range(400):
        if true():
            return True
        time.sleep(0.02)
    return False


def parents() -> dict[int, int]:
    """The parent of every process, by pid; zombies included."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = int(fields[1])
    return found


def descendants(pid: int) -> set[int]:
    known, found = parents(), {pid}
    while more := {child for child, parent in known.items() if parent in found} - found:
        found |= more
    return found - {pid}


def eventually_stable(count: Callable[[], int]) -> int:
    """Returns what a number comes to."""
    seen = [count()]
    while len(seen) < 5 or len(set(seen[-5:])) > 1:
        time.sleep(0.02)
        seen.append(count())
    return seen[-1]


def gone(pid: int) -> bool:
    """Whether a process has ended; whoever inherited it may take their time to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def open_descriptors() -> list[str]:
    # Closed before the list is made: only the directory itself is one more, always.
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def before() -> set[int]:
    return descendants(os.getpid())


def zygote_of(before: set[int]) -> int:
    """Returns the one new child of this process."""
    (pid,) = (p for p, parent in parents().items() if parent == os.getpid() and p not in before)
    return pid


# -- many sessions --------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda c: c.name)
def test_fifty_sessions_live_at_once(runtime: ZygoteRuntime, contract: Contract) -> None:
    keeps = contract is PERSISTENT
    sessions = [runtime.open(contract, {"me": lambda n=n: n}, Limits()) for n in range(50)]
    for n, session in enumerate(sessions):
        assert session.execute(f"x = {n}\nprint(me())").stdout == f"{n}\n"
    for n, session in enumerate(sessions):
        block = session.execute("print(x)")
        assert block.stdout == (f"{n}\n" if keeps else "")
        session.close()


def test_many_threads_share_one_zygote(scratch: Path, before: set[int]) -> None:
    def episode(n: int) -> list[str]:
        contract = (PERSISTENT, STATELESS)[n % 2]
        with runtime.open(contract, {"me": lambda: n}, Limits(), str(n)) as session:
            return [session.execute("print(me())").stdout for _ in range(5)]

    with ZygoteRuntime() as runtime, ThreadPoolExecutor(8) as pool:
        for n, seen in enumerate(pool.map(episode, range(32))):
            assert seen == [f"{n}\n"] * 5
        assert zygote_of(before)


def test_it_works_inside_an_asyncio_program(scratch: Path) -> None:
    async def main(runtime: ZygoteRuntime) -> list[str]:
        code = "import asyncio; asyncio.run(asyncio.sleep(0))\nprint(me())"

        def episode(n: int) -> str:
            with runtime.open(STATELESS, {"me": lambda: n}, Limits()) as session:
                return session.execute(code).stdout

        here = episode(0)
        return [here, *await asyncio.gather(*(asyncio.to_thread(episode, n) for n in (1, 2, 3)))]

    with ZygoteRuntime() as runtime:
        assert asyncio.run(main(runtime)) == ["0\n", "1\n", "2\n", "3\n"]


def test_the_zygote_outlives_the_thread_that_started_it(scratch: Path) -> None:
    sessions: list[Session] = []
    with ZygoteRuntime() as runtime:

        def start() -> None:
            sessions.append(runtime.open(PERSISTENT, {}, Limits()))
            sessions[0].execute("a = 1")

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        time.sleep(0.1)
        assert sessions[0].execute("print(a)").stdout == "1\n"


# -- the end --------------------------------------------------------------------------------------


def test_nothing_is_left_after_close(tier: str, scratch: Path, before: set[int]) -> None:
    descriptors = open_descriptors()
    with of_tier(tier) as runtime:
        kept = runtime.open(PERSISTENT, {}, Limits())
        kept.execute("open('f', 'w').close()\nimport subprocess; subprocess.Popen(['sleep', '99'])")
        with runtime.open(STATELESS, {}, Limits(block_s=0.2)) as session:
            for code in ("1", "while True: pass", "import os; os._exit(1)", "1"):
                session.execute(code)
        unused = runtime.open(STATELESS, {}, Limits())
        assert eventually(lambda: len(descendants(os.getpid()) - before) >= 4)
        assert bool(list(scratch.iterdir())) == (tier != "T1")
        with pytest.warns(ResourceWarning):
            del kept, unused  # never closed
    assert descendants(os.getpid()) - before == set()
    assert list(scratch.iterdir()) == []
    assert open_descriptors() == descriptors


def test_a_closed_session_leaves_nothing(tier: str, scratch: Path, before: set[int]) -> None:
    daemons = (  # each in a session of its own, the last a child of a child that goes on
        "import os, time\nready, told = os.pipe()\n"
        "for level in range(3):\n    if os.fork():\n        break\n    os.setsid()\n"
        "if level or os.getsid(0) == os.getpid():\n    os.write(told, b'x')\n    time.sleep(99)\n"
        "seen = b''\nwhile len(seen) < 3: seen += os.read(ready, 3)\n"
    )
    files = "open('f', 'w').close()\nos.makedirs('a/b/c')"
    code = daemons + files if tier == "unsafe" else f"import os\n{files}"
    with of_tier(tier) as runtime:
        with runtime.open(PERSISTENT, {}, Limits()) as session:
            session.execute("1")
        descriptors = open_descriptors()
        idle = eventually_stable(lambda: len(descendants(os.getpid()) - before))
        for contract in (PERSISTENT, STATELESS):
            with runtime.open(contract, {}, Limits()) as session:
                assert session.execute(code).status == "ok"
        assert eventually(lambda: len(descendants(os.getpid()) - before) == idle == 2)
        assert eventually(
            lambda: not [path for root in scratch.iterdir() for path in root.iterdir()]
        )
        assert open_descriptors() == descriptors


def test_each_stateless_block_has_a_new_directory_and_its_own_goes(
    tier: str, scratch: Path
) -> None:
    with of_tier(tier) as runtime, runtime.open(STATELESS, {}, Limits()) as session:
        look = "import os; print(os.getcwd(), os.listdir()); open('f', 'w').close()"
        seen = [session.execute(look).stdout.split() for _ in range(2)]
        assert [files for _, files in seen] == ["[]"] * 2
        where = [Path(path) for path, _ in seen]
        if tier == "T1":  # a file system of the process's own, nowhere in ours
            assert where == [SCRATCH] * 2
        else:
            assert where[0] != where[1]
            assert where[0].is_relative_to(scratch)
        assert eventually(lambda: not any(path.exists() for path in where))


def test_closing_is_idempotent_and_a_closed_session_says_so(scratch: Path) -> None:
    runtime = ZygoteRuntime()
    runtime.close()
    session = runtime.open(PERSISTENT, {}, Limits())
    session.close()
    session.close()
    with pytest.raises(RuntimeFailure, match="closed"):
        session.execute("1")
    other = runtime.open(PERSISTENT, {}, Limits())
    runtime.close()
    runtime.close()
    with pytest.raises(RuntimeFailure, match="closed"):
        other.execute("1")
    other.close()
    with runtime, runtime.open(PERSISTENT, {}, Limits()) as again:
        assert again.execute("print(1)").stdout == "1\n"


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", [PERSISTENT, STATELESS], ids=lambda c: c.name)
@pytest.mark.parametrize("proper", [False, True], ids=["launcher", "zygote"])
@sandboxed
def test_a_dead_zygote_fails_its_sessions_and_no_later_one(
    tier: str, scratch: Path, before: set[int], contract: Contract, proper: bool
) -> None:
    with of_tier(tier) as runtime:
        session = runtime.open(contract, {}, Limits())
        session.execute("a = 1")
        launcher = zygote_of(before)
        (zygote,) = (pid for pid, parent in parents().items() if parent == launcher)
        assert eventually(lambda: bool(descendants(zygote)))
        eventually_stable(lambda: len(descendants(zygote)))
        processes = descendants(launcher)
        os.kill(zygote if proper else launcher, signal.SIGKILL)
        assert eventually(lambda: all(gone(pid) for pid in processes))
        with pytest.raises(RuntimeFailure, match=r"zygote has ended \(status -9\)"):
            session.execute("a = 2")
        with runtime.open(contract, {}, Limits()) as later:
            assert later.execute("print(1)").stdout == "1\n"
        session.close()
    assert descendants(os.getpid()) - before == set()
    assert list(scratch.iterdir()) == []


def test_a_zygote_that_dies_during_a_block_is_no_fault_of_the_block(
    scratch: Path, before: set[int]
) -> None:
    with ZygoteRuntime() as runtime:
        session = runtime.open(STATELESS, {"kill": lambda: os.kill(zygote_of(before), 9)}, Limits())
        with pytest.raises(RuntimeFailure, match="zygote has ended"):
            session.execute("kill()\nwhile True: pass")


def test_an_interpreter_that_cannot_be_run_is_a_failure(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PYTHON", "/no/python")
    with ZygoteRuntime() as runtime, pytest.raises(RuntimeFailure, match="/no/python"):
        runtime.open(PERSISTENT, {}, Limits())
    assert list(scratch.iterdir()) == []


def test_an_interpreter_that_fails_is_a_failure_with_its_words(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scratch / "python"
    script.write_text("#!/bin/sh\necho broken >&2\nexit 9\n")
    script.chmod(0o755)
    monkeypatch.setattr(process, "PYTHON", str(script))
    broken = pytest.raises(RuntimeFailure, match=r"\(status 9\): broken")
    with ZygoteRuntime() as runtime, broken:
        runtime.open(PERSISTENT, {}, Limits()).execute("1")


def test_a_child_that_cannot_be_set_up_is_a_failure(scratch: Path) -> None:
    with of_tier("T0") as runtime:
        with runtime.open(PERSISTENT, {}, Limits()) as session:
            session.execute("1")
        (root,) = scratch.iterdir()
        remove_tree(root)
        with runtime.open(PERSISTENT, {}, Limits()) as session:
            for _ in range(2):
                with pytest.raises(RuntimeFailure, match="could not be set up: FileNotFoundError"):
                    session.execute("1")


def test_elsewhere_than_linux_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RuntimeFailure, match="needs Linux, this is darwin"):
        ZygoteRuntime().open(PERSISTENT, {}, Limits())


# -- the host -------------------------------------------------------------------------------------


def test_a_forked_host_starts_anew_and_harms_nothing_of_its_parents(
    runtime: ZygoteRuntime, before: set[int]
) -> None:
    with runtime.open(PERSISTENT, {}, Limits()) as session:
        session.execute("a = 1")
        pid = os.fork()
        if pid == 0:
            os._exit(_in_the_fork(runtime, session))
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert session.execute("print(a)").stdout == "1\n"
    with runtime.open(PERSISTENT, {}, Limits()) as later:
        assert later.execute("print(2)").stdout == "2\n"


def _in_the_fork(runtime: ZygoteRuntime, session: Session) -> int:
    try:
        session.execute("1")
    except RuntimeFailure:
        session.close()
    else:
        return 1
    with runtime.open(PERSISTENT, {}, Limits()) as fresh:
        right = fresh.execute("print(3)").stdout == "3\n"
    runtime.close()
    return 0 if right else 2


HOST = """
import os, sys, time
from okrt.runtimes import process
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Limits
process.PYTHON = BLOCKS_PYTHON
runtime = ZygoteRuntime(OPTIONS)
sessions = [runtime.open(c, {}, Limits()) for c in (PERSISTENT, STATELESS, PERSISTENT)]
sessions[0].execute("import subprocess; subprocess.Popen(['sleep', '99'])")
sessions[1].execute("open('f', 'w').close()")
END
"""


OPTIONS = {"T0": "tier='T0'", "T1": "tier='T1'", "unsafe": "unsafe=True"}
HOST_PYTHON = sys.executable


def run_host(scratch: Path, end: str, tier: str, script: str = HOST) -> subprocess.Popen[str]:
    script = script.replace("BLOCKS_PYTHON", repr(process.PYTHON)).replace("OPTIONS", OPTIONS[tier])
    return subprocess.Popen(
        [HOST_PYTHON, "-c", script.replace("END", end)],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "end",
    [
        "print('ready', flush=True); time.sleep(99)",
        "print('ready', flush=True); sessions[2].execute('while True: pass')",
    ],
    ids=["idle", "in a block"],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@sandboxed
def test_nothing_outlives_a_killed_host(tier: str, scratch: Path, end: str, number: int) -> None:
    # The launcher, the zygote, and a process for each session: of its own, or with what it started.
    processes_of = {"T0": 5, "T1": 8, "unsafe": 6}
    with run_host(scratch, end, tier) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        alive = eventually(lambda: len(descendants(host.pid)) == processes_of[tier])
        processes = descendants(host.pid)
        left = list(scratch.iterdir())
        host.send_signal(number)
    assert alive
    assert bool(left) == (tier != "T1")
    assert eventually(lambda: all(gone(pid) for pid in processes))
    assert eventually(lambda: not list(scratch.iterdir()))


def test_nothing_outlives_a_host_that_ends_while_the_zygote_starts(
    tier: str, scratch: Path
) -> None:
    start = HOST[: HOST.index("sessions =")]
    for wait in (0, 0.02, 0.05, 0.1):
        quick = f"import threading\n{start}\n" + (
            f"threading.Timer({wait}, os._exit, [0]).start()\nruntime.isolation\nos._exit(0)"
        )
        with run_host(scratch, "", tier, script=quick) as host:
            host.wait()
    assert eventually(lambda: not list(scratch.iterdir()))


def test_nothing_waits_for_a_copy_of_the_host_that_keeps_its_descriptors(
    tier: str, scratch: Path
) -> None:
    copy = (
        "import ctypes\nif ctypes.CDLL(None).fork() == 0:\n    time.sleep(60)\n    os._exit(0)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with run_host(scratch, copy, tier) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        known = parents()
        (twin, zygote) = sorted(
            (pid for pid, parent in known.items() if parent == host.pid),
            key=lambda pid: "zygote" in Path(f"/proc/{pid}/cmdline").read_text(),
        )
        host.kill()
    assert eventually(lambda: gone(zygote))
    assert not gone(twin)
    os.kill(twin, signal.SIGKILL)


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "1 / 0"])
@sandboxed
def test_nothing_outlives_a_host_that_forgets_to_close(tier: str, scratch: Path, end: str) -> None:
    with run_host(scratch, end, tier) as host:
        assert host.stdout is not None
        host.stdout.read()
    assert list(scratch.iterdir()) == []
