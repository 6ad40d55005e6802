"""A run directory: append-only `episodes.jsonl`, `run.json`, and what is derived from them.

Every line carries its schema and is flushed before the next episode is taken up, so a crash costs
at most the line being written; that line is cut off again when the directory is next read.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import msgspec

from okrt.errors import StoreError
from okrt.types import Episode

SCHEMA = 1
EPISODES, ROWS, RUN, REPORT = "episodes.jsonl", "rows.jsonl", "run.json", "report.md"


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of `episodes.jsonl` that is no episode."""

    line: int
    kind: Literal["torn", "corrupt"]
    """`torn`: the last line, half written, now cut off. `corrupt`: any other, left as it is."""
    message: str


class _Head(msgspec.Struct):
    schema: int


class _RunFile(msgspec.Struct):
    """The types of what `run.json` holds (docs/format.md)."""

    created: str = ""
    arguments: list[str] = []
    settings: dict[str, Any] = {}
    sandbox: dict[str, Any] = {}
    versions: dict[str, str] = {}
    commit: str | None = None
    machine: dict[str, Any] = {}
    manifest: dict[str, dict[str, Any]] = {}


def encode_episode(episode: Episode) -> bytes:
    """Returns one JSON line, the newline included."""
    try:
        body = msgspec.json.encode(episode)
    except (OverflowError, UnicodeEncodeError, msgspec.MsgspecError):
        body = msgspec.json.encode(_storable(msgspec.to_builtins(episode)))
    return b'{"schema":%d,' % SCHEMA + body[1:] + b"\n"


def decode_episode(line: bytes) -> Episode:
    """Returns the episode of a line.

    Raises:
        StoreError: the line is no JSON, of an unknown schema, or no episode.
    """
    try:
        schema = msgspec.json.decode(line, type=_Head).schema
        if schema != SCHEMA:
            raise StoreError(f"schema {schema} is unknown to this version of okrt (knows {SCHEMA})")
        return msgspec.json.decode(line, type=Episode)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(str(error)) from None


def _storable(value: Any) -> Any:
    """Returns JSON data in which integers fit 64 bits and text is valid Unicode."""
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"int:{value:#x}"
    return value


class RunDirectory:
    """A run directory open for writing; a context manager."""

    def __init__(self, path: Path, episodes: BinaryIO) -> None:
        fcntl.flock(episodes, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a reader leaves a live run alone
        self.path = path
        self._episodes = episodes

    @classmethod
    def create(cls, path: Path, run: Mapping[str, Any]) -> RunDirectory:
        """Makes the directory with `run.json` in it.

        Raises:
            StoreError: it holds files already, or cannot be written.
        """
        check_new(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            directory = cls(path, (path / EPISODES).open("ab"))
            directory.write_run(run)
        except OSError as error:
            raise StoreError(_cannot_write(path, error)) from None
        return directory

    def append(self, episode: Episode) -> None:
        """Writes one episode and flushes it to the operating system.

        Raises:
            StoreError: the disk is full or the directory went away.
        """
        try:
            self._episodes.write(encode_episode(episode))
            self._episodes.flush()
        except OSError as error:
            raise StoreError(_cannot_write(self.path, error)) from None

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Replaces `run.json` in one step."""
        text = msgspec.json.format(msgspec.json.encode({"schema": SCHEMA, **run}), indent=2)
        replace_file(self.path / RUN, text + b"\n")

    def close(self) -> None:
        self._episodes.close()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_new(path: Path) -> None:
    """Raises StoreError unless a run directory can be made at the path."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"cannot write a run directory: {path} is a file; name another directory")
    if path.is_dir() and any(entry.name != "workers" for entry in path.iterdir()):
        raise StoreError(f"run directory {path} is not empty; name a new one or remove it")
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"cannot write a run directory at {path}: {parent} is not writable")


def read_run(path: Path) -> dict[str, Any]:
    """Returns `run.json`, or an empty dict where there is none.

    Raises:
        StoreError: it is no JSON object, or a field is not what it should be.
    """
    try:
        run = msgspec.json.decode((path / RUN).read_bytes(), type=dict[str, Any])
        msgspec.convert(run, _RunFile)
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path / RUN} is damaged: {error}") from None
    return run


def read_episodes(path: Path) -> Iterator[Episode | Problem]:
    """Yields the episodes of a run directory in the order of writing, and the lines that are none.

    A half-written last line is cut off the file (left in place where the file is read-only, or a
    run is still writing it).

    Raises:
        StoreError: the directory holds no `episodes.jsonl`.
    """
    file = path / EPISODES
    if not file.is_file():
        raise StoreError(f"{path} is no run directory: it has no {EPISODES}")
    offset = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield decode_episode(line)
            except StoreError as error:
                if line.endswith(b"\n"):
                    yield Problem(number, "corrupt", f"{file}:{number}: {error}")
                else:
                    yield Problem(number, "torn", _cut(file, offset, number))
            offset += len(line)


def write_rows(path: Path, rows: Iterable[bytes]) -> None:
    """Replaces `rows.jsonl` in one step. Each row is a JSON document without newline."""
    replace_file(path / ROWS, b"".join(row + b"\n" for row in rows))


def replace_file(file: Path, content: bytes) -> None:
    """Writes beside the file and moves it into place, so that a reader never sees a half of it.

    Raises:
        StoreError: the directory went away, is full or not writable.
    """
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(file)
    except OSError as error:
        raise StoreError(_cannot_write(file.parent, error)) from None


def _cut(file: Path, offset: int, number: int) -> str:
    try:
        with file.open("r+b") as episodes:
            fcntl.flock(episodes, fcntl.LOCK_EX | fcntl.LOCK_NB)
            episodes.truncate(offset)
    except OSError:  # read-only, or a run is still writing it
        return f"{file}:{number}: the last line is half written; it is left out"
    return f"{file}:{number}: the last line was half written; it was cut off"


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write the run directory {path}: {error.strerror}; free or name another place"
