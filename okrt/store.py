"""A run directory: append-only `episodes.jsonl`, `run.json`, and what is derived from them.

Every line carries its schema and is with the operating system before the next episode is taken up,
so a crash costs at most the line being written; that line is cut off again when the directory is
next read or written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from okrt.errors import StoreError
from okrt.journal import Journal, Span, cut_line, is_written
from okrt.types import Episode, Failure

SCHEMA = 1
EPISODES, ROWS, RUN, REPORT = "episodes.jsonl", "rows.jsonl", "run.json", "report.md"
GATES = "gates.json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of `episodes.jsonl` that is no episode."""

    line: int
    kind: Literal["torn", "corrupt"]
    """`torn`: the last line, half written, now cut off. `corrupt`: any other, left as it is."""
    message: str


class Line(NamedTuple):
    """A line of `episodes.jsonl`."""

    number: int
    offset: int
    content: bytes
    """The newline included, where there is one."""


class Head(msgspec.Struct):
    """What every line holds; of a larger one, the rest is passed over."""

    schema: int


class _Record(Head):
    id: str
    failure: Failure | None = None


H = TypeVar("H", bound=Head)
_BUFFER = 1 << 20
"""Bytes; with Python's own 8 KiB, lines of 20 KB take twice the time to find."""
_HEAD = msgspec.json.Decoder(Head)
_RECORD = msgspec.json.Decoder(_Record)
_EPISODE = msgspec.json.Decoder(Episode)


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
    plan: list[dict[str, Any]] = []
    models: dict[str, dict[str, Any]] = {}
    sessions: list[dict[str, Any]] = []
    shard: str | None = None
    shards: list[str] = []
    salt: str | None = None
    sources: dict[str, str] = {}


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
        _check_schema(_HEAD.decode(line).schema)
        return _EPISODE.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(str(error)) from None


def decode_head(line: bytes, decoder: msgspec.json.Decoder[H]) -> H:
    """Returns a part of a line's episode, faster than the whole.

    Raises:
        StoreError: as `decode_episode`, but for what is wrong with the rest of the episode.
    """
    try:
        head = decoder.decode(line)
        if not line.isascii():
            line.decode()  # the decoder does not look into text that it passes over
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        with suppress(msgspec.MsgspecError, RecursionError):
            _check_schema(_HEAD.decode(line).schema)
        raise StoreError(str(error)) from None
    _check_schema(head.schema)
    return head


def _check_schema(schema: int) -> None:
    if schema != SCHEMA:
        raise StoreError(f"schema {schema} is unknown to this version of okrt (knows {SCHEMA})")


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
    """A run directory open for writing, by this process alone; a context manager."""

    def __init__(self, path: Path, episodes: Journal) -> None:
        self.path = path
        self._episodes = episodes

    @classmethod
    def create(cls, path: Path, run: Mapping[str, Any]) -> RunDirectory:
        """Makes the directory with `run.json` in it.

        Raises:
            StoreError: it holds files already, cannot be written, or another process writes it.
        """
        check_new(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                directory = stack.enter_context(cls(path, Journal(path / EPISODES)))
                _check_empty(path)  # another process may have been faster
                directory.write_run(run)
                stack.pop_all()
        except OSError as error:
            raise StoreError(_cannot_write(path, error)) from None
        return directory

    @classmethod
    def resume(cls, path: Path) -> RunDirectory:
        """Opens the directory of an earlier run to go on in it.

        A half-written last line is cut off. Records of infrastructure failures are taken out: they
        are to be tried again.

        Raises:
            StoreError: it is no run directory, is of an unknown schema, or has a line that is no
                episode (nothing is changed); it cannot be written; another process writes it.
        """
        if not (path / RUN).is_file() and not (path / EPISODES).is_file():
            raise StoreError(f"{path} is no run directory: it has no {RUN}")
        check_run(path, read_run(path))
        try:
            with ExitStack() as stack:
                directory = stack.enter_context(cls(path, Journal(path / EPISODES)))
                directory._mend()
                stack.pop_all()
        except OSError as error:
            raise StoreError(_cannot_write(path, error)) from None
        return directory

    def append(self, episode: Episode) -> None:
        """Writes one episode to the operating system, all of it or nothing.

        Raises:
            StoreError: the disk is full or the directory went away.
        """
        try:
            self._episodes.append(encode_episode(episode))
        except OSError as error:
            raise StoreError(
                f"cannot write the run directory {self.path}: {error.strerror}; it ends in its "
                "last whole episode: free space and go on in it"
            ) from None

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Replaces `run.json` in one step. Raises StoreError."""
        write_run(self.path, run)

    def close(self) -> None:
        """Raises StoreError: what was written did not arrive, which some file systems tell last."""
        try:
            self._episodes.close()
        except OSError as error:
            raise StoreError(_cannot_write(self.path, error)) from None

    def _mend(self) -> None:
        failed: list[Span] = []
        end, last = 0, b"\n"
        for line in lines(self.path):
            if _is_torn(line.content):
                break
            try:
                record = decode_head(line.content, _RECORD)
            except StoreError as error:
                raise StoreError(
                    f"{_where(self.path, line)}: {error}; nothing was changed: take the line out "
                    "or name another run"
                ) from None
            end, last = line.offset + len(line.content), line.content[-1:]
            if record.failure is not None:
                failed.append((line.offset, end))
        self._episodes.cut(end)
        if last != b"\n":
            self._episodes.append(b"\n")
            if failed and failed[-1][1] == end:
                failed[-1] = (failed[-1][0], end + 1)
        if failed:
            self._episodes.drop(failed)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(StoreError):  # what ended it is told
                self.close()


def check_new(path: Path) -> None:
    """Raises StoreError unless a run directory can be made at the path."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"cannot write a run directory: {path} is a file; name another directory")
    if is_written(path / EPISODES):
        raise StoreError(f"another process is writing {path}; name another directory")
    _check_empty(path)
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"cannot write a run directory at {path}: {parent} is not writable")


