"""The zygote: one single-threaded process that forks a sandboxed process for each request.

Run by path in an interpreter of its own, `python -s -S -P zygote.py CONTROL HOST ROOT`, never
forked from the host. Standard library only, no import of okrt, so that nothing of the host's is in
its memory. Requests arrive on the control socket, one JSON object a message, descriptors beside it:

    {"fork": 7, "memory_mib": 512, "cpu_s": 25}  + wire, output   a new process; its wire answers
    {"reap": 7}                                  + pipe or none   end it; its exit code to the pipe

It ends, and everything it started with it, when the control socket closes or the host process does.
PDEATHSIG would not do for the latter: it fires when the *thread* that started the zygote ends.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import site
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

WIRE, OUTPUT = 3, 4
"""The descriptors of a child beside 0, 1 and 2; OUTPUT is what 1 and 2 are restored from."""
FILE_MIB = 64
"""Largest file a block may write."""
DESCRIPTORS = 256
"""Descriptors a child may have open."""
SWEEP_S = 2.0
"""How long the zygote, when it ends, waits for what it has killed."""
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PRELOADED = """
abc array base64 bisect calendar cmath collections collections.abc concurrent.futures contextlib
copy csv dataclasses datetime decimal enum fractions functools hashlib heapq inspect io itertools
json linecache logging math numbers operator pathlib pickle pprint queue random re shutil
statistics string struct subprocess tempfile textwrap threading time traceback types typing
unicodedata uuid warnings weakref zlib
"""


def _sibling(name: str) -> ModuleType:
    """Returns the module of a file beside this one, with builtins that no block can patch."""
    path = Path(__file__).with_name(f"{name}.py")
    module = ModuleType(name)
    module.__dict__["__builtins__"] = dict(vars(builtins))
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102 - our own file
    return module


_LIBC = ctypes.CDLL(None)
scratch = _sibling("scratch")
worker = _sibling("worker")


class Zygote:
    """The table of children, and the loop that serves the host."""

    def __init__(self, control: socket.socket, root: Path) -> None:
        self._control = control
        self._root = root
        self._pid = os.getpid()
        self._children: dict[int, int] = {}
        """Number that the host gave it, by pid."""
        self._cleaners: set[int] = set()
        """Pids of processes that remove scratch directories."""
        self._ended: dict[int, int] = {}
        """Exit codes nobody asked for yet, by number."""
        self._asked: dict[int, int | None] = {}
        """Where the exit code goes (a descriptor), by the number of a child that is being ended."""

    def serve(self, host: int) -> None:
        """Answers requests until the host is gone, then leaves nothing behind."""
        wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        for descriptor in (self._control.fileno(), wake, host):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            # Requests first: somebody waits for a fork, nobody for a burial.
            if host in ready or (self._control.fileno() in ready and not self._request()):
                return self._end()
            if wake in ready:
                os.read(wake, 4096)
                self._collect()

    def _request(self) -> bool:
        payload, descriptors, _, _ = socket.recv_fds(self._control, 4096, 2)
        if not payload:
            return False
        request = json.loads(payload)
        if "fork" in request:
            self._fork(request, *descriptors)
        else:
            self._reap(request["reap"], descriptors[0] if descriptors else None)
        return True

    def _fork(self, request: dict[str, Any], wire: int, output: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            _refuse(wire, error)
        else:
            if pid == 0:
                self._control.detach()
                _child(request, wire, output, self._root / str(request["fork"]), self._pid)
            self._children[pid] = request["fork"]
        os.close(wire)
        os.close(output)

    def _reap(self, number: int, answer: int | None) -> None:
        if number in self._ended:
            _tell(answer, self._ended.pop(number))
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
                if ended.si_pid in self._cleaners:
                    self._cleaners.remove(ended.si_pid)
                else:
                    self._sweep()  # its own children have become ours
                if number is not None:
                    self._bury(number, os.waitstatus_to_exitcode(status))

    def _bury(self, number: int, code: int) -> None:
        if number in self._asked:
            _tell(self._asked.pop(number), code)
        else:
            self._ended[number] = code
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
        """Kills orphans: processes of a block that left its group and then lost their parent."""
        try:
            text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        except OSError:
            return  # a kernel without this file
        for pid in map(int, text.split()):
            if pid not in self._children and pid not in self._cleaners:
                os.kill(pid, signal.SIGKILL)

    def _end(self) -> None:
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


def _tell(answer: int | None, code: int) -> None:
    if answer is not None:
        with contextlib.suppress(OSError):
            os.write(answer, str(code).encode())
        os.close(answer)


def _refuse(wire: int, error: BaseException) -> None:
    message = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        os.write(wire, worker.pack({"type": "failed", "message": message}))


def _child(
    request: dict[str, Any], wire: int, output: int, directory: Path, zygote: int
) -> NoReturn:
    """The life of a child, from the fork to its end.

    What closes the sandbox further belongs after the limits and before the announcement: a failure
    there is then a failure of the sandbox and not of a block.
    """
    try:
        _move_descriptors(wire, output)
        _leave_zygote(directory, zygote)
        _limit(request["memory_mib"])
        _announce()
    except BaseException as error:  # the host is told, whatever it was
        _refuse(WIRE, error)
        os._exit(1)
    try:
        worker.serve(WIRE, OUTPUT, lambda: _renew_cpu(request["cpu_s"]))
    finally:
        os._exit(1)


def _move_descriptors(wire: int, output: int) -> None:
    """Descriptors 0 to 4 are what the child needs, and there are no others."""
    # Through high numbers first: either may lie where the other has to go.
    wire, output = (fcntl.fcntl(number, fcntl.F_DUPFD, 64) for number in (wire, output))
    os.dup2(wire, WIRE, inheritable=False)
    os.dup2(output, OUTPUT, inheritable=False)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(OUTPUT + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _leave_zygote(directory: Path, zygote: int) -> None:
    """A process group of its own, an empty directory to work in, death with the zygote."""
    os.setpgid(0, 0)  # a session would cost 2 ms more where the kernel groups tasks by session
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)  # it ended before the signal was asked for
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(0o077)
    directory.mkdir()
    os.chdir(directory)
    os.environ["HOME"] = os.environ["TMPDIR"] = str(directory)


def _limit(memory_mib: int) -> None:
    # Not NPROC: it counts the whole uid, so it would bind other programs of the user's.
    for kind, value in (
        (resource.RLIMIT_AS, memory_mib << 20),
        (resource.RLIMIT_FSIZE, FILE_MIB << 20),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _renew_cpu(seconds: int) -> None:
    """CPU time for one more block: a backstop for when the host itself is held up."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + seconds
    soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value)) != 0:
        raise OSError(f"prctl({option}) failed")


def _announce() -> None:
    """Tells the host that the child is ready, and hands over the means to watch and to kill it."""
    handle = os.pidfd_open(os.getpid())
    with socket.socket(fileno=os.dup(WIRE)) as wire:
        socket.send_fds(wire, [worker.pack({"type": "ready"})], [handle])
    os.close(handle)


def main() -> None:
    control, host, root = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    try:
        watch = os.pidfd_open(host)
    except ProcessLookupError:
        return
    if os.getppid() != host:
        return  # the host ended before it could be watched
    root.mkdir(mode=0o700)
    sys.argv = [""]
    os.chdir("/")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 4096), hard))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    site.setquit()  # -S left out `exit` and `quit`, which models do call
    for name in PRELOADED.split():
        with contextlib.suppress(ImportError):  # an interpreter built without it
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    Zygote(socket.socket(fileno=control), root).serve(watch)


if __name__ == "__main__":
    main()
