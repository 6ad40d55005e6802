"""A block starts no process, and no other process feels it."""

from __future__ import annotations

import textwrap

import pytest

from okrt.runtimes.contracts import STATELESS
from okrt.types import Limits
from tests.attacks.conftest import ATTEMPT, SYSCALL, Attack, assert_refused

STARTS = {
    "fork": "attempt(os.fork)",
    "forkpty": "attempt(os.forkpty)",
    "a bare fork": "attempt(syscall, 57 if x86 else 1079)",
    "vfork": "attempt(syscall, 58 if x86 else 1071)",
    "clone": "attempt(syscall, *((56, 17) if x86 else (220, 17)), 0, 0, 0, 0)",
    "clone with its memory shared": (
        "attempt(syscall, *((56, 0x100 | 17) if x86 else (220, 0x100 | 17)), 0, 0, 0, 0)"
    ),
    "clone into namespaces": (
        "attempt(syscall, *((56, 0x10000000 | 17) if x86 else (220, 0x10000000 | 17)), 0, 0, 0, 0)"
    ),
    "clone3": (
        "args = (ctypes.c_uint64 * 11)(); args[4] = 17\n"
        "attempt(syscall, 435, ctypes.byref(args), 88)"
    ),
    "multiprocessing": (
        "import multiprocessing\nattempt(multiprocessing.get_context('fork').Process().start)"
    ),
}


@pytest.mark.parametrize("code", STARTS.values(), ids=STARTS)
def test_a_block_starts_no_process(attack: Attack, code: str) -> None:
    assert_refused(attack(f"{SYSCALL}{code}"))


PROGRAMS = {
    "execve": "attempt(os.execv, '/bin/true', ['true'])",
    "execve of the interpreter": "attempt(os.execv, sys.executable, ['python', '-c', ''])",
    "execveat": "attempt(syscall, 322 if x86 else 281, -100, b'/bin/true', 0, 0, 0)",
    "posix_spawn": "attempt(os.posix_spawn, '/bin/true', ['true'], {})",
    "a shell": "print('DONE' if os.system('true') == 0 else 'refused')",
    "subprocess": "import subprocess; attempt(subprocess.run, ['/bin/true'])",
    "a script of its own": (
        "open('x', 'w').write('#!/bin/true\\n'); attempt(os.chmod, 'x', 0o755)\n"
        "attempt(os.execv, './x', ['x'])"
    ),
    "the loader": "attempt(os.execv, '/lib64/ld-linux-x86-64.so.2', ['x', '/bin/true'])",
    "a file without a name": (
        "attempt(os.memfd_create, 'x')\n"
        "file = os.open('.', os.O_TMPFILE | os.O_RDWR) if 0 else os.open('x', os.O_CREAT | 2)\n"
        "attempt(os.execve, file, ['x'], {})"
    ),
}


@pytest.mark.parametrize("code", PROGRAMS.values(), ids=PROGRAMS)
def test_a_block_runs_no_program(attack: Attack, code: str) -> None:
    assert_refused(attack(f"{SYSCALL}{code}"))


def test_a_fork_bomb_starts_nothing(attack: Attack) -> None:
    code = (
        "import os\nfor _ in range(200):\n"
        "    try: os.fork()\n    except OSError: continue\n    print('DONE')"
    )
    block = attack(code, contract=STATELESS)
    assert (block.status, block.stdout) == ("ok", "")


def test_a_thread_bomb_stays_within_its_process(attack: Attack) -> None:
    code = (
        "import threading, time\ntry:\n"
        "    while True: threading.Thread(target=time.sleep, args=[3600]).start()\n"
        "except RuntimeError: print('no more')"
    )
    block = attack(code, "print('next')", limits=Limits(block_s=5, memory_mib=256))
    assert block.status in ("ok", "timeout", "died"), block


DEATHS = {
    "os._exit": "import os; os._exit(3)",
    "a bad address": "import ctypes; ctypes.string_at(0)",
    "a stack overflow in C": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(x): return list(map(f, [x]))\nf(0)"
    ),
    "a forbidden instruction": (
        "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7); m.write(bytes(4096))\n"
        "a = ctypes.addressof(ctypes.c_char.from_buffer(m)); ctypes.CFUNCTYPE(None)(a)()"
    ),
    "its wire closed": "import os; os.close(3)",
    "every descriptor closed": "import os; os.closerange(0, 256)",
    "every descriptor something else": (
        "import os; r, w = os.pipe()\nfor n in range(9):\n    if n != w: os.dup2(w, n)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", DEATHS.values(), ids=DEATHS)
def test_a_death_is_data(attack: Attack, code: str) -> None:
    block = attack(code, limits=Limits(block_s=5))
    assert (block.status, block.bound_names, block.restarted) == ("died", None, True), block


SELF_SIGNALS = ["SIGKILL", "SIGTERM", "SIGABRT", "SIGSEGV", "SIGHUP"]


@pytest.mark.parametrize("name", SELF_SIGNALS)
def test_a_signal_to_itself_is_its_own_affair(attack: Attack, name: str) -> None:
    """It dies, or is immune as the first process of its namespace."""
    block = attack(f"import os, signal; os.kill(os.getpid(), signal.{name}); print('on')")
    assert (block.status, block.stdout) in (("died", ""), ("ok", "on\n"))