def _check_empty(path: Path) -> None:
    """Raises StoreError if the directory holds more than a run leaves that was killed before it
    had `run.json`, or the workers that have come before it."""
    if (path / RUN).is_file():
        raise StoreError(
            f"{path} holds a run: go on in it with --okrt-resume {path}, or name a new directory"
        )
    for entry in path.iterdir() if path.is_dir() else ():
        begun = entry.name == EPISODES and not entry.stat().st_size
        if not begun and entry.name not in ("workers", f".{RUN}.part"):
            raise StoreError(f"run directory {path} is not empty; name a new one or remove it")


def check_run(path: Path, run: Mapping[str, Any]) -> None:
    """Raises StoreError if the `run.json` of a run directory is of an unknown schema."""
    try:
        _check_schema(run.get("schema", SCHEMA))
    except StoreError as error:
        raise StoreError(f"{path / RUN}: {error}") from None


def write_run(path: Path, run: Mapping[str, Any]) -> None:
    """Replaces the `run.json` of a run directory in one step. Raises StoreError."""
    text = msgspec.json.format(msgspec.json.encode({"schema": SCHEMA, **run}), indent=2)
    replace_file(path / RUN, text + b"\n")


def read_run(path: Path, manifest: bool = True) -> dict[str, Any]:
    """Returns `run.json`, or an empty dict where there is none.

    Without its manifest, which of a large run is most of it, where that is not asked for.

    Raises:
        StoreError: it is no JSON object, or a field is not what it should be.
    """
    try:
        parts = msgspec.json.decode((path / RUN).read_bytes(), type=dict[str, msgspec.Raw])
        if not manifest:
            parts.pop("manifest", None)
        run = {name: msgspec.json.decode(part) for name, part in parts.items()}
        msgspec.convert(run, _RunFile)
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise StoreError(f"{path} is a file: give the run directory that it lies in") from None
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path / RUN} is damaged: {error}") from None
    return run


def lines(path: Path) -> Iterator[Line]:
    """Yields the lines of a run directory's `episodes.jsonl`.

    Raises:
        StoreError: there is none.
    """
    file = path / EPISODES
    if not file.is_file():
        raise StoreError(f"{path} is no run directory: it has no {EPISODES}")
    offset = 0
    with file.open("rb", buffering=_BUFFER) as episodes:
        for number, content in enumerate(episodes, 1):
            yield Line(number, offset, content)
            offset += len(content)


def read_episodes(path: Path) -> Iterator[Episode | Problem]:
    """Yields the episodes of a run directory in the order of writing, and the lines that are none.

    A half-written last line is cut off the file (left in place where the file is read-only, or a
    run is still writing it).

    Raises:
        StoreError: the directory holds no `episodes.jsonl`.
    """
    for line in lines(path):
        try:
            yield decode_episode(line.content)
        except StoreError as error:
            problem = problem_of(path, line, error)
            if problem.kind == "torn" and cut_line(path / EPISODES, line.offset, line.content):
                said = f"{_where(path, line)}: the last line was half written; it was cut off"
                problem = Problem(line.number, "torn", said)
            yield problem


_TORN = "the last line was half written"


def problem_of(path: Path, line: Line, error: StoreError) -> Problem:
    """Returns the problem of a line that is no episode because of the error."""
    if _is_torn(line.content):
        said = f"{_where(path, line)}: the last line is half written; it is left out"
        return Problem(line.number, "torn", said)
    return Problem(line.number, "corrupt", f"{_where(path, line)}: {error}")


def _where(path: Path, line: Line) -> str:
    return f"{path / EPISODES}:{line.number}"


def _is_torn(content: bytes) -> bool:
    """Whether a line was broken off: the newline is missing, and more than that."""
    if content.endswith(b"\n"):
        return False
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return True
    return False


def write_rows(path: Path, rows: Iterable[bytes]) -> None:
    """Replaces `rows.jsonl` in one step. Each row is a JSON document without newline."""
    replace_file(path / ROWS, (row + b"\n" for row in rows))


def read_row_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the lines of the `rows.jsonl` of a run or a saved baseline, each with where it stands
    ("FILE:NUMBER"), for `okrt.analysis.reading.read_rows`.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    file = path / ROWS
    try:
        with file.open("rb", buffering=_BUFFER) as rows:
            for number, line in enumerate(rows, 1):
                yield f"{file}:{number}", line
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path} has no {ROWS}; okrt report {path} makes it anew") from None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from None


def replace_file(file: Path, content: bytes | Iterable[bytes]) -> None:
    """Writes beside the file and moves it into place, so that a reader never sees a half of it.

    Raises:
        StoreError: the directory went away, is full or not writable.
    """
    beside = file.with_name(f".{file.name}.part")
    try:
        with beside.open("wb") as part:
            part.writelines([content] if isinstance(content, bytes) else content)
        beside.replace(file)
    except OSError as error:
        raise StoreError(_cannot_write(file.parent, error)) from None


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write the run directory {path}: {error.strerror}; free or name another place"
