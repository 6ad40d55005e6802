"""A folder of Inspect AI logs (`.eval`), one a cell: a model in a runtime on one tier.

The format is written as its own documents, so that inspect_ai need not be installed here: it asks
for other versions of packages than `datasets` does. Samples are written one by one; of each, what
its log lists and what its figures are made from waits until the end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from okrt.analysis.brief import brief
from okrt.analysis.cells import AXES
from okrt.analysis.rows import Row
from okrt.errors import StoreError, UsageError
from okrt.exports.columns import encode
from okrt.exports.inspect_header import Log, created, header, start
from okrt.exports.inspect_sample import digest, sample, summary, usage
from okrt.exports.source import Entry, Source
from okrt.index import plan_in
from okrt.plan import Planned, axis_text, size, swept
from okrt.store import EPISODES
from okrt.types import Episode

_LONGEST_NAME = 60
"""Characters of a name within a file name; a file system takes 255 bytes of the whole."""
_LONGEST_MEMBER = 60_000
"""Bytes of a sample's name in its archive; ZIP takes 65,535."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The beginning of time in a ZIP archive."""


def write(entries: Iterable[Entry], path: Path, source: Source, messages: bool) -> None:
    """Writes the logs into the folder, under the names that Inspect gives.

    Raises:
        UsageError: an episode is there twice, or the name of its task is too long.
        StoreError: what the run must hold cannot be read.
        OSError: the disk is full.
    """
    plan = plan_in(source.run) or ()
    began = created(source.run, (source.path / EPISODES).stat().st_mtime)
    run_id = digest(source.name, began.isoformat())
    texts: dict[str, str] = {}
    logs: dict[tuple[object, ...], _Archive] = {}
    with ExitStack() as stack:
        for row, episode in entries:
            if episode is None:
                raise StoreError(f"{source.path} has no {EPISODES}: a log needs transcripts")
            cell = (row.family, row.tier, row.model, row.contract)
            key = (*cell, *(getattr(row, axis) for axis in AXES))
            if key not in logs:
                planned = size(tuple(one for one in plan if _of_cell(one, row)))
                log = Log(episode, source.run, run_id, began, planned)
                new = _Archive(path / f"{len(logs)}.part", log)
                logs[key] = stack.enter_context(new)
            logs[key].log.briefs.append(brief(row, texts))
            logs[key].add(row, episode, messages)
        for archive in logs.values():
            archive.finish()
    for archive in logs.values():
        archive.path.rename(path / f"{_name(archive.log, swept(plan))}.eval")


class _Archive:
    """A log being written; a context manager."""

    def __init__(self, path: Path, log: Log) -> None:
        self.path = path
        self.log = log
        self._stack = ExitStack()
        self._zip = self._stack.enter_context(ZipFile(path, "w", ZIP_DEFLATED))
        listed = TemporaryFile(dir=path.parent)  # noqa: SIM115  the stack closes it
        self._listed = self._stack.enter_context(listed)
        self._names: set[str] = set()

    def add(self, row: Row, episode: Episode, messages: bool) -> None:
        """Takes up an episode. Raises: see `write`."""
        made = sample(row, episode, self.log.run_id, self.log.created.isoformat(), messages)
        name = f"samples/{made['id']}_epoch_{made['epoch']}.json"
        if len(name.encode()) > _LONGEST_MEMBER:
            raise UsageError(f"task {row.task_id[:60]}...: its id is too long for a log")
        if name in self._names:
            raise UsageError(
                f"the run holds task {row.task_id} twice for {row.model} in {row.contract}, "
                f"repeat {row.repeat}: a log has room for one"
            )
        self._names.add(name)
        self._put(name, encode(made))
        self._listed.write(b"," * (len(self._names) > 1) + encode(summary(made)))
        if episode.trajectory is not None and (used := usage(episode.trajectory.usage)):
            self.log.used.update(used)
            self.log.measured += 1

    def finish(self) -> None:
        """Writes what stands beside the samples."""
        self._put("_journal/start.json", encode(start(self.log)))
        self._listed.seek(0)
        with self._zip.open(self._member("summaries.json"), "w") as listed:
            listed.write(b"[")
            while part := self._listed.read(2**20):
                listed.write(part)
            listed.write(b"]")
        self._put("header.json", encode(header(self.log)))

    def _put(self, name: str, content: bytes) -> None:
        self._zip.writestr(self._member(name), content)

    def _member(self, name: str) -> ZipInfo:
        """Of the time when the run began, so that one run is always the same bytes."""
        when = self.log.created.astimezone(UTC).timetuple()
        found = ZipInfo(name, max(when[:6], _EARLIEST))
        found.compress_type = ZIP_DEFLATED
        return found

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _of_cell(planned: Planned, row: Row) -> bool:
    same = ("family", "tier", "split", "model", "contract", "cue", "names")
    capped = planned.tool_cap in (0, row.tool_cap)
    return capped and all(getattr(planned, name) == getattr(row, name) for name in same)


def _name(log: Log, crossed: Collection[str]) -> str:
    """As Inspect names logs, `TIME_TASK_ID`, with the model, the runtime and what the run crossed
    in the task's place."""
    first = log.first
    parts = [first.task.family, first.task.tier, first.model.label, first.contract]
    parts += [axis_text(axis, getattr(first.settings, axis)) for axis in crossed]
    task = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part)[:_LONGEST_NAME] for part in parts)
    return f"{_stamp(log.created)}_{task}_{log.eval_id}"


def _stamp(when: datetime) -> str:
    return when.isoformat(timespec="seconds").replace(":", "-").replace("_", "-")
