"""Landlock: which files a process may reach, whoever owns them.

Runs in the sandbox: standard library only. Source of numbers and structures: linux/landlock.h and
Documentation/userspace-api/landlock.rst of Linux 6.15 (ABI 7).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
"""System call numbers, the same on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK = (
    1 << bit for bit in range(4, 10)
)
_MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = (
    1 << bit for bit in range(10, 16)
)
_FIRST = (1 << 13) - 1
"""The rights of ABI 1."""
_LATER = {2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}
"""Rights that later ABIs brought. Unless a right is handled, it is not governed."""
_TCP = 0b11
_SCOPES = 0b11
"""Abstract unix sockets and signals stay among the processes under the same rules (ABI 6)."""

READ = _READ_FILE | _READ_DIR
DEVICE = _READ_FILE | _WRITE_FILE
SCRATCH = (
    READ | _WRITE_FILE | _TRUNCATE | _REFER | _REMOVE_DIR | _REMOVE_FILE
    | _MAKE_DIR | _MAKE_REG | _MAKE_FIFO | _MAKE_SYM
)  # fmt: skip
TRUNCATE_ABI = 3
"""From here on, emptying a file by its path is governed as well."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def abi() -> int:
    """Returns the version that the kernel offers.

    Raises:
        OSError: none: it is too old, or Landlock is not enabled, or something denies it.
    """
    return _call("landlock", _CREATE, None, ctypes.c_size_t(0), _VERSION)


class Rule:
    """A file or directory and what may be done with it and beneath it; holds a descriptor."""

    def __init__(self, path: Path, rights: int) -> None:
        self._directory = path.is_dir()
        low = os.open(path, os.O_PATH | os.O_CLOEXEC)
        # Out of the way of the numbers that a child's descriptors are moved to.
        self._descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 64)
        os.close(low)
        self._rights = rights

    def add(self, ruleset: int, handled: int) -> None:
        rights = self._rights & handled
        if not self._directory:
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        beneath = struct.pack("=Qi", rights, self._descriptor)
        _call("landlock", _ADD_RULE, ruleset, _PATH_BENEATH, beneath, 0)

    def close(self) -> None:
        os.close(self._descriptor)


def restrict(rules: Iterable[Rule], version: int, alone: bool) -> None:
    """This process, and whatever it starts, reaches what the rules name and nothing else, for good.

    A process can be restricted again; it then has what both allow. `alone`: no TCP either, and no
    signal or abstract socket leads out.

    Raises:
        OSError: the kernel refuses; `no_new_privs` has to be set before.
    """
    handled = _FIRST
    for since, right in _LATER.items():
        handled |= right if version >= since else 0
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", _TCP if alone else 0)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPES if alone else 0)
    size = ctypes.c_size_t(len(attributes))
    ruleset = _call("landlock", _CREATE, attributes, size, 0)
    try:
        for rule in rules:
            rule.add(ruleset, handled)
        _call("landlock", _RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _call(what: str, *arguments: object) -> int:
    found: int = _LIBC.syscall(*arguments)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return found
