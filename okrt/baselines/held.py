"""What a run directory or a saved baseline holds, read for a comparison.

Where the episodes are there, rows are derived from them anew; a baseline that was saved without
them has its rows alone, and a digest by which they are seen to be those that were saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from okrt.analysis.brief import Brief, brief
from okrt.analysis.reading import read_rows
from okrt.analysis.rows import Row, encode, row
from okrt.errors import StoreError
from okrt.index import missing_shards, plan_in, shards_in
from okrt.plan import Key, axis_text, keys_of, size, swept
from okrt.store import (
    EPISODES,
    RUN,
    Problem,
    check_run,
    read_episodes,
    read_row_lines,
    read_run,
)
from okrt.types import Settings

Progress = Callable[[str], None]
"""Is told now and then what has been done."""
SAVED = "baseline"
"""The field of `run.json` that a saved baseline has beyond a run's."""
_EVERY = 256


@dataclass(frozen=True, slots=True)
class Held:
    """A run or a saved baseline."""

    path: Path
    run: Mapping[str, Any]
    """Its `run.json`, the manifest left out; `plan` is there also where the file has none."""
    rows: tuple[Brief, ...]
    """Sorted by episode."""
    digest: str
    """Of the rows: see `RowsDigest`."""
    transcripts: bool
    """Whether the episodes are there, so that they can be shown."""
    problems: tuple[str, ...]
    """Lines of `episodes.jsonl` that are no episode; what they held is missing."""


class RowsDigest:
    """SHA-256 of rows without their timing, in whatever order they come and on any machine."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Takes up a row, a JSON document."""
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        fields.pop("timing", None)
        one = hashlib.sha256()
        for name in sorted(fields):
            one.update(b"%b:%b\n" % (name.encode(), bytes(fields[name])))
        self._rows.append(one.digest())

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(sorted(self._rows))).hexdigest()


def read(path: Path, progress: Progress = lambda text: None) -> Held:
    """Returns what a run directory or a saved baseline holds.

    Raises:
        StoreError: it is neither, or of an unknown schema; or the rows of a saved baseline are not
            those that were saved.
    """
    run = read_head(path)
    digest, texts, problems = RowsDigest(), dict[str, str](), list[str]()
    rows = []
    for one in rows_of(path):
        if isinstance(one, Problem):
            problems.append(one.message)
            continue
        digest.add(encode(one))
        rows.append(brief(one, texts))
        if len(rows) % _EVERY == 0:
            progress(f"{len(rows):,} episodes of {path} read")
    rows.sort(key=lambda one: one.episode_id)
    if (path / EPISODES).is_file():
        _check_episodes(path, run)
        return Held(path, run, tuple(rows), digest.hexdigest(), True, tuple(problems))
    return Held(path, run, tuple(rows), _saved_digest(path, run), False, ())


def read_head(path: Path) -> dict[str, Any]:
    """Returns the `run.json` of a run directory or a saved baseline, the manifest left out.

    Raises:
        StoreError: there is none, it is damaged, or of an unknown schema.
    """
    if not (path / RUN).is_file():
        raise StoreError(f"{path} is no run directory: it has no {RUN}")
    run = read_run(path, manifest=False)
    check_run(path, run)
    try:
        if "plan" not in run and (plan := plan_in(read_run(path))) is not None:
            run["plan"] = msgspec.to_builtins(plan)
        plan_in(run)
        shards_in(run)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None
    return run


def settings_of(run: Mapping[str, Any]) -> Settings:
    """Returns the settings of a `run.json`; those that came later stand at their defaults.

    Raises:
        StoreError: they are none.
    """
    try:
        return msgspec.convert(run.get("settings") or {}, Settings)
    except msgspec.ValidationError as error:
        raise StoreError(f"run.json is damaged: settings: {error}") from None


def rows_of(path: Path) -> Iterator[Row | Problem]:
    """Yields the rows of a run directory or a saved baseline, and the lines that are none.

    Raises:
        StoreError: it has neither episodes nor rows, or a row of a baseline cannot be read.
    """
    if not (path / EPISODES).is_file():
        yield from read_rows(read_row_lines(path))
        return
    for found in read_episodes(path):
        yield found if isinstance(found, Problem) else row(found)


def several(run: Mapping[str, Any]) -> list[str]:
    """Returns a line for each setting of which a run is to hold several values.

    Raises:
        StoreError: its plan is none.
    """
    plan = plan_in(run) or ()
    lines = []
    for axis in swept(plan):
        values = sorted({getattr(one, axis) for one in plan})
        lines.append(f"several values of {axis} ({_named(axis, values)})")
    return lines


def _named(axis: str, values: Iterable[Any]) -> str:
    return ", ".join(axis_text(axis, value) for value in values)


def key_of_row(one: Row, run: Mapping[str, Any]) -> Key:
    """Returns the coordinates of a row's episode. Whether its cap was asked for is known from
    `run`, the `run.json`: the row says what it was, whoever set it."""
    asked = (run.get("settings") or {}).get("tool_cap") is not None
    return Key(
        one.family, one.tier, one.split, one.model, one.contract, one.repeat, one.seed,
        one.tool_cap if asked else 0, one.cue, one.names,
    )  # fmt: skip


def lacking(run: Mapping[str, Any], finished: set[Key]) -> str:
    """Returns what a run lacks of what it must hold, in words, or nothing. `finished` are the
    episodes that no infrastructure broke off."""
    plan = plan_in(run)
    if plan is None:
        return "its run.json does not say what it must hold"
    if missing := missing_shards(shards_in(run)):
        return f"shards are missing: {', '.join(missing)}"
    there = sum(key in finished for key in keys_of(plan))
    return "" if there == size(plan) else f"{there} of {size(plan)} episodes are there"


def file_digest(file: Path) -> str:
    """Returns the SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_episodes(path: Path, run: Mapping[str, Any]) -> None:
    """Of a baseline with transcripts; those of earlier versions state no digest of them."""
    saved = run.get(SAVED)
    wanted = saved.get("episodes") if isinstance(saved, Mapping) else None
    if wanted is not None and wanted != file_digest(path / EPISODES):
        raise StoreError(
            f"{path}: the episodes are not those that were saved; restore its files or save it anew"
        )


def _saved_digest(path: Path, run: Mapping[str, Any]) -> str:
    """Of the lines as they stand: a later version may derive more of a row than was saved."""
    saved = run.get(SAVED)
    if not isinstance(saved, Mapping):
        raise StoreError(f"{path} has no {EPISODES} and is no saved baseline")
    digest = RowsDigest()
    for _, line in read_row_lines(path):
        digest.add(line)
    found = digest.hexdigest()
    if saved.get("digest") != found:
        raise StoreError(
            f"{path}: the rows are not those that were saved (digest {found[:12]}, saved "
            f"{str(saved.get('digest'))[:12]}); restore its files or save it anew"
        )
    return found
