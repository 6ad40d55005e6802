"""Seccomp filters: the allowlist of `okrt.runtimes.syscalls` as a program for the kernel.

Runs in the sandbox: standard library only. Building is pure; `install` alone touches the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from okrt.runtimes.syscalls import (
    AARCH64,
    ABSENT,
    ALLOWED,
    CHECKED,
    SELF,
    TRUNCATE,
    X86_64,
    Check,
)

_LOAD, _AND = 0x20, 0x54
_EQUAL, _AT_LEAST = 0x15, 0x35
_RETURN = 0x06
"""Instruction codes of classic BPF. Source: linux/bpf_common.h."""
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
"""SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO. Source: linux/seccomp.h."""
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""
_X32 = 0x40000000
"""Added to the number by a second way into the x86-64 kernel, with numbers of its own."""

_INSTRUCTION = struct.Struct("=HBBI")
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

TABLES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
"""AUDIT_ARCH_* and system call numbers, by machine. Source: linux/audit.h."""


@dataclass(frozen=True, slots=True)
class Program:
    """A filter that still lacks the pid of the process it is for."""

    code: bytes
    holes: tuple[int, ...]
    """Offsets of the pid."""

    def for_pid(self, pid: int) -> bytes:
        code = bytearray(self.code)
        for hole in self.holes:
            struct.pack_into("=I", code, hole, pid)
        return bytes(code)


Instruction = tuple[int, int, int, int]


def build(machine: str, truncate: bool) -> Program:
    """Returns the filter for a machine (`os.uname().machine`).

    Raises:
        OSError: there is no table for this machine.
    """
    if machine not in TABLES:
        raise OSError(errno.ENOTSUP, f"no table of system calls for {machine}")
    architecture, numbers = TABLES[machine]
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    for name, alternatives in CHECKED.items():
        if name in numbers:
            body = list(_checked(alternatives))
            lines += [(_EQUAL, 0, len(body), numbers[name]), *body]
    lines += [(_EQUAL, 0, 1, numbers[ABSENT]), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    for name in (*ALLOWED, *([TRUNCATE] if truncate else [])):
        if name in numbers:
            lines += [(_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, _FAIL | errno.EPERM))
    holes = [
        index * _INSTRUCTION.size + 4
        for index, (code, _, _, value) in enumerate(lines)
        if code == _EQUAL and value == SELF
    ]
    code = b"".join(_INSTRUCTION.pack(*line[:3], line[3] & 0xFFFFFFFF) for line in lines)
    return Program(code, tuple(holes))


def _checked(alternatives: tuple[tuple[Check, ...], ...]) -> Iterator[Instruction]:
    """Yields what decides by arguments; it always returns, so that nothing falls through."""
    for checks in alternatives:
        left = 3 * len(checks) + 1
        for check in checks:
            left -= 3
            yield (_LOAD, 0, 0, _ARGUMENTS + 8 * check.argument + 4 * check.half)
            yield (_AND, 0, 0, check.mask)
            yield (_EQUAL, 0, left, check.value)
        yield (_RETURN, 0, 0, _ALLOW)
    yield (_RETURN, 0, 0, _FAIL | errno.EPERM)


class _Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


_LIBC = ctypes.CDLL(None, use_errno=True)


def install(code: bytes) -> None:
    """This process, and whatever it starts, is under the filter for good.

    Raises:
        OSError: the kernel refuses; `no_new_privs` has to be set before.
    """
    program = _Filter(len(code) // _INSTRUCTION.size, code)
    if _LIBC.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
