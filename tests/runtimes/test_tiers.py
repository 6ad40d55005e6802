"""Each tier keeps its promises, and the best one that a machine offers is the one that is used."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes import process, remedies
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.runtimes.probe import FORBIDDEN, assess, doctor, self_test
from okrt.testing import check_runtime
from okrt.types import Limits
from tests.runtimes.conftest import Play, of_tier, playing, sandboxed
from tests.runtimes.interpreters import copy_interpreter

CONTAINER = Path(__file__).with_name("container.py")


@pytest.fixture
def tiered(tier: str) -> Iterator[ZygoteRuntime]:
    with of_tier(tier) as runtime:
        yield runtime


@sandboxed
def test_every_tier_is_a_runtime(tiered: ZygoteRuntime) -> None:
    check_runtime(tiered)


def test_a_tier_that_is_asked_for_is_had_or_refused(tier: str) -> None:
    with of_tier(tier) as runtime:
        assert runtime.isolation == tier
        assert (runtime.landlock_abi is None) == (tier == "unsafe")


WORKS = {
    "threads": "import threading\nt = threading.Thread(target=print)\nt.start(); t.join()",
    "futures": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool: assert sum(pool.map(int, '1234')) == 10"
    ),
    "asyncio": (
        "import asyncio\nasync def f():\n"
        "    await asyncio.gather(asyncio.sleep(0.01), asyncio.to_thread(int))\nasyncio.run(f())"
    ),
    "tempfile": (
        "import tempfile\nwith tempfile.TemporaryDirectory() as d, tempfile.TemporaryFile() as f,"
        " tempfile.NamedTemporaryFile() as g:\n    f.write(b'x'); open(d + '/y', 'w').write('y')"
    ),
    "files": (
        "import os\nos.makedirs('a/b'); open('a/f', 'w').write('1'); os.rename('a/f', 'a/b/g')\n"
        "os.symlink('a/b/g', 'l'); assert open('l').read() == '1'; os.link('a/b/g', 'h')\n"
        "os.truncate('h', 0) if ABI >= 3 else None; os.remove('h'); os.mkfifo('p')\n"
        "import shutil; shutil.rmtree('a')"
    ),
    "sqlite3": (
        "import sqlite3\nwith sqlite3.connect('d') as d:\n    d.execute('create table t (x)')\n"
        "    d.execute('insert into t values (1)')"
    ),
    "zoneinfo": "import zoneinfo, datetime\nprint(datetime.datetime.now(zoneinfo.ZoneInfo('UTC')))",
    "hashlib": "import hashlib; assert hashlib.sha256(b'').hexdigest()[:2] == 'e3'",
    "lazy imports": "import wave, colorsys, ctypes, xml.etree.ElementTree, email.message, lzma",
    "time": "import time; time.sleep(0.001); time.localtime(); time.process_time()",
    "itself": (
        "import os, signal, resource\nsignal.signal(signal.SIGUSR1, lambda *_: print('caught'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)\n"
        "os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(1)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)); os.cpu_count()"
    ),
    "devices": "import os; open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(1)",
    "decimal and uuid": "import decimal, locale, uuid; uuid.uuid4(); print(decimal.Decimal(7))",
}


def test_ordinary_python_works(tiered: ZygoteRuntime) -> None:
    with tiered.open(STATELESS, {}, Limits()) as session:
        for what, code in WORKS.items():
            block = session.execute(f"ABI = {tiered.landlock_abi or 9}\n{code}")
            assert (what, block.status, block.error) == (what, "ok", None)


FAILS = {
    **FORBIDDEN,
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "shell": "import os\nif os.system('true'): raise PermissionError",
    "spawn": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "processes": "import multiprocessing as m; p = m.get_context('fork').Process(); p.start()",
    "chmod": "import os; open('f', 'w').close(); os.chmod('f', 0o777)",
    "utime": "import os; open('f', 'w').close(); os.utime('f')",
    "xattr": "import os; open('f', 'w').close(); os.setxattr('f', 'user.x', b'')",
    "another's limits": "import resource; resource.prlimit(1_000_000, resource.RLIMIT_CPU)",
    "another's priority": "import os; os.setpriority(os.PRIO_PGRP, 0, 5)",
    "owner of a pipe's signals": (
        "import fcntl, os; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid() or 1)"
    ),
    "datagrams": "import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "terminal": "import fcntl, termios; fcntl.ioctl(1, termios.TIOCSTI, b'x')",
    "emptying for reading": "import os; os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
    "who else there is": "import os; os.listdir('/proc')",
    "its own past": "open('/proc/self/environ').read()",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory as S; S('x', True, 9)",
}


@pytest.mark.parametrize("name", ["T0", "T1"])
def test_what_no_block_may_do_fails_cleanly(
    request: pytest.FixtureRequest, name: str, interpreter: None
) -> None:
    try:
        runtime = of_tier(name)
        assert runtime.isolation == name
    except RuntimeFailure as error:
        pytest.skip(f"not measured: {error}")
    errors = ("PermissionError", "FileNotFoundError", "BlockingIOError", "OSError")
    with runtime, runtime.open(PERSISTENT, {}, Limits()) as session:
        for what, code in FAILS.items():
            block = session.execute(code)
            assert (what, block.status) == (what, "raised"), block
            assert block.error_type in errors, (what, block.error)


def test_packages_beside_the_library_are_out_of_reach(
    tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tier == "unsafe":
        return
    with tempfile.TemporaryDirectory(prefix="python-", dir="/tmp") as name:
        python = copy_interpreter(Path(name))
        monkeypatch.setattr(process, "PYTHON", str(python))
        site = Path(name) / "lib" / python.name / "site-packages"
        site.mkdir(mode=0o755)
        (site / "neighbour.py").write_text("")
        code = f"import sys; sys.path.append({str(site)!r})\nimport neighbour"
        with of_tier(tier) as runtime:
            blocks = playing(runtime)(code, f"open({str(site / 'neighbour.py')!r})", "import wave")
    assert [block.error_type for block in blocks] == [
        "ModuleNotFoundError",
        "PermissionError" if tier == "T0" else "FileNotFoundError",
        None,
    ]


def test_sessions_do_not_reach_each_others_files(tier: str) -> None:
    if tier == "unsafe":
        return
    with of_tier(tier) as runtime, runtime.open(PERSISTENT, {}, Limits()) as one:
        own = one.execute("import os; open('f', 'w').write('x'); print(os.path.abspath('f'))")
        (other,) = playing(runtime)(f"open({own.stdout.strip()!r})")
        assert other.error_type == ("PermissionError" if tier == "T0" else "FileNotFoundError")
        assert one.execute("print(open('f').read())").stdout == "x\n"


def test_files_are_bounded_in_total(tier: str) -> None:
    if tier == "unsafe":
        return
    fill = (
        "for n in range(9): open(str(n), 'wb').write(bytes(16 << 20))\nimport time; time.sleep(5)"
    )
    many = "import os, time\nfor n in range(4200): os.mkdir(str(n))\ntime.sleep(5)"
    with of_tier(tier) as runtime:
        blocks = playing(runtime)(fill, many, "print(1)", contract=STATELESS)
    if tier == "T1":
        assert [block.error_type for block in blocks[:2]] == ["OSError"] * 2
    else:
        assert [block.status for block in blocks[:2]] == ["died"] * 2
        assert blocks[0].error == (
            "The process was killed: it had more than 64 MiB, or 4,096 files, on disk."
        )
    assert blocks[2].stdout == "1\n"


# -- a container ----------------------------------------------------------------------------------

REPORT = """
import json
from okrt.runtimes import process
process.PYTHON = {python!r}
from okrt.runtimes.probe import assess
from okrt.runtimes.host import ZygoteRuntime
from okrt.errors import RuntimeFailure
found = assess()
said = dict(tier=found.tier, reasons=dict(found.reasons), remedies=list(found.remedies))
try:
    with ZygoteRuntime() as runtime:
        said['isolation'] = runtime.isolation
