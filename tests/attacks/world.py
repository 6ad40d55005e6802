"""What an attack must leave as it was: the test's own process, its children, and files outside.

Pids of processes are looked up in `/proc` of the host, so a process that a block starts is seen in
whatever namespace, group or session it hides, as long as it descends from the test's process.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SETTLE_S = 30.0
"""How long the sandbox may take to bury what it has killed, ten thousands of files included."""
SPOTS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run")
"""Directories that anybody may write to on most machines."""
MARK = "okrt-attack-"
"""What attacks call that which they try to leave behind."""


def descendants(root: int) -> frozenset[int]:
    """Returns the pids of all processes below one, itself left out."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return frozenset(found)


def _stat(pid: int) -> list[str]:
    """Returns the fields of `/proc/PID/stat` from the state on, or none for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def standing(pid: int) -> tuple[Any, ...]:
    """Returns what another process could change of a process: whether it lives, is stopped or
    traced, its priority, its processors, its limits."""
    fields = _stat(pid)
    if not fields:
        return ("gone",)
    halted = fields[0] if fields[0] in "TtZX" else "runs"
    try:
        limits = Path(f"/proc/{pid}/limits").read_text()
        return (halted, os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid), limits)
    except (FileNotFoundError, ProcessLookupError):
        return ("gone",)


def picture(root: Path) -> dict[str, tuple[Any, ...]]:
    """Returns everything that can be changed of the files below a directory, by path."""
    return {str(path): _look(path) for path in [root, *_below(root)]}


def _below(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _look(path: Path) -> tuple[Any, ...]:
    seen = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(seen.st_mode) else b""
    names = os.listxattr(path, follow_symlinks=False)
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    facts = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_nlink, seen.st_mtime_ns, seen.st_ino)
    return (*facts, content, attributes)


def litter() -> list[str]:
    """Returns what attacks have left in directories that anybody may write to."""
    return [
        str(path) for spot in SPOTS if Path(spot).is_dir() for path in Path(spot).glob(f"{MARK}*")
    ]


def steady(look: Callable[[], object]) -> object:
    """Returns what `look` sees twice in a row: what was about to end has ended."""
    deadline = time.monotonic() + SETTLE_S
    seen = look()
    while time.monotonic() < deadline:
        time.sleep(0.01)
        before, seen = seen, look()
        if before == seen:
            break
    return seen


def settled(look: Callable[[], object], expected: object) -> object:
    """Returns what `look` sees once it is as expected, or what it still sees after SETTLE_S."""
    deadline = time.monotonic() + SETTLE_S
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.005)
    return seen
