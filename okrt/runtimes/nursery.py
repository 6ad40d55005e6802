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
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a child writes its files. It outlives the child, until the host lets go of it or has
    another child live there."""

    number: int
    """Of the first child in it; it names the directory and, of root's, the user."""
    init: namespaces.Init | None
    """Where there are pid namespaces, the first process of its own."""


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
        self._places: dict[int, Place] = {}
        """By number; of those as well that have ended, until the host lets go of them."""
        self._idle: dict[int, namespaces.Init] = {}
        """First processes of namespaces that are left, by pid."""
        self._children: dict[int, int] = {}
        """Number that the host gave it, by pid."""
        self._cleaners: set[int] = set()
        """Pids of processes that remove scratch directories."""
        self._ended: dict[int, tuple[int, str]] = {}
        """Exit codes, and why we killed it, by number, until the host lets go of it."""
        self._reasons: dict[int, str] = {}
        """Why we killed a child, by number."""
        self._due: dict[int, list[Callable[[], None]]] = {}
        """What is to be done once a child has ended, by number."""
        self._awaited: set[int] = set()
        """Numbers of children that are to start when others have ended."""

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
            directory = self._root / str(self._places[number].number)
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
        self._fork({"fork": -1, "memory_mib": 1024, "cpu_s": 30}, theirs.detach(), writing, None)
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
        self._after(-1, partial(self._leave, -1, []))

    def _request(self) -> bool:
        payload, descriptors, _, _ = socket.recv_fds(self._control, 4096, 3)
        if not payload:
            return False
        request = json.loads(payload)
        if "fork" in request:
            wire, output, *descriptors = descriptors
            if "scratch" in request:
                self._awaited.add(request["fork"])
                heir = partial(self._succeed, request, wire, output, descriptors)
                self._after(request["scratch"], heir)
            else:
                self._fork(request, wire, output, None)
        if "ask" in request:
            self._after(request["ask"], partial(self._tell, request["ask"], descriptors[0]))
        if "reap" in request:
            self._after(request["reap"], partial(self._leave, request["reap"], descriptors))
        return True

    def _fork(self, request: dict[str, Any], wire: int, output: int, place: Place | None) -> None:
        """Starts a child; `place`: that of the one that it is an heir to, if it is."""
        number, pids = request["fork"], self._isolation.pids
        try:
            if pids and place and place.init:
                pids.enter(place.init)
            place = place or Place(number, pids.open() if pids else None)
            pid = os.fork()
            if pid == 0:
                request["place"] = place.number
                child.live(request, wire, output, self._pid, self._isolation, self._worker)
        except OSError as error:
            child.refuse(wire, error, self._worker.pack)
        else:
            self._children[pid] = number
        finally:
            if pids:
                pids.leave()
            if place:
                self._places[number] = place
        os.close(wire)
        os.close(output)
        self._awaited.discard(number)
        for act in self._due.pop(number, ()):  # the host did not wait for it
            self._after(number, act)

    def _after(self, number: int, act: Callable[[], None]) -> None:
        """Ends a child, if it has not ended, and then does what is to be done."""
        pid = next((pid for pid, known in self._children.items() if known == number), None)
        if pid is None and number not in self._awaited:
            act()
            return
        self._due.setdefault(number, []).append(act)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def _succeed(self, request: dict[str, Any], wire: int, output: int, held: list[int]) -> None:
        """Starts a child where one lived that has ended."""
        self._fork(request, wire, output, self._let_go(request["scratch"], held))

    def _let_go(self, number: int, held: list[int]) -> Place | None:
        """Returns the place of a child that has ended, if it had one: it is no longer its own."""
        self._ended.pop(number, None)
        for descriptor in held:
            os.close(descriptor)
        return self._places.pop(number, None)

    def _leave(self, number: int, held: list[int]) -> None:
        """Nothing is left of a child that has ended."""
        place = self._let_go(number, held)
        if place is None:
            return
        self._dismiss(place.init)
        directory = self._root / str(place.number)
        try:
            directory.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            self._clean(directory)

    def _tell(self, number: int, answer: int) -> None:
        if end := self._ended.get(number):
            with contextlib.suppress(OSError):
                os.write(answer, "{} {}".format(*end).encode())
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
        self._ended[number] = code, self._reasons.pop(number, "")
        for act in self._due.pop(number, ()):
            act()

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
        self._due.clear()  # nobody starts any more
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


def _problem(message: dict[str, Any]) -> str:
    if message["type"] == "failed":
        return str(message["message"])
    if message.get("error"):
        return f"the interpreter does not run: {message['error'].splitlines()[-1]}"
    return "the first process ended while it was being set up"
