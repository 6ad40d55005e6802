"""A file of lines to which one process at a time appends, and of which a kill takes no whole line.

The lock is on the file itself, and on what replaces it before it does; whoever gets the lock of a
file that was replaced meanwhile opens the new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from time import sleep

from okrt.errors import StoreError

_TRIES, _PAUSE_S = 6, 0.05
"""A reader that cuts a line off holds the lock for a moment, and so does a process that a dead
writer was just starting."""
_CHUNK = 1 << 20

Span = tuple[int, int]
"""First byte, and the one behind the last."""


class Journal:
    """The file, open for appending and locked until it is closed."""

    def __init__(self, file: Path) -> None:
        """Opens the file, made if it is not there.

        Raises:
            StoreError: another process has it open.
            OSError: it cannot be opened.
        """
        self.file = file
        self._handle = _locked(file)
        self._end = self._handle.seek(0, os.SEEK_END)
        self._torn = False

    def append(self, line: bytes) -> None:
        """Writes a line to the operating system: all of it or nothing.

        Raises:
            OSError: the disk is full, or the file went away.
        """
        if self._torn:  # what was to be cut off could not be
            self._cut_back()
        self._torn = True
        try:
            _write(self._handle, line)
        except BaseException:
            with suppress(OSError):
                self._cut_back()
            raise
        self._end += len(line)
        self._torn = False

    def cut(self, end: int) -> None:
        """Cuts off what lies behind `end`. Raises OSError."""
        if end < self._end:
            self._end = end
            self._cut_back()

    def drop(self, spans: Sequence[Span]) -> None:
        """Takes the spans out, which are sorted: by another file that is moved into place when it
        is whole and on the disk.

        Raises:
            OSError: the disk is full, or the file went away; the file is as it was.
        """
        beside = self.file.with_name(f".{self.file.name}.part")
        beside.unlink(missing_ok=True)
        new = _locked(beside)
        try:
            start = 0
            for first, behind in (*spans, (self._end, self._end)):
                _copy(self._handle, new, start, first)
                start = behind
            os.fsync(new.fileno())
            beside.replace(self.file)
        except BaseException:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            new.close()
            raise
        old, self._handle = self._handle, new
        self._end = new.tell()
        old.close()

    def close(self) -> None:
        """Raises OSError: what was written did not arrive."""
        self._handle.close()

    def _cut_back(self) -> None:
        self._handle.truncate(self._end)
        self._torn = False


def is_written(file: Path) -> bool:
    """Whether a process has the file open as a journal."""
    try:
        handle = file.open("rb+", buffering=0)
    except OSError:
        return False
    with handle:
        return not _try_lock(handle)


def cut_line(file: Path, offset: int, line: bytes) -> bool:
    """Cuts the last line off, if nobody writes the file and that is still what it ends in.

    Returns:
        Whether it was cut off.
    """
    try:
        with file.open("rb+", buffering=0) as handle:
            if not _try_lock(handle):
                return False
            handle.seek(offset)
            if handle.read() != line:
                return False
            handle.truncate(offset)
    except OSError:  # read-only
        return False
    return True


def _locked(file: Path) -> FileIO:
    for left in reversed(range(_TRIES)):
        handle = FileIO(file, "ab+")
        try:
            if _try_lock(handle) and _is_at(handle, file):
                return handle
        except BaseException:
            handle.close()
            raise
        handle.close()
        if left:
            sleep(_PAUSE_S)
    raise StoreError(f"another process is writing {file.parent}; wait for it or name another place")


def _try_lock(handle: FileIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle: FileIO, file: Path) -> bool:
    """Whether the file has not been replaced since it was opened."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), file.stat())
    except FileNotFoundError:
        return False


def _write(handle: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:  # a full disk takes a part, then nothing
        view = view[handle.write(view) :]


def _copy(old: FileIO, new: FileIO, first: int, behind: int) -> None:
    while first < behind:
        chunk = os.pread(old.fileno(), min(_CHUNK, behind - first), first)
        if not chunk:
            raise OSError(f"{behind - first} bytes are missing")
        _write(new, chunk)
        first += len(chunk)
