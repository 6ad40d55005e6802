"""Runs Python as if on macOS: `elsewhere.py -c CODE`, `elsewhere.py SCRIPT [ARGUMENT ...]`.

What only Linux has is gone before anything of okrt's is imported, in the interpreters of blocks as
well. What only macOS has cannot be had so: this shows that nothing of Linux is needed, no more.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

OTHERS = ("msgspec", "numpy", "pytest", "scipy.stats", "urllib.request", "xdist")
"""Packages with builds of their own for macOS, and a module that there imports one of macOS's."""
GONE = {
    "os": "pidfd_open memfd_create eventfd eventfd_read eventfd_write pipe2 unshare setns waitid "
    "setresuid setresgid getresuid getresgid sched_setscheduler sched_setaffinity "
    "sched_getaffinity sched_param SCHED_BATCH SCHED_RESET_ON_FORK getrandom splice O_PATH",
    "signal": "pidfd_send_signal sigtimedwait sigwaitinfo",
    "socket": "SOCK_SEQPACKET SOCK_CLOEXEC SOCK_NONBLOCK MSG_CMSG_CLOEXEC SO_PEERCRED AF_NETLINK",
    "select": "epoll",
    "resource": "prlimit",
    "fcntl": "F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS",
}


def leave_linux() -> None:
    for module, names in GONE.items():
        for name in names.split():
            vars(importlib.import_module(module)).pop(name, None)
    os.killpg = _killpg
    _bound_no_address_space()
    sys.addaudithook(_refuse_proc)
    sys.platform = "darwin"


def _killpg(group: int, number: int, kill: Any = os.kill) -> None:
    """That of macOS denies it where only those are left that have ended."""
    try:
        kill(-group, number)
    except ProcessLookupError as error:
        raise PermissionError(*error.args) from None


def _bound_no_address_space() -> None:
    resource: Any = importlib.import_module("resource")
    setrlimit = resource.setrlimit

    def refusing(kind: int, values: tuple[int, int]) -> None:
        if kind == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")
        setrlimit(kind, values)

    resource.setrlimit = refusing


def _refuse_proc(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(arguments[0])


def _host(code: str) -> None:
    for name in OTHERS:
        importlib.import_module(name)
    leave_linux()
    process: Any = importlib.import_module("okrt.runtimes.process")
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "python")
        flags, this = " ".join(process.FLAGS), Path(__file__).resolve()
        python.write_text(
            f'#!/bin/sh\nshift {len(process.FLAGS)}\nexec {sys.executable} {flags} {this} "$@"\n'
        )
        python.chmod(0o755)
        process.PYTHON = str(python)
        exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    if sys.argv[1] == "-c":
        _host(sys.argv[2])
    else:
        leave_linux()
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
