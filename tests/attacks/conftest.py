"""What judges an attack: every tier that this machine offers, and the world around it.

The tiers are those that the current user has; one that is not offered is reported as a warning,
"not measured", which pytest prints at the end of every run, and its attacks as skipped.
`OKRT_ATTACK_TIERS=unsafe` runs the attacks on no isolation at all, to see them get through. Do
that as a user who owns nothing.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes import process
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, Limits, Session
from tests.attacks import world
from tests.runtimes.interpreters import open_interpreter

TIERS = tuple(os.environ.get("OKRT_ATTACK_TIERS", "T0,T1").split(","))
ANSWER_S = 1.0
"""The promise: how long the next block in a fresh session may take."""
PATIENCE = float(os.environ.get("OKRT_ATTACK_PATIENCE", "5"))
"""How many times longer it may take on a machine that does other work meanwhile; 1 for a quiet
one."""
SHORT = Limits(block_s=0.5, output_bytes=4096, memory_mib=256)

Tools = Mapping[str, Callable[..., Any]]


class Attack(Protocol):
    def __call__(
        self,
        *blocks: str,
        contract: Contract = PERSISTENT,
        tools: Tools | None = None,
        limits: Limits = SHORT,
    ) -> Execution:
        """Runs blocks in a session of their own, and returns the last execution, having seen that
        the world is as before and that the next block, in a fresh session, answers.

        `OTHERS` in a block stands for the pids of processes that are none of its business.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """What a block may neither read nor change, and in whose way only the sandbox stands."""

    folder: Path
    """Open to everybody, as are the files in it."""
    secret: str
    """The content of the files."""
    bystander: int
    """The pid of a process of the test's."""

    @property
    def task(self) -> Path:
        return self.folder / "task.json"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: many blocks and attacks in one process, for a while")


@pytest.fixture(scope="session")
def temporary() -> Iterator[Path]:
    """The directory for temporary files of this process: what is left in it is ours."""
    with tempfile.TemporaryDirectory(prefix="okrt-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the blocks' own user has to get to its scratch directory
        before, tempfile.tempdir = tempfile.tempdir, name
        yield folder
        tempfile.tempdir = before


class Runtimes:
    """A runtime for each tier that is asked for, with a neighbour: a session that lives on while
    others are attacked from."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._opened: dict[str, ZygoteRuntime | RuntimeFailure] = {}
        self._neighbours: dict[str, Session] = {}

    def of(self, tier: str) -> ZygoteRuntime:
        """Raises RuntimeFailure where the tier is not offered."""
        if tier not in self._opened:
            self._opened[tier] = self._open(tier)
        found = self._opened[tier]
        if isinstance(found, RuntimeFailure):
            raise found
        return found

    def neighbour(self, tier: str) -> Session:
        """Returns a living one: what an attack did to the last is told by that attack's test."""
        known = self._neighbours.get(tier)
        if known is None or known.execute("print(kept)").stdout != "still here\n":
            known = self._neighbours[tier] = self.of(tier).open(PERSISTENT, {}, Limits())
            known.execute("kept = 'still here'")
        return known

    def close(self) -> None:
        self._stack.close()

    def _open(self, tier: str) -> ZygoteRuntime | RuntimeFailure:
        if tier == "unsafe":
            return self._stack.enter_context(ZygoteRuntime(unsafe=True))
        used = process.PYTHON
        if tier == "T0":  # as root it needs an interpreter that others can read
            self._stack.enter_context(open_interpreter())
        runtime = self._stack.enter_context(ZygoteRuntime(tier="T1" if tier == "T1" else "T0"))
        try:
            assert runtime.isolation == tier
        except RuntimeFailure as error:
            return error
        finally:
            process.PYTHON = used
        return runtime


@pytest.fixture(scope="session")
def runtimes(temporary: Path) -> Iterator[Runtimes]:
    runtimes = Runtimes()
    yield runtimes
    runtimes.close()


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, runtimes: Runtimes) -> str:
    tier: str = request.param
    try:
        runtimes.of(tier)
    except RuntimeFailure as error:
        message = f"attacks on {tier}: not measured. {error}"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    return tier


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    secret = f"outside-{os.urandom(8).hex()}"
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    environment = {**os.environ, "OKRT_SECRET": secret}
    with (
        tempfile.TemporaryDirectory(prefix="okrt-outside-", dir="/tmp") as name,
        subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as bystander,
    ):
        folder = Path(name)
        for file in ("task.json", "code.py", "folder/deep.txt"):
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(f"# {secret}\n")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777)
        yield Outside(folder, secret, bystander.pid)
        bystander.communicate()


@pytest.fixture
def attack(runtimes: Runtimes, tier: str, outside: Outside, temporary: Path) -> Attack:
    runtime = runtimes.of(tier)

    def run(
        *blocks: str,
        contract: Contract = PERSISTENT,
        tools: Tools | None = None,
        limits: Limits = SHORT,
    ) -> Execution:
        neighbour = runtimes.neighbour(tier)
        before = world.steady(lambda: look(outside, temporary))
        others = repr([outside.bystander, *world.descendants(os.getpid())])
        with runtime.open(contract, tools or {}, limits) as session:
            executions = [session.execute(b.replace("OTHERS", others)) for b in blocks]
            _answers(runtime, STATELESS)  # beside what is left of the attack
        _answers(runtime, PERSISTENT)
        assert neighbour.execute("print(kept)").stdout == "still here\n"
        assert world.settled(lambda: look(outside, temporary), before) == before
        return executions[-1]

    return run


def look(outside: Outside, temporary: Path) -> dict[str, object]:
    processes = world.descendants(os.getpid())
    return {
        "processes": {pid: world.standing(pid) for pid in processes},
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "outside": world.picture(outside.folder),
        "litter": world.litter(),
        "scratch": sorted(str(path) for path in temporary.glob("*/*")),
    }


def _answers(runtime: ZygoteRuntime, contract: Contract) -> None:
    """A block in a fresh session answers within the promised time, setting it up included."""
    started = time.monotonic()
    with runtime.open(contract, {}, Limits()) as session:
        block = session.execute("print('on')")
    assert (block.status, block.stdout) == ("ok", "on\n")
    assert time.monotonic() - started < ANSWER_S * PATIENCE


# -- words that the attacks share -----------------------------------------------------------------

ATTEMPT = """
import os, sys
def attempt(call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        print("refused", type(error).__name__, getattr(error, "errno", ""))
    else:
        print("DONE", result)
"""
SYSCALL = f"""{ATTEMPT}
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def syscall(number, *args):
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
x86 = os.uname().machine == "x86_64"
"""


def assert_refused(block: Execution) -> None:
    """Every attempt of the block, of which there was one, met an error, and the block went on."""
    lines = block.stdout.splitlines()
    assert block.status == "ok", block
    assert lines
    assert all(line.split()[0] == "refused" for line in lines), block.stdout
