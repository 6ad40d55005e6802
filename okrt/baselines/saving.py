"""Saving a run as a baseline that later runs are compared with.

Saved are `run.json` without its manifest, `rows.jsonl` and `report.md`, some 1.5 KB an episode, so
that it can be committed; the episodes too where that is asked for. Saving the same run twice makes
the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from okrt.analysis.rows import Row, encode
from okrt.baselines.held import (
    SAVED,
    Held,
    Progress,
    RowsDigest,
    file_digest,
    key_of_row,
    lacking,
    read,
    read_head,
    rows_of,
)
from okrt.baselines.saved import place_of
from okrt.errors import StoreError, UsageError
from okrt.plan import Key
from okrt.report.directory import Derivation
from okrt.store import EPISODES, Problem, decode_episode, lines, write_run

_EVERY = 256


def save(
    run: Path,
    name: str,
    folder: Path,
    *,
    transcripts: bool = False,
    replace: bool = False,
    allow_incomplete: bool = False,
    progress: Progress = lambda text: None,
) -> Held:
    """Saves what a run holds as `folder/okrt-baselines/NAME`, all of it or nothing; returns it.

    Raises:
        UsageError: the name is none, or taken; the run is incomplete, or has nothing to be saved.
        StoreError: the run cannot be read, or the baseline not be written.
    """
    place = place_of(name, folder)
    if place.exists() and not replace:
        raise UsageError(f"{place} is there already: give --replace or another name")
    if transcripts and not (run / EPISODES).is_file():
        raise UsageError(f"{run} has no transcripts: it has no {EPISODES}")
    head = read_head(run)
    beside = place.with_name(f".{name}.{os.getpid()}.part")
    try:
        beside.mkdir(parents=True)
        if transcripts:
            _copy_episodes(run, beside)
        _write(run, head, beside, allow_incomplete, progress)
        _put(beside, place, replace)
    except OSError as error:
        raise StoreError(f"cannot write {place}: {error.strerror}; name another --in") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # it holds something
            place.parent.rmdir()
    return read(place)


def _write(
    run: Path, head: dict[str, Any], beside: Path, allow_incomplete: bool, progress: Progress
) -> None:
    taken = _Taken(run, head, progress)
    with Derivation(beside) as derivation:
        for one in taken.rows():
            derivation.add(one)
        if not taken.count:
            raise UsageError(f"{run} holds no episode: there is nothing to save")
        lack = taken.damaged or lacking(head, taken.finished)
        if lack and not allow_incomplete:
            raise UsageError(
                f"{run} is incomplete: {lack}; go on in it (--okrt-resume {run}), or give "
                "--allow-incomplete"
            )
        kept = {name: value for name, value in head.items() if name not in ("schema", SAVED)}
        kept["complete"] = not lack
        derivation.write(kept)
    saved = {"digest": taken.digest.hexdigest(), "rows": taken.count}
    if (beside / EPISODES).is_file():
        saved["episodes"] = file_digest(beside / EPISODES)
    write_run(beside, {**kept, SAVED: saved})


class _Taken:
    """The rows of a run as they are taken up, and what was seen of them."""

    def __init__(self, run: Path, head: dict[str, Any], progress: Progress) -> None:
        self.run, self.head, self.progress = run, head, progress
        self.digest = RowsDigest()
        self.finished: set[Key] = set()
        self.damaged = ""
        self.count = 0

    def rows(self) -> Iterator[Row]:
        for one in rows_of(self.run):
            if isinstance(one, Problem):
                self.damaged = self.damaged or one.message
                continue
            self.digest.add(encode(one))
            self.count += 1
            if one.failure is None:
                self.finished.add(key_of_row(one, self.head))
            if self.count % _EVERY == 0:
                self.progress(f"{self.count:,} episodes saved")
            yield one


def _copy_episodes(run: Path, beside: Path) -> None:
    """Lines that are no episode are left out; that there were some was said."""
    with (beside / EPISODES).open("wb") as file:
        for line in lines(run):
            with suppress(StoreError):
                decode_episode(line.content)
                file.write(line.content.removesuffix(b"\n") + b"\n")


def _put(beside: Path, place: Path, replace: bool) -> None:
    """Moves a new baseline into place. A kill between the two moves leaves the old one beside."""
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    try:
        if replace and place.exists():
            place.rename(old)
        beside.rename(place)  # never onto one that another process has saved meanwhile
    except BaseException:  # Ctrl-C, too
        if old.exists() and not place.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
