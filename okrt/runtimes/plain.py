"""Processes without a zygote: what any Unix has, and the tier `none`.

Off Linux there is nothing else. Each process is an interpreter started for it, so a stateless step
costs as much as one, less what it takes while the model thinks. Nothing here forks the host, which
may have threads: `subprocess` alone starts processes.

Not promised, beside all that the tier does not: a host that is killed leaves its directories, and
of its processes those whose block never ends; what a block moved to a session of its own lives on.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import itertools
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from okrt.errors import RuntimeFailure
from okrt.runtimes import process
from okrt.runtimes.process import ANSWER_S, Child, Ground, environment
from okrt.runtimes.scratch import remove_tree, reopen
from okrt.runtimes.tiers import NONE
from okrt.runtimes.wire import Wire

SCRIPT = Path(__file__).with_name("plain_child.py")


class Watched:
    """A process and a thread that waits for it; satisfies `okrt.runtimes.wire.Handle`.

    Args:
        started: the process, in a session of its own.
        ended: descriptors of a pipe, which hears of the end.
    """

    def __init__(self, started: subprocess.Popen[bytes], ended: tuple[int, int]) -> None:
        self._process = started
        self._hears, self._tells = io.FileIO(ended[0]), io.FileIO(ended[1], "w")
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self._hears.fileno()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._kill_group()

    def end(self) -> int:
        """Kills the process if need be; returns how it ended (minus the signal that killed it).

        Raises:
            RuntimeFailure: the system does not let it end.
        """
        self.kill()
        self._thread.join(ANSWER_S)
        if self._process.returncode is None:
            raise RuntimeFailure(f"the process of a block did not end within {ANSWER_S:g} s")
        return self._process.returncode

    def close(self) -> None:
        self._hears.close()

    def abandon(self) -> None:
        """After a fork of the host: the thread and the child are the parent's."""
        self._tells.close()
        self._process.returncode = 0

    def _wait(self) -> None:
        self._process.wait()
        self._kill_group()  # what it left behind; while there is any, the number is not given anew
        with self._tells, contextlib.suppress(OSError):  # nobody listens any more
            self._tells.write(b"x")  # its closing would not be heard while a fork has a copy

    def _kill_group(self) -> None:
        # macOS denies it where only those are left that have ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


class PlainProcesses:
    """Satisfies `okrt.runtimes.session.Processes`; stopped at exit at the latest. Any thread may
    use it.

    Raises:
        RuntimeFailure: there is no room for temporary files.
    """

    ground = Ground(NONE, None, {})

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._owner = os.getpid()
        self._numbers = itertools.count()
        self._watched: dict[int, Watched] = {}
        self._places: dict[int, int] = {}
        """The number of the first process that had its directory, by that of the one that has it
        now."""
        self._stopped = False
        try:
            self._root = Path(tempfile.mkdtemp(prefix="okrt-"))
            for name, path in packages.items():
                link = self._root / "packages" / name
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path)
        except OSError as error:
            raise RuntimeFailure(f"cannot prepare processes for blocks: {error}") from error
        self._packages = str(self._root / "packages") if packages else ""
        atexit.register(self.stop)

    @property
    def alive(self) -> bool:
        return not self._stopped

    def fork(
        self, memory_mib: int, cpu_s: int, after: Child | None = None, keep: bool = False
    ) -> Child:
        """Starts a process and returns at once. The one that it comes `after` is then ended.

        Args:
            keep: it has the directory of the one before, which is ended first.

        Raises:
            RuntimeFailure: it cannot be started.
        """
        number = place = next(self._numbers)
        if after is not None and keep:
            self.ending(after)
            place = self._places[after.number]
        try:
            child = self._start(number, place, memory_mib, cpu_s)
        except OSError as error:
            raise RuntimeFailure(f"cannot start a process for blocks: {error}") from error
        self._places[number] = place
        if after is not None and keep:
            del self._places[after.number]  # its directory is no longer its own
        if after is not None:
            self.end(after)
        return child

    def _start(self, number: int, place: int, memory_mib: int, cpu_s: int) -> Child:
        scratch = self._root / str(place)
        if number == place:
            scratch.mkdir(mode=0o700)
        else:
            reopen(scratch)
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as passed:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            passed.callback(theirs.close)
            reading, writing = os.pipe()
            kept.callback(os.close, reading)
            passed.callback(os.close, writing)
            ended = os.pipe()
            for descriptor in ended:
                kept.callback(os.close, descriptor)
            arguments = [str(theirs.fileno()), str(memory_mib), str(cpu_s), self._packages]
            started = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [process.PYTHON, *process.FLAGS, str(SCRIPT), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env={**environment(), "HOME": str(scratch), "TMPDIR": str(scratch)},
                cwd=scratch,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            kept.pop_all()
        watched = self._watched[number] = Watched(started, ended)
        return Child(number, Wire(ours, reading, watched))

    def end(self, child: Child) -> None:
        """The child is gone with its directory, its wire closed."""
        watched = self._watched.pop(child.number, None)
        if watched is not None:
            watched.end()
        child.wire.close()
        if (place := self._places.pop(child.number, None)) is not None:
            remove_tree(self._root / str(place))

    def ending(self, child: Child) -> tuple[int, str]:
        """Returns how a child ended, ending it if need be; there is never more to say.

        Raises:
            RuntimeFailure: it ended because the runtime was closed.
        """
        watched = self._watched.get(child.number)
        if watched is None:
            raise RuntimeFailure("the runtime has been closed")
        return watched.end(), ""

    def stop(self) -> None:
        """The children and their directories are gone. Idempotent."""
        if self._stopped or os.getpid() != self._owner:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        while self._watched:
            _, watched = self._watched.popitem()
            watched.end()
            watched.close()
        remove_tree(self._root)

    def abandon(self) -> None:
        """After a fork of the host: this process lets go of what belongs to its parent."""
        self._stopped = True
        for watched in self._watched.values():
            watched.abandon()
