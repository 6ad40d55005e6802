"""The life of a sandboxed process, from the fork to its end.

Runs in the sandbox: standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # it is Linux's alone, and some of this file is not
    from okrt.runtimes.isolation import Isolation

WIRE, OUTPUT = 3, 4
"""The descriptors of a child beside 0, 1 and 2; OUTPUT is what 1 and 2 are restored from."""
FILE_MIB = 64
"""Largest file a block may write."""
DESCRIPTORS = 256
"""Descriptors a child may have open."""

Pack = Callable[[dict[str, Any]], bytes]


def live(
    request: dict[str, Any],
    wire: int,
    output: int,
    zygote: int,
    isolation: Isolation,
    worker: ModuleType,
) -> NoReturn:
    """Becomes what the request asks for, tells the host, and runs blocks until it hangs up.

    A failure before the announcement is one of the sandbox and not of a block.
    """
    try:
        _move_descriptors(wire, output)
        os.setpgid(0, 0)  # a session would cost 2 ms more where the kernel groups tasks by session
        place = request["place"]
        scratch = isolation.scratch(place, fresh="scratch" not in request)
        os.chdir(scratch)
        os.environ["HOME"] = os.environ["TMPDIR"] = str(scratch)
        os.umask(0o077)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        isolation.drop(place)
        if os.getppid() not in (zygote, 0):
            os._exit(1)  # the zygote ended before its death was to be ours
        isolation.enclose(scratch)
        os.closerange(OUTPUT + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        for kind, value in limits(request["memory_mib"]).items():
            limit(kind, value)
        handle = os.pidfd_open(os.getpid())
        isolation.close()
        _announce(handle, worker.pack)
    except BaseException as error:  # the host is told, whatever it was
        refuse(WIRE, error, worker.pack)
        os._exit(1)
    try:
        worker.serve(WIRE, OUTPUT, request["cpu_s"])
    finally:
        os._exit(1)


def refuse(wire: int, error: BaseException, pack: Pack) -> None:
    """Tells the host that there will be no process."""
    message = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        os.write(wire, pack({"type": "failed", "message": message}))


def _move_descriptors(wire: int, output: int) -> None:
    # Through high numbers first: either may lie where the other has to go.
    wire, output = (fcntl.fcntl(number, fcntl.F_DUPFD, 64) for number in (wire, output))
    os.dup2(wire, WIRE, inheritable=False)
    os.dup2(output, OUTPUT, inheritable=False)
    os.dup2(output, 1)
    os.dup2(output, 2)


def limits(memory_mib: int) -> dict[int, int]:
    """Returns what a process may use, by kind of limit."""
    return {
        resource.RLIMIT_AS: memory_mib << 20,
        resource.RLIMIT_FSIZE: FILE_MIB << 20,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }


def limit(kind: int, value: int) -> None:
    """This process may use so much and no more, for good.

    Raises:
        OSError, ValueError: the system does not have it so.
    """
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _announce(handle: int, pack: Pack) -> None:
    """Tells the host that the child is ready, and hands over the means to watch and to kill it."""
    with socket.socket(fileno=os.dup(WIRE)) as wire:
        socket.send_fds(wire, [pack({"type": "ready"})], [handle])
    os.close(handle)
