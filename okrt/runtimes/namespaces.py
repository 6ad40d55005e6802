"""Namespaces: a zygote, and each child, in a view of the machine of its own (tier T1).

Runs in the sandbox: standard library only. Source of numbers: linux/sched.h, linux/mount.h.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okrt.runtimes.syscalls import AARCH64, X86_64

_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_VM, _FILES = 0x100, 0x400
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_MOUNT_SETATTR = 442
_AT_RECURSIVE, _ATTR_RDONLY, _ATTR_NOSUID = 0x8000, 1, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CLONE = {"x86_64": X86_64["clone"], "aarch64": AARCH64["clone"]}

SCRATCH = Path("/scratch")
"""Where every child finds a file system of its own; gone with its `Init`."""
_STACK = 16384
"""Bytes of stack of a process that does nothing."""

_LIBC = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock, as a fork must
_LIBC.syscall.restype = ctypes.c_long


def fork(user: bool) -> int:
    """Like `os.fork`, but the child is the first process in namespaces of its own.

    Args:
        user: a user namespace as well, in which this user may have the others; root needs none.

    Raises:
        OSError: they are not to be had.
    """
    flags = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET | (_NEWUSER if user else 0)
    uid, gid = os.geteuid(), os.getegid()
    # os.unshare comes with Python 3.12; os.fork takes no flags.
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _LIBC.syscall(_CLONE[os.uname().machine], flags | signal.SIGCHLD, 0, 0, 0, 0)
    number = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"namespaces: {os.strerror(number)}")
    if pid == 0 and user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return pid


# -- the file system ------------------------------------------------------------------------------


def see_only(shown: Sequence[Path], hidden: Sequence[Path], links: dict[Path, Path]) -> None:
    """The root directory shows these paths, read-only, and nothing else of the machine.

    Args:
        hidden: directories within them that are to look empty.
        links: symbolic links to be made, and what they point at.

    Raises:
        OSError: the kernel refuses.
    """
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    # The new root is put together on top of /proc: that is there, and nothing beneath it is wanted.
    root = Path("/proc")
    _mount("okrt", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=1m")
    for path in sorted({*shown, *hidden}):
        target = _mirror(root, path)
        if path not in shown:
            _mount("okrt", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=1m")
        else:
            _mount(path, target, None, _MS_BIND | _MS_REC)
    for link, target in links.items():
        place = root / link.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    (root / SCRATCH.relative_to("/")).mkdir()
    os.chdir(root)
    # Onto itself: the old root then lies on top of the new one, and comes off.
    _check(_LIBC.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _check(_LIBC.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")
    attributes = struct.pack("=QQQQ", _ATTR_RDONLY | _ATTR_NOSUID, 0, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    _check(
        _LIBC.syscall(_MOUNT_SETATTR, -1, b"/", _AT_RECURSIVE, attributes, size), "mount_setattr"
    )
    _check(_LIBC.sethostname(b"sandbox", ctypes.c_size_t(7)), "sethostname")


def _mirror(root: Path, path: Path) -> Path:
    """Returns where `path` is to be mounted under `root`; links on the way are made there too."""
    here = Path("/")
    for part in path.parts[1:]:
        here /= part
        there = root / here.relative_to("/")
        if here.is_symlink():
            if not there.is_symlink():
                there.symlink_to(here.readlink())
            rest = path.relative_to(here)
            return _mirror(root, Path(os.path.normpath(here.parent / here.readlink() / rest)))
        if not there.exists():  # beneath what is shown already, nothing can be made
            there.mkdir() if here.is_dir() else there.touch()
    return root / path.relative_to("/")


def enter_view() -> None:
    """This process, in the pid namespace of an `Init`, sees the files that it sees."""
    before = os.stat("/").st_dev  # noqa: PTH116 - a fork pays for each page that pathlib touches
    _enter(1, _NEWNS)
    if os.stat("/").st_dev != before:  # noqa: PTH116
        raise OSError("namespaces: this process is in a chroot")


def private_scratch(uid: int, gid: int, size: int, files: int) -> None:
    """SCRATCH is a new, empty file system of limited size, seen by who sees what this process does:
    those in the pid namespace of one `Init`."""
    options = f"mode=700,uid={uid},gid={gid},size={size},nr_inodes={files}"
    _mount("okrt", SCRATCH, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str = ""
) -> None:
    def raw(text: str | Path | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    arguments = raw(source), raw(target), raw(kind), ctypes.c_ulong(flags), raw(data)
    _check(_LIBC.mount(*arguments), f"mount {target}")


# -- processes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Init:
    """The first process of a pid namespace, in a mount namespace of its own: either lives for as
    long as it does, so that a process may leave its files to the next. It only waits: a block that
    were pid 1 itself would be deaf to its own signals. It shares the zygote's memory, so that it
    costs next to none."""

    pid: int
    _stack: ctypes.Array[ctypes.c_char]


class PidNamespaces:
    """Puts the next fork of this process into a pid namespace of its own, or into an earlier one.

    This process has to be in a pid namespace over which it has power: see `fork`.
    """

    def __init__(self) -> None:
        self._home = os.pidfd_open(os.getpid())

    def open(self) -> Init:
        """The processes that are forked from now on, until `leave`, share a new namespace.

        Raises:
            OSError: the kernel refuses.
        """
        stack = ctypes.create_string_buffer(_STACK)
        top = (ctypes.addressof(stack) + _STACK) & ~0xFF
        flags = _VM | _FILES | _NEWPID | _NEWNS | signal.SIGCHLD
        wait = ctypes.cast(_LIBC.pause, ctypes.c_void_p)
        # It shall wake up for nothing: a handler of ours would run in it, in our memory.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = _LIBC.clone(wait, ctypes.c_void_p(top), flags, None)
        finally:
            number = ctypes.get_errno()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pid < 0:
            raise OSError(number, f"clone: {os.strerror(number)}")
        init = Init(pid, stack)
        self.enter(init)
        return init

    def enter(self, init: Init) -> None:
        """The processes that are forked from now on, until `leave`, are in the namespace of this
        one. Raises OSError: the kernel refuses."""
        _enter(init.pid, _NEWPID)

    def leave(self) -> None:
        _check(_LIBC.setns(self._home, _NEWPID), "setns")


def _enter(pid: int, kind: int) -> None:
    """This process, or its children, has the namespace of a process."""
    handle = os.pidfd_open(pid)
    try:
        _check(_LIBC.setns(handle, kind), "setns")
    finally:
        os.close(handle)


def _check(result: Any, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
