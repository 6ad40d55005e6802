"""Where tables and cards come from and go to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from okrt.errors import UsageError
from okrt.store import check_run, read_run


def check_run_of(path: Path) -> dict[str, Any]:
    """Returns the `run.json` of a run, its manifest included.

    Raises:
        okrt.errors.StoreError: it is damaged, or of an unknown schema.
    """
    run = read_run(path)
    check_run(path, run)
    return run


def write(text: str, file: Path | None) -> None:
    """Writes the text to a file, or to standard output.

    Raises:
        okrt.errors.UsageError: the file cannot be written.
    """
    if file is None:
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; name another place") from None
    sys.stderr.write(f"okrt: wrote {file}\n")
