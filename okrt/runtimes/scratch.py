"""Removes scratch directories, whatever a block put into them.

The zygote loads this file by path: standard library only, no import of okrt.
"""

from __future__ import annotations

import contextlib
import os
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
                if entry.is_symlink() or not entry.is_dir():
                    entry.unlink()
                else:
                    entry.chmod(0o700)  # moving a directory writes to its ".."
                    target = entry.rename(root / f"{lifted}-{len(seen)}")
                    waiting.append(target)
                    seen.append(target)
    for directory in reversed(seen):
        with contextlib.suppress(OSError):
            directory.rmdir()


def _entries(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        directory.chmod(0o700)
        return list(directory.iterdir())
    return []
