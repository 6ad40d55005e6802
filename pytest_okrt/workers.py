"""What the workers of pytest-xdist and their controller leave beside the run for one another.

A worker that dies takes its unsent reports with it, so each writes down what it collected and which
episode it is running; the controller reads that when it must. The controller writes down that the
session is over, as far as new episodes go.

Each session has a folder of its own for it: one that is killed leaves its own behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from okrt.errors import StoreError
from okrt.store import replace_file

RECORD = "okrt_episode"
"""The name of the report property that carries a record to the controller."""
NOT_RUN = "okrt_not_run"
"""The name of the one that says that there was no time for a case, or there were no tokens."""
FOLDER = "workers"
_OVER = "over"


class Collected(NamedTuple):
    """What a process collected."""

    cases: dict[str, dict[str, Any]]
    """Their coordinates, by node id."""
    sources: dict[str, str]
    """Of their families, as `run.json` has them."""


def write_collected(folder: Path, worker: str, collected: Collected) -> None:
    """Writes what a worker collected. Raises StoreError: it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    replace_file(folder / f"{worker}.json", msgspec.json.encode(collected))


def read_collected(folder: Path, worker: str) -> Collected | None:
    """Returns what a worker collected, or None if it collected no case."""
    try:
        content = (folder / f"{worker}.json").read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Collected)


def write_current(folder: Path, worker: str, line: bytes) -> None:
    """Writes the record that stands for a worker's episode should the worker die. Raises
    StoreError: it cannot."""
    try:
        (folder / f"{worker}.current").write_bytes(line)
    except OSError as error:
        raise _cannot_write(folder, error) from None


def _cannot_write(folder: Path, error: OSError) -> StoreError:
    run = folder.parent.parent
    return StoreError(f"cannot write a run directory at {run}: {error.strerror}")


def read_current(folder: Path, worker: str) -> bytes | None:
    """Returns the record of the episode a dead worker was running, if any."""
    try:
        return (folder / f"{worker}.current").read_bytes()
    except FileNotFoundError:
        return None


def write_over(folder: Path, why: str) -> None:
    """Tells the workers that the session is over."""
    replace_file(folder / _OVER, why.encode())


def read_over(folder: Path) -> str:
    """Returns why the session is over, or nothing."""
    try:
        return (folder / _OVER).read_text()
    except FileNotFoundError:
        return ""


def remove(folder: Path) -> None:
    """Removes what a session left, and the folder of all sessions with the last of them."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another session's are still there
        folder.parent.rmdir()


def remove_others(folder: Path) -> None:
    """Removes what killed sessions left; for the one that alone may write the run."""
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    with suppress(OSError):  # it is not there, or this session's is in it
        folder.parent.rmdir()


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Returns one line that says where two manifests differ."""
    odd = sorted(set(first) ^ set(second)) or sorted(k for k in first if first[k] != second[k])
    return f"{len(odd)} cases differ, the first is {odd[0]}"