# -- other processes: the bystander, the zygote, the neighbour's ----------------------------------

TOUCHES = {
    "SIGKILL": "attempt(os.kill, pid, 9)",
    "SIGSTOP": "attempt(os.kill, pid, 19)",
    "signal 0": "attempt(os.kill, pid, 0)",
    "a signal to its group": "attempt(os.killpg, pid, 19)",
    "a signal to its thread": "attempt(syscall, 200 if x86 else 130, pid, 19)",
    "a signal to a thread of its group": "attempt(syscall, 234 if x86 else 131, pid, pid, 19)",
    "a signal with data": (
        "attempt(syscall, 129 if x86 else 138, pid, 19, ctypes.create_string_buffer(128))"
    ),
    "a handle": "attempt(os.pidfd_open, pid)",
    "its limits": (
        "limit = (ctypes.c_uint64 * 2)(1, 1)\n"
        "attempt(syscall, 302 if x86 else 261, pid, 3, ctypes.byref(limit), 0)"
    ),
    "a look at its limits": (
        "import resource; attempt(resource.prlimit, pid, resource.RLIMIT_CPU)"
    ),
    "its processors": "attempt(os.sched_setaffinity, pid, [0])",
    "its priority": "attempt(os.setpriority, os.PRIO_PROCESS, pid, 19)",
    "its scheduling": "attempt(os.sched_setscheduler, pid, os.SCHED_BATCH, os.sched_param(0))",
    "its scheduling attributes": (
        "attempt(syscall, 314 if x86 else 274, pid, ctypes.create_string_buffer(56), 0)"
    ),
    "its input and output priority": "attempt(syscall, 251 if x86 else 30, 1, pid, 0x6007)",
    "its group": "attempt(os.setpgid, pid, pid)",
    "ptrace": "attempt(syscall, 101 if x86 else 117, 0x4206, pid, 0, 0)",
    "its memory read": (
        "here = ctypes.create_string_buffer(8)\n"
        "part = (ctypes.c_uint64 * 2)(ctypes.addressof(here), 8)\n"
        "attempt(syscall, 310 if x86 else 270, pid, ctypes.byref(part), 1, "
        "ctypes.byref(part), 1, 0)"
    ),
    "its memory written": (
        "here = ctypes.create_string_buffer(8)\n"
        "part = (ctypes.c_uint64 * 2)(ctypes.addressof(here), 8)\n"
        "attempt(syscall, 311 if x86 else 271, pid, ctypes.byref(part), 1, "
        "ctypes.byref(part), 1, 0)"
    ),
    "its memory as a file": "attempt(open, f'/proc/{pid}/mem', 'rb')",
    "its pages moved": "attempt(syscall, 256 if x86 else 238, pid, 8, 0, 0)",
    "its descriptors compared": "attempt(syscall, 312 if x86 else 272, pid, pid, 0, 0, 0)",
    "its out-of-memory score": "attempt(open, f'/proc/{pid}/oom_score_adj', 'w')",
    "its namespaces": "attempt(open, f'/proc/{pid}/ns/net')",
}


@pytest.mark.parametrize("code", TOUCHES.values(), ids=TOUCHES)
def test_no_other_process_is_touched(attack: Attack, code: str) -> None:
    loop = f"{SYSCALL}\nfor pid in OTHERS:\n"
    assert_refused(attack(loop + textwrap.indent(code, "    ")))


EVERYBODY = {
    "a signal to everybody": "attempt(os.kill, -1, 18)",
    "the priority of its user": "attempt(os.setpriority, os.PRIO_USER, 0, 19)",
    "the priority of another group": "attempt(os.setpriority, os.PRIO_PGRP, 1, 19)",
    "the input and output priority of its user": "attempt(syscall, 251 if x86 else 30, 3, 0, 7)",
}


@pytest.mark.parametrize("code", EVERYBODY.values(), ids=EVERYBODY)
def test_nothing_reaches_many_processes_at_once(attack: Attack, code: str) -> None:
    assert_refused(attack(f"{SYSCALL}{code}"))


@pytest.mark.parametrize("owner", ["8", "15"], ids=["F_SETOWN", "F_SETOWN_EX"])
def test_a_descriptor_signals_nobody(attack: Attack, owner: str) -> None:
    """A descriptor can be told to send any signal to any process when it becomes readable."""
    code = f"""{ATTEMPT}
import fcntl, socket, struct, time
for pid in OTHERS:
    a, b = socket.socketpair()
    try:
        fcntl.fcntl(a, 10, 9)  # F_SETSIG, SIGKILL
        fcntl.fcntl(a, {owner}, pid if {owner} == 8 else struct.pack('ii', 1, pid))
        fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | 0o20000)  # O_ASYNC
        b.send(b'x')
    except OSError: pass
time.sleep(0.1)
print('on')
"""
    block = attack(code)  # that nobody has died of it is seen by `attack`
    assert (block.status, block.stdout) == ("ok", "on\n")