except RuntimeFailure as error:
    said['refusal'] = str(error)
with ZygoteRuntime(unsafe=True) as runtime:
    said['unsafe'] = runtime.isolation
print(json.dumps(said))
"""


def contained(denied: str, python: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(CONTAINER), denied, python, "-c", REPORT.format(python=process.PYTHON)],
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_container_without_namespaces_runs_on_t0_and_says_so(host_python: str) -> None:
    said = contained("namespaces", host_python)
    assert said["tier"] == said["isolation"] == "T0"
    assert said["reasons"] == {"T1": "namespaces: Operation not permitted"}
    assert "--cap-add SYS_ADMIN" in said["remedies"][0]


def test_a_container_without_landlock_is_refused_in_one_line(host_python: str) -> None:
    said = contained("namespaces,landlock", host_python)
    assert said["tier"] is None
    assert "isolation" not in said
    assert said["reasons"]["T0"] == "landlock: Operation not permitted"
    assert "docker run" in said["refusal"]
    assert "--okrt-unsafe-runtime" in said["refusal"]
    assert "\n" not in said["refusal"]
    assert said["unsafe"] == "unsafe"


# -- what a machine is told -----------------------------------------------------------------------


def test_doctor_says_what_the_machine_can_do(runtime: ZygoteRuntime) -> None:
    found, test = assess(), self_test()
    text = doctor(found, test)
    assert found.tier is not None
    assert f"tier       {found.tier}" in text
    assert f"ABI {found.landlock_abi}:" in text
    assert set(test.denied.values()) == {True}
    assert "ALLOWED" not in text
    assert set(test.step_ms) == {"persistent", "stateless"}
    assert all(len(line) <= 160 for line in text.splitlines())


def test_the_self_test_can_fail(play: Play) -> None:
    test = self_test(unsafe=True)
    assert test.denied["start a process"] is False


@pytest.mark.parametrize(
    ("tier", "problem", "way"),
    [
        ("T1", "namespaces: No space left on device", "user.max_user_namespaces"),
        ("T1", "/proc/self/uid_map: Operation not permitted", "apparmor_restrict"),
        ("T0", "landlock: Function not implemented", "Linux 5.13"),
        ("T0", "landlock: Operation not supported", "lsm=landlock"),
        ("T0", "landlock: Operation not permitted", "seccomp=unconfined"),
        ("T0", "seccomp: Invalid argument", "docker run"),
        ("T0", "no table of system calls for riscv64", "docker run"),
    ],
)
def test_every_problem_has_a_remedy(tier: str, problem: str, way: str) -> None:
    assert way in remedies.remedy(tier, problem)
    assert way in remedies.refusal({tier: problem})
