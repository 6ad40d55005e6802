"""The zygote's work: the table of its children, and the loop that serves the host.

Runs in the zygote: standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from okrt.runtimes import child, namespaces, scratch
from okrt.runtimes.isolation import SCRATCH_FILES, SCRATCH_MIB, Isolation
from okrt.runtimes.tiers import T0, UNSAFE

SWEEP_S = 2.0
"""How long the zygote, when it ends, waits for what it has killed."""
LOOK_S, LOOK_LATER_S = 0.1, 0.5
"""How often the zygote looks at what its children have on disk, and where that takes long."""
REHEARSAL_S = 10.0
"""How long the first child may take."""
REHEARSAL = (
    "import colorsys, tempfile\nwith tempfile.TemporaryFile() as file:\n    file.write(b'1')"
)
"""What every child must be able to do: to import what is not yet, and to write files."""


class Nursery:
    """The table of children, and the loop that serves the host."""

    def __init__(
        self, control: socket.socket, root: Path, ground: Isolation, worker: ModuleType
    ) -> None:
        self._control = control
        self._root = root
        self._isolation = ground
        self._worker = worker
        self._pid = os.getpid()
        self._inits: dict[int, namespaces.Init] = {}
        """The first process of its pid namespace, by the pid of a child."""
        self._idle: dict[int, namespaces.Init] = {}
        """Those whose child has ended, by pid."""
        self._children: dict[int, int] = {}
        """Number that the host gave it, by pid."""
        self._cleaners: set[int] = set()
        """Pids of processes that remove scratch directories."""
        self._ended: dict[int, tuple[int, str]] = {}
        """Exit codes, and why we killed it, that nobody asked for yet, by number."""
        self._reasons: dict[int, str] = {}
        """Why we killed a child, by number."""
        self._asked: dict[int, int | None] = {}
        """Where the exit code goes (a descriptor), by the number of a child that is being ended."""

    def serve(self, host: int) -> None:
        """Answers requests until the host is gone, then leaves nothing behind."""
        # Its wake-up takes the processor from nobody: a session that asks for its next process has
        # an answer to hand on. Its children are as others are.
        with contextlib.suppress(OSError):
            calm = os.SCHED_BATCH | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, calm, os.sched_param(0))
        wake = self._wake
        poll = select.poll()
        for descriptor in (self._control.fileno(), wake, host):
            poll.register(descriptor, select.POLLIN)
        look, due = self._isolation.tier == T0, 0.0
        while True:
            wait = max(0.0, due - time.monotonic()) * 1000 if look and self._children else None
            ready = {descriptor for descriptor, _ in poll.poll(wait)}
            # Requests first: somebody waits for a fork, nobody for a burial.
            if host in ready or (self._control.fileno() in ready and not self._request()):
                return self._end()
            if wake in ready:
                os.read(wake, 4096)
                self._collect()
            if look and time.monotonic() >= due:
                began = time.thread_time()  # not what it waited for the processor and the disk
                self._look()
                taken = time.thread_time() - began
                due = time.monotonic() + min(LOOK_LATER_S, max(LOOK_S, 20 * taken))

    def _look(self) -> None:
        """Kills those whose files take too much. On T1 their file system is no larger."""
        for pid, number in self._children.items():
            directory = self._root / str(number)
            size, files = SCRATCH_MIB, SCRATCH_FILES
            if number not in self._reasons and scratch.exceeds(directory, pid, size << 20, files):
                self._reasons[number] = f"it had more than {size} MiB, or {files:,} files, on disk"
                os.kill(pid, signal.SIGKILL)

    def rehearse(self) -> None:
        """Puts a first child through its whole life.

        Raises:
            OSError: it came to grief; the message says where.
        """
        self._wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        self._fork({"fork": -1, "memory_mib": 1024, "cpu_s": 30}, theirs.detach(), writing)
        with ours, os.fdopen(reading, "rb"), ours.makefile("rb") as answers:
            ours.settimeout(REHEARSAL_S)
            step = {**self._worker.REHEARSAL, "type": "step", "code": REHEARSAL}
            with contextlib.suppress(BrokenPipeError):
                ours.sendall(self._worker.pack(step))
            for expected in ("ready", "done"):
                length = int.from_bytes(answers.read(4), "big")
                message = json.loads(answers.read(length) or b'{"type": "nothing"}')
                if message["type"] != expected or message.get("error_type"):
                    raise OSError(_problem(message))
        self._reap(-1, None)

    def _request(self) -> bool:
        payload, descriptors, _, _ = socket.recv_fds(self._control, 4096, 3)
        if not payload:
            return False
        request = json.loads(payload)
        if "fork" in request:
            wire, output, *descriptors = descriptors
            self._fork(request, wire, output)
        if "reap" in request:
            self._reap(request["reap"], descriptors[0] if descriptors else None)
        return True

    def _fork(self, request: dict[str, Any], wire: int, output: int) -> None:
        pids, init = self._isolation.pids, None
        try:
            init = pids.open() if pids else None
            pid = os.fork()
            if pid == 0:
                child.live(request, wire, output, self._pid, self._isolation, self._worker)
        except OSError as error:
            child.refuse(wire, error, self._worker.pack)
            self._dismiss(init)
        else:
            self._children[pid] = request["fork"]
            if init:
                self._inits[pid] = init
        finally:
            if pids:
                pids.leave()
        os.close(wire)
        os.close(output)

    def _reap(self, number: int, answer: int | None) -> None:
        if number in self._ended:
            _tell(answer, *self._ended.pop(number))
            return
        for pid, known in self._children.items():
            if known == number:
                self._asked[number] = answer
                os.kill(pid, signal.SIGKILL)
                return
        if answer is not None:
            os.close(answer)

    def _collect(self) -> None:
        """Reaps whoever has ended, and ends what they left behind."""
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                number = self._children.pop(ended.si_pid, None)
                if number is not None:
                    # Not reaped yet, so the pid, and the group it names, are still its own.
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(ended.si_pid, signal.SIGKILL)
                _, status = os.waitpid(ended.si_pid, 0)
                self._idle.pop(ended.si_pid, None)
                self._dismiss(self._inits.pop(ended.si_pid, None))
                if ended.si_pid in self._cleaners:
                    self._cleaners.remove(ended.si_pid)
                else:
                    self._sweep()  # its own children have become ours
                if number is not None:
                    self._bury(number, os.waitstatus_to_exitcode(status))

    def _dismiss(self, init: namespaces.Init | None) -> None:
        if init:
            self._idle[init.pid] = init
            os.kill(init.pid, signal.SIGKILL)

    def _bury(self, number: int, code: int) -> None:
        end = code, self._reasons.pop(number, "")
        if number in self._asked:
            _tell(self._asked.pop(number), *end)
        else:
            self._ended[number] = end
        directory = self._root / str(number)
        try:
            directory.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            self._clean(directory)

    def _clean(self, directory: Path) -> None:
        """Has another process remove a directory: a million files must not hold up the others."""
        try:
            pid = os.fork()
        except OSError:
            scratch.remove_tree(directory)
            return
        if pid == 0:
            scratch.remove_tree(directory)
            os._exit(0)
        self._cleaners.add(pid)

    def _sweep(self) -> None:
        """Kills orphans: processes of a block that left its group and then lost their parent.

        Only on the tier `unsafe` can there be any.
        """
        if self._isolation.tier != UNSAFE:
            return
        try:
            text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        except OSError:
            return  # a kernel without this file
        for pid in map(int, text.split()):
            if pid not in self._children and pid not in self._cleaners:
                os.kill(pid, signal.SIGKILL)

    def _end(self) -> None:
        if self._isolation.pids:
            return  # we are the first process of a namespace: the kernel ends the others
        deadline = time.monotonic() + SWEEP_S
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        while time.monotonic() < deadline:
            self._sweep()
            self._collect()
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                time.sleep(0.001)
                continue
            break
        scratch.remove_tree(self._root)


def _tell(answer: int | None, code: int, reason: str) -> None:
    if answer is not None:
        with contextlib.suppress(OSError):
            os.write(answer, f"{code} {reason}".encode())
        os.close(answer)


def _problem(message: dict[str, Any]) -> str:
    if message["type"] == "failed":
        return str(message["message"])
    if message.get("error"):
        return f"the interpreter does not run: {message['error'].splitlines()[-1]}"
    return "the first process ended while it was being set up"
