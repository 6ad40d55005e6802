"""The tier `none`: plain processes, what `--okrt-unsafe-runtime` has off Linux."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes import process
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.testing import check_runtime
from okrt.types import Limits
from tests.runtimes.conftest import of_tier, playing
from tests.runtimes.test_lifetime import (
    OPTIONS,
    descendants,
    eventually,
    gone,
    open_descriptors,
    run_host,
)

ROOT = Path(__file__).parents[2]
ELSEWHERE = Path(__file__).with_name("elsewhere.py")
LINUX = {"isolation", "landlock", "namespaces", "nursery", "seccomp", "syscalls", "zygote"}
"""Modules of the runtime that are Linux's alone."""


def test_plain_processes_keep_every_law_but_those_of_being_closed() -> None:
    with of_tier("none") as runtime:
        check_runtime(runtime)


def test_rows_will_say_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with of_tier("none") as runtime:
        assert (runtime.isolation, runtime.landlock_abi) == ("none", None)
    monkeypatch.setattr(sys, "platform", "darwin")
    with ZygoteRuntime(unsafe=True) as runtime:
        assert runtime.isolation == "none"


def test_nothing_of_the_host_is_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKRT_SECRET", "s")
    code = (
        "import os, sys\n"
        "found = [m for m in [*sys.modules, *sys.path] if 'okrt' in m or 'site-' in m]\n"
        "print(os.environ.get('OKRT_SECRET'), found, sys.argv, os.listdir())\n"
        "print(len([n for n in range(5000) if os.path.exists(n)]))\n"
        "print(os.getcwd() == os.environ['HOME'] == os.environ['TMPDIR'])\n"
        "print(os.getpid() == os.getpgid(0) == os.getsid(0))"
    )
    with of_tier("none") as runtime:
        (block,) = playing(runtime)(code)
    assert block.stdout == "None [] [''] []\n5\nTrue\nTrue\n"


def test_a_package_that_is_allowed_can_be_imported_and_no_other() -> None:
    code = "import msgspec; print(msgspec.json.decode(b'1'))"
    with ZygoteRuntime(tier="none", packages=["msgspec"]) as runtime:
        given, other = playing(runtime)(code, "import pytest")
    assert (given.stdout, other.error_type) == ("1\n", "ModuleNotFoundError")


def test_a_death_is_seen_although_a_copy_holds_the_wire_and_the_copy_goes() -> None:
    pids: list[int] = []
    code = (
        "import os, time\nchild = os.fork()\n"
        "if child == 0: time.sleep(99)\n"
        "tool(child); os._exit(3)"
    )
    began = time.monotonic()
    with of_tier("none") as runtime:
        died, after = playing(runtime)(code, "print(1)", tools={"tool": pids.append})
    assert (died.status, died.error) == ("died", "The process ended with exit status 3.")
    assert after.stdout == "1\n"
    assert time.monotonic() - began < Limits().block_s
    assert eventually(lambda: gone(pids[0]))


def test_a_block_that_is_stopped_takes_what_it_started_along() -> None:
    pids: list[int] = []
    code = "import subprocess\ntool(subprocess.Popen(['sleep', '99']).pid)\nwhile True: pass"
    with of_tier("none") as runtime:
        (late,) = playing(runtime)(code, tools={"tool": pids.append}, limits=Limits(block_s=2))
        assert late.status == "timeout"
        assert eventually(lambda: gone(pids[0]))


# -- the end --------------------------------------------------------------------------------------


def test_nothing_is_left_after_close(scratch: Path) -> None:
    before, descriptors = descendants(os.getpid()), open_descriptors()
    with of_tier("none") as runtime:
        kept = runtime.open(PERSISTENT, {}, Limits())
        kept.execute("open('f', 'w').close()\nimport subprocess; subprocess.Popen(['sleep', '99'])")
        with runtime.open(STATELESS, {}, Limits(block_s=1)) as session:
            for code in ("1", "import time; time.sleep(9)", "import os; os._exit(1)", "1"):
                session.execute(code)
        (root,) = scratch.iterdir()
        assert len(list(root.iterdir())) == 1
        with pytest.warns(ResourceWarning):
            del kept  # never closed
    assert descendants(os.getpid()) - before == set()
    assert list(scratch.iterdir()) == []
    assert open_descriptors() == descriptors


