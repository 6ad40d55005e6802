"""An interpreter that any user can run: what T0 needs where the tests are run by root."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from okrt.runtimes import process

LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "test", "tests", "idlelib", "lib2to3", "tkinter", "ensurepip", "config-*"
)


def open_to_all(path: Path) -> bool:
    """Whether every user may enter the directories that lead to a file."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)  # a thousand files: worth it
    except OSError:
        shutil.copy(source, target)


def copy_interpreter(home: Path) -> Path:
    """Returns a copy of this interpreter, without packages, in a directory that all can enter."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home.chmod(0o755)
    (home / "bin").mkdir()
    python = Path(shutil.copy(Path(sys.executable).resolve(), home / "bin" / version))
    library = Path(os.__file__).parent
    shutil.copytree(library, home / "lib" / version, ignore=LEFT_OUT, copy_function=_link)
    return python


@contextlib.contextmanager
def open_interpreter() -> Iterator[None]:
    """Blocks run in this interpreter or, where its home is closed to others, in a copy of it."""
    used = process.PYTHON
    if os.geteuid() != 0 or open_to_all(Path(used)):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="python-", dir="/tmp") as name:
        process.PYTHON = str(copy_interpreter(Path(name)))
        try:
            yield
        finally:
            process.PYTHON = used
