"""The zygote: one single-threaded process that forks a sandboxed process for each request.

Run by path in an interpreter of its own, `python -s -S -P zygote.py CONTROL HOST ROOT OPTIONS`,
never forked from the host. It imports the standard library and the files beside it that do
likewise, so that nothing of the host's is in its memory.

The process that is started forks the zygote proper, once for each tier that it is to try, until one
can be had; it then waits, and tidies up behind it. What came of that is the first message on the
control socket. Requests follow, one JSON object a message, descriptors beside it:

    {"fork": 7, "memory_mib": 512, "cpu_s": 25}  + wire, output   a new process; its wire answers
    {"ask": 7}                                   + pipe           end it; its exit code to the pipe
    {"reap": 7}                                  + any or none    end it, and nothing is left of it;
                                                                  `any` is held for so long
    {"fork": 8, ..., "reap": 7}                  + wire, output, any
    {"fork": 8, ..., "scratch": 7}               + wire, output, any
                                                                  end 7; 8 then has what it leaves

It ends, and everything it started with it, when the control socket closes or the host process does.
PDEATHSIG would not do for the latter: it fires when the *thread* that started the zygote ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

if __name__ == "__main__":  # for as long as it takes to import the files beside this one
    sys.path.insert(0, str(Path(__file__).parents[2]))
from okrt.runtimes import interpreter, isolation, namespaces, scratch
from okrt.runtimes.nursery import Nursery
from okrt.runtimes.tiers import T1

if __name__ == "__main__":
    del sys.path[0]

_PR_SET_CHILD_SUBREAPER = 36
PRELOADED = """
abc array base64 bisect calendar cmath collections collections.abc concurrent.futures contextlib
copy csv dataclasses datetime decimal enum fractions functools hashlib heapq inspect io itertools
json linecache logging math numbers operator pathlib pickle pprint queue random re shutil
statistics string struct subprocess tempfile textwrap threading time traceback types typing
unicodedata uuid warnings weakref zlib
"""


def _told(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


# -- starting -------------------------------------------------------------------------------------


def main() -> None:
    control, host, root = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    options = json.loads(sys.argv[4])
    try:
        watch = os.pidfd_open(host)
    except ProcessLookupError:
        return
    if os.getppid() != host:
        return  # the host ended before it could be watched
    os.chdir("/")
    worker = interpreter.prepare()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 4096), hard))
    for name in PRELOADED.split():
        with contextlib.suppress(ImportError):  # an interpreter built without it
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    problems: dict[str, str] = {}
    for tier in options["tiers"]:
        told, tell = os.pipe()
        try:
            pid = namespaces.fork(os.geteuid() != 0) if tier == T1 else os.fork()
            if pid == 0:
                os.close(told)
                _become(tier, control, watch, root, options, problems, tell, worker)
        except OSError as error:
            problems[tier] = _told(error)
            os.close(tell)
        else:
            os.close(tell)
            answer = os.read(told, 4096).decode()
            if answer == "ok":
                _outlive(pid, control, watch, root)
            os.waitpid(pid, 0)
            scratch.remove_tree(root)
            problems[tier] = answer or "the zygote ended"
        os.close(told)
    report = {"tier": None, "landlock_abi": None, "problems": problems}
    with socket.socket(fileno=control) as reply, contextlib.suppress(OSError):
        reply.send(json.dumps(report).encode())


def _become(
    tier: str,
    control: int,
    host: int,
    root: Path,
    options: dict[str, Any],
    problems: dict[str, str],
    tell: int,
    worker: ModuleType,
) -> NoReturn:
    """The zygote proper; `tell` is told why it could not be, or that it is."""
    try:
        isolation.prctl(isolation.PR_SET_PDEATHSIG, signal.SIGKILL)
        isolation.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        packages = {name: Path(path) for name, path in options["packages"].items()}
        ground = isolation.Isolation(tier, root, packages)
        with socket.socket(fileno=control) as requests:
            nursery = Nursery(requests, root, ground, worker)
            nursery.rehearse()
            os.write(tell, b"ok")
            os.close(tell)
            report = {"tier": tier, "landlock_abi": ground.abi, "problems": problems}
            requests.send(json.dumps(report).encode())
            nursery.serve(host)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(tell, _told(error).encode())
        os._exit(1)
    os._exit(0)


def _outlive(pid: int, control: int, watch: int, root: Path) -> NoReturn:
    """Waits for the zygote, ends as it did, and leaves nothing of it."""
    os.close(control)
    os.close(watch)
    _, status = os.waitpid(pid, 0)
    scratch.remove_tree(root)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
