"""Where an export goes: nothing is overwritten, and no half of it is ever seen under its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from okrt.errors import UsageError


def check_free(target: Path, folder: bool) -> None:
    """Raises UsageError unless a new file, or a new or empty folder, can be made at the target."""
    remedy = "name another --out or remove it"
    try:
        if not folder and target.is_dir():
            raise UsageError(f"{target} is a folder: name the file to be written with --out")
        if folder and target.is_dir():
            if any(target.iterdir()):
                raise UsageError(f"{target} is not empty: {remedy}")
        elif target.exists() or target.is_symlink():
            raise UsageError(f"{target} is there already: {remedy}")
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}; name another --out") from None


@contextmanager
def beside(target: Path, folder: bool) -> Iterator[Path]:
    """Yields a path beside the target, an empty folder if it is to be one, that takes the target's
    name at the end; if none comes, it goes.

    Raises:
        UsageError: the target cannot be written, or is not free any more.
    """
    target = target.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if folder:
            part.mkdir()
        yield part
        check_free(target, folder)
        part.rename(target)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {target}: {reason}; free or name another place") from None
    finally:
        if folder:
            shutil.rmtree(part, ignore_errors=True)
        else:
            with suppress(OSError):  # it was never made
                part.unlink()
