"""Ending a process and all that it started, whatever sessions or groups these have moved to."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2), Linux 3.4."""
_ROUNDS = 50
"""A process that forks while it is looked for is found in a later round."""


def adopt_orphans() -> None:
    """From now on a descendant whose parent ends becomes a child of this process (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Returns the living processes below `pid`; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            # The second field is the program's name in parentheses and may hold anything.
            state, parent = (
                (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            )
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(folder.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill(pids: Iterable[int]) -> None:
    """Kills processes; those that are gone, or another user's, are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_descendants(pid: int) -> None:
    """Kills what is below `pid`, and what is started meanwhile."""
    for _ in range(_ROUNDS):
        found = descendants(pid)
        if not found:
            return
        kill(found)


def memory_bytes() -> int | None:
    """Returns what this process holds in memory; None where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
