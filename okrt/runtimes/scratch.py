"""Measures and removes scratch directories, whatever a block put into them.

Runs in the sandbox: standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path


def remove_tree(root: Path) -> None:
    """The directory is gone, however deep or locked; what the system refuses to remove stays.

    Directories are lifted to the top before they are emptied: `shutil.rmtree` recurses and holds a
    descriptor per level, which a block that nests a thousand directories would break.
    """
    if root.is_symlink() or not root.is_dir():
        return
    lifted = os.urandom(8).hex()
    waiting, seen = [root], [root]
    while waiting:
        for entry in _entries(waiting.pop()):
            with contextlib.suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    Path(entry).unlink()
                elif not _removed_empty(Path(entry)):
                    Path(entry).chmod(0o700)  # moving a directory writes to its ".."
                    target = Path(entry).rename(root / f"{lifted}-{len(seen)}")
                    waiting.append(target)
                    seen.append(target)
    for directory in reversed(seen):
        with contextlib.suppress(OSError):
            directory.rmdir()


def _removed_empty(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return False
    return True


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError):
        directory.chmod(0o700)
        with os.scandir(directory) as entries:
            return list(entries)
    return []


def reopen(directory: Path) -> None:
    """The directory is there and its owner may use it, whatever a block without walls made of it:
    on the tiers with walls, it can make nothing of it."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink(missing_ok=True)
        directory.mkdir()
    directory.chmod(0o700)


def exceeds(directory: Path, pid: int, size: int, files: int) -> bool:
    """Whether a process has more files, or longer ones in total, than it may.

    Counted are those in its directory, and those that it has removed but holds open; not those that
    it has removed and closed but still maps. A directory that hides its files counts as full.
    """
    with contextlib.suppress(OSError):
        # Directories are links to their parent: a sign that waits for no block that makes them.
        if directory.stat().st_nlink > files + 2:
            return True
    taken = found = 0
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    taken += status.st_blocks * 512
                    found += 1
                    if taken > size or found > files:
                        return True
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(Path(entry.path))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG or _hides(error, here):
                return True  # out of our sight, and meant to be
    return taken + _removed(pid) > size


def _hides(error: OSError, directory: Path) -> bool:
    """Whether a directory cannot be looked into although files can be made in it. Nobody can change
    its mode; one in which none can be made is empty, or as it was made by us."""
    if error.errno != errno.EACCES:
        return False
    with contextlib.suppress(OSError):
        return directory.stat().st_mode & 0o700 == 0o300
    return False


def _removed(pid: int) -> int:
    taken = 0
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                status = descriptor.stat()
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                    taken += status.st_blocks * 512
    return taken
