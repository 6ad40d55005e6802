"""The host's handle on its zygote, and on the processes that the zygote forks."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import secrets
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from okrt.errors import RuntimeFailure
from okrt.runtimes.frames import LENGTH, pack
from okrt.runtimes.scratch import remove_tree
from okrt.runtimes.wire import Wire

PYTHON = sys.executable
"""The interpreter that blocks run in."""
FLAGS = ("-s", "-S", "-P")
"""-S leaves out site-packages; -I would ignore PYTHONHASHSEED."""

SCRIPT = Path(__file__).with_name("zygote.py")
START_S = 60.0
"""How long a child may take to be set up, the start of the zygote included."""
ANSWER_S = 10.0
"""How long the zygote may take to take or answer a request, or to end."""


@dataclass(frozen=True, slots=True)
class Child:
    """A sandboxed process: its number with the zygote, and the wire to it."""

    number: int
    wire: Wire


@dataclass(frozen=True, slots=True)
class Ground:
    """What a zygote found when it started."""

    tier: str | None
    """The tier of its children; None: none of those asked for can be had, and it has ended."""
    landlock_abi: int | None
    problems: Mapping[str, str]
    """Why not, by tier."""


class ZygoteProcess:
    """A running zygote, stopped at exit at the latest. Any thread may use it: a request is one
    message, and none waits for another's.

    Raises:
        RuntimeFailure: it cannot be started.
    """

    def __init__(self, tiers: Sequence[str], packages: Mapping[str, str]) -> None:
        self._owner = os.getpid()
        self._numbers = itertools.count()
        self._stopped = False
        try:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # The zygote makes it, so that it is there only while somebody will remove it.
            self._root = Path(tempfile.gettempdir(), f"okrt-{secrets.token_hex(8)}")
        except OSError as error:
            raise RuntimeFailure(f"cannot prepare the sandbox: {error}") from error
        self._control.settimeout(ANSWER_S)
        arguments = [str(theirs.fileno()), str(self._owner), str(self._root)]
        arguments.append(json.dumps({"tiers": tiers, "packages": packages}))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [PYTHON, *FLAGS, str(SCRIPT), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            raise RuntimeFailure(f"cannot start the sandbox with {PYTHON!r}: {error}") from error
        finally:
            theirs.close()
        atexit.register(self.stop)
        self.ground = self._await()

    def _await(self) -> Ground:
        self._control.settimeout(START_S)
        try:
            report = self._control.recv(1 << 16)
        except OSError as error:
            self.stop()
            raise RuntimeFailure(f"the sandbox's zygote did not start: {error}") from error
        self._control.settimeout(ANSWER_S)
        if not report:
            epitaph = self._epitaph()
            self.stop()
            raise RuntimeFailure(epitaph)
        ground = Ground(**json.loads(report))
        if ground.tier is None:
            self.stop()
        return ground

    @property
    def alive(self) -> bool:
        return not self._stopped and self._process.poll() is None

    def fork(
        self, memory_mib: int, cpu_s: int, after: Child | None = None, keep: bool = False
    ) -> Child:
        """Asks for a process and returns at once; `Wire.wait_ready` waits for it. The one that it
        comes `after` is then ended.

        Args:
            keep: it has the scratch directory of the one before, and begins when that is dead.

        Raises:
            RuntimeFailure: the zygote is gone, or no descriptor is free.
        """
        number = next(self._numbers)
        request = {"fork": number, "memory_mib": memory_mib, "cpu_s": cpu_s}
        beside = []
        if after is not None:
            # The zygote kills it, and holds its wire until then: it would wake up for a kill or a
            # hang-up of ours, and run before we do.
            request["scratch" if keep else "reap"] = after.number
            beside.append(after.wire.fileno())
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    reading, writing = os.pipe()
                except OSError:
                    ours.close()
                    raise
                wire = Wire(ours, reading)
                try:
                    self._send(request, [theirs.fileno(), writing, *beside])
                except RuntimeFailure:
                    wire.close()
                    raise
                finally:
                    os.close(writing)
        except OSError as error:
            raise RuntimeFailure(f"cannot open the wire to a sandbox process: {error}") from error
        if after is not None:
            after.wire.close()
        return Child(number, wire)

    def end(self, child: Child) -> None:
        """The child is killed and its directory removed, soon; its wire is closed, now."""
        child.wire.kill()
        with contextlib.suppress(RuntimeFailure):  # a dead zygote has taken its children with it
            self._send({"reap": child.number}, [])
        child.wire.close()

    def ending(self, child: Child) -> tuple[int, str]:
        """Returns how a child ended (minus the signal that killed it), ending it if need be, and
        why, if it was the zygote that killed it. Its directory stays, for another or until `end`.

        Raises:
            RuntimeFailure: the zygote is gone, so the child died of that.
        """
        try:
            reading, writing = os.pipe()
        except OSError as error:
            raise RuntimeFailure(f"cannot ask how a sandbox process ended: {error}") from error
        try:
            self._send({"ask": child.number}, [writing])
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            poll = select.poll()
            poll.register(answer, select.POLLIN)
            if not poll.poll(ANSWER_S * 1000):
                raise RuntimeFailure(f"the sandbox's zygote gave no answer for {ANSWER_S:g} s")
            text = answer.read()
        if not text:
            raise RuntimeFailure(self._epitaph())
        code, _, reason = text.decode().partition(" ")
        return int(code), reason

    def stop(self) -> None:
        """The zygote, its children and their directories are gone. Idempotent."""
        if self._stopped or os.getpid() != self._owner:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        self._control.close()
        try:
            self._process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        remove_tree(self._root)

    def abandon(self) -> None:
        """After a fork of the host: this process lets go of what belongs to its parent."""
        self._stopped = True
        self._control.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process.returncode = 0  # not ours to wait for, nor to warn about

    def _send(self, request: dict[str, int], descriptors: list[int]) -> None:
        try:
            # By hand, as `json` and `socket.send_fds` cost more, and an episode waits.
            rights = struct.pack(f"={len(descriptors)}i", *descriptors)
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
            self._control.sendmsg([pack(request)[LENGTH:]], beside)
        except OSError as error:
            raise RuntimeFailure(self._epitaph()) from error

    def _epitaph(self) -> str:
        if self._stopped:
            return "the sandbox has been closed"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        status = self._process.returncode
        if status is None:
            return "the sandbox's zygote does not answer"
        assert self._process.stderr is not None
        last = self._process.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"the sandbox's zygote has ended (status {status})", *last])


def environment() -> dict[str, str]:
    """Nothing of the host's but what its interpreter may need to start."""
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ
    }
    return {
        **kept,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
