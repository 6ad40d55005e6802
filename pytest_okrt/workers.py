"""What the workers of pytest-xdist leave beside the run for their controller to read.

A worker that dies takes its unsent reports with it, so each writes down what it collected and which
episode it is running; the controller reads that when it must.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from okrt.store import replace_file

RECORD = "okrt_episode"
"""The name of the report property that carries a record to the controller."""
NOT_RUN = "okrt_not_run"
"""The name of the one that says that the time of the cell was over."""
FOLDER = "workers"
Manifest = dict[str, dict[str, Any]]


def write_manifest(run: Path, worker: str, manifest: Manifest) -> None:
    """Writes the cases a worker collected, by node id."""
    (run / FOLDER).mkdir(parents=True, exist_ok=True)
    replace_file(run / FOLDER / f"{worker}.json", msgspec.json.encode(manifest))


def read_manifest(run: Path, worker: str) -> Manifest | None:
    """Returns what a worker collected, or None if it collected no case."""
    try:
        content = (run / FOLDER / f"{worker}.json").read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Manifest)


def write_current(run: Path, worker: str, line: bytes) -> None:
    """Writes the record that stands for a worker's episode should the worker die."""
    (run / FOLDER / f"{worker}.current").write_bytes(line)


def read_current(run: Path, worker: str) -> bytes | None:
    """Returns the record of the episode a dead worker was running, if any."""
    try:
        return (run / FOLDER / f"{worker}.current").read_bytes()
    except FileNotFoundError:
        return None


def remove(run: Path) -> None:
    """Removes what the workers left."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Returns one line that says where two manifests differ."""
    odd = sorted(set(first) ^ set(second)) or sorted(k for k in first if first[k] != second[k])
    return f"{len(odd)} cases differ, the first is {odd[0]}"