@pytest.mark.parametrize("end", ["", "1 / 0"])
def test_nothing_outlives_a_host_that_forgets_to_close(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setitem(OPTIONS, "none", "tier='none'")
    with run_host(scratch, end, "none") as host:
        assert host.stdout is not None
        host.stdout.read()
    assert list(scratch.iterdir()) == []


def test_no_process_that_waits_outlives_a_killed_host(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIONS, "none", "tier='none'")
    with run_host(scratch, "print('ready', flush=True); time.sleep(99)", "none") as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        ours = {pid for pid in descendants(host.pid) if "plain_child" in command(pid)}
        os.kill(host.pid, signal.SIGKILL)
    assert len(ours) == 3
    assert eventually(lambda: all(gone(pid) for pid in ours))


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


# -- the host -------------------------------------------------------------------------------------


def test_threads_share_a_runtime() -> None:
    def episode(n: int) -> list[str]:
        contract = (PERSISTENT, STATELESS)[n % 2]
        with runtime.open(contract, {"me": lambda: n}, Limits(), str(n)) as session:
            return [session.execute("print(me())").stdout for _ in range(2)]

    with of_tier("none") as runtime, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(episode, range(8))) == [[f"{n}\n"] * 2 for n in range(8)]


def test_a_forked_host_starts_anew_and_harms_nothing_of_its_parents() -> None:
    with of_tier("none") as runtime, runtime.open(PERSISTENT, {}, Limits()) as session:
        session.execute("a = 1")
        pid = os.fork()
        if pid == 0:
            with pytest.raises(RuntimeFailure):
                session.execute("1")
            session.close()
            (fresh,) = playing(runtime)("print(3)")
            runtime.close()
            os._exit(0 if fresh.stdout == "3\n" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert session.execute("print(a)").stdout == "1\n"


def test_an_interpreter_that_cannot_be_had_is_a_failure(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors = open_descriptors()
    for python, says in (("/no/python", "/no/python"), ("/bin/false", "while it was being set up")):
        monkeypatch.setattr(process, "PYTHON", python)
        with of_tier("none") as runtime, pytest.raises(RuntimeFailure, match=says):
            runtime.open(PERSISTENT, {}, Limits()).execute("1")
    assert list(scratch.iterdir()) == []
    assert open_descriptors() == descriptors


# -- elsewhere than on Linux ----------------------------------------------------------------------

EVALUATE = """
import os, pytest, signal, socket, sys
assert sys.platform == "darwin"
assert not {"pidfd_open", "memfd_create", "waitid"} & set(dir(os))
assert not hasattr(signal, "pidfd_send_signal")
assert not hasattr(socket, "SOCK_SEQPACKET")
code = pytest.main(
    ["evals", "-q", "-p", "no:cacheprovider", "--okrt-tier=micro", "--okrt-seeds=1",
     "--model=expert:stateless", *OPTIONS]
)
print(f"exit status {code}")
print(*(name.split(".")[-1] for name in sys.modules if name.startswith("okrt.runtimes.")))
"""


def elsewhere(code: str, scratch: Path) -> str:
    return subprocess.run(
        [sys.executable, str(ELSEWHERE), "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_elsewhere_an_evaluation_runs_with_the_flag(scratch: Path) -> None:
    run = scratch / "run"
    options = ["--okrt-unsafe-runtime", f"--okrt-out={run}"]
    *_, status, loaded = elsewhere(EVALUATE.replace("OPTIONS", repr(options)), scratch).splitlines()
    assert status == "exit status 0"
    rows = (run / "rows.jsonl").read_text().splitlines()
    assert len(rows) == 2
    assert all('"isolation":"none"' in row and '"failure":null' in row for row in rows)
    assert "isolation of the code that ran: none" in (run / "report.md").read_text()
    assert LINUX & set(loaded.split()) == set()
    assert list(scratch.iterdir()) == [run]


def test_elsewhere_it_refuses_without_the_flag_in_one_line(scratch: Path) -> None:
    said = elsewhere(EVALUATE.replace("OPTIONS", "[]"), scratch).splitlines()
    assert "exit status 4" in said
    (line,) = (line for line in said if "needs Linux" in line)
    assert "this is darwin" in line
    assert "docker run" in line
    assert "--okrt-unsafe-runtime" in line


def test_elsewhere_blocks_have_nothing_of_linux_either(scratch: Path) -> None:
    code = (
        "from okrt.runtimes.contracts import PERSISTENT\n"
        "from okrt.runtimes.host import ZygoteRuntime\n"
        "from okrt.types import Limits\n"
        "block = 'import os, sys; print(sys.platform, hasattr(os, \"pidfd_open\")); 1 / 0'\n"
        "with ZygoteRuntime(unsafe=True) as r, r.open(PERSISTENT, {}, Limits(block_s=2)) as s:\n"
        "    print(s.execute(block))\n"
        "    print(s.execute('while True: pass').status, s.execute('print(7)').stdout)\n"
    )
    said = elsewhere(code, scratch)
    assert "stdout='darwin False\\n'" in said
    assert "ZeroDivisionError" in said
    assert "timeout 7" in said


def test_elsewhere_the_doctor_names_the_ways(scratch: Path) -> None:
    said = elsewhere("from okrt.cli import main; main(['doctor'])", scratch)
    assert "tier       none: blocks are refused, unless --okrt-unsafe-runtime" in said
    assert "darwin is no Linux" in said
