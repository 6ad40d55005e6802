"""Where saved baselines lie: `okrt-baselines/NAME`, found by name or by path."""

from __future__ import annotations

import re
from pathlib import Path

from okrt.errors import UsageError
from okrt.store import RUN

FOLDER = "okrt-baselines"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)


def find(text: str, folder: Path, here: Path | None = None) -> Path:
    """Returns the directory of a run or a saved baseline: given by its path, or by the name under
    which one was saved in `folder/okrt-baselines`. Paths are relative to `here`, or to `folder`.

    Raises:
        UsageError: there is none, or there are two.
    """
    given = (folder if here is None else here) / text
    saved = folder / FOLDER / text if _NAME.fullmatch(text) else given
    found = [path for path in dict.fromkeys((given, saved)) if text and _is_run(path)]
    if len(found) == 2:
        raise UsageError(f"{text!r} is a directory and a saved baseline: write ./{text} or {saved}")
    if not found:
        raise UsageError(
            f"{text!r} is no run directory and no saved baseline (no {saved / RUN}); to save one: "
            f"okrt baseline save RUN {text if _NAME.fullmatch(text) else 'NAME'}"
        )
    return found[0]


def names(folder: Path) -> list[str]:
    """Returns the names of the baselines saved in `folder/okrt-baselines`, sorted."""
    kept = folder / FOLDER
    entries = kept.iterdir() if kept.is_dir() else ()
    return sorted(one.name for one in entries if _NAME.fullmatch(one.name) and one.is_dir())


def place_of(name: str, folder: Path) -> Path:
    """Returns where the baseline of a name lies, or would.

    Raises:
        UsageError: it is no name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a baseline: use letters, digits and . _ + -")
    return folder / FOLDER / name


def _is_run(path: Path) -> bool:
    try:
        return (path / RUN).is_file()
    except OSError:  # the name is too long, or may not be looked up
        return False
