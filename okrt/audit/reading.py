"""Files of other people's data -> traces, one at a time; memory does not grow with a file.

What cannot be read is said, line by line, and passed over. Nothing that is read is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from okrt.audit.messages import ChatMessage, blocks
from okrt.audit.traces import Trace, TraceBlock, Unread, block
from okrt.errors import UsageError
from okrt.types import Episode, Turn

LONGEST_LINE = 64 * 2**20
"""Bytes. A longer line is passed over, and so is a longer JSON document that is no lines."""
_BATCH = 64
"""Rows of a Parquet file that are in memory at once."""
CHATS = ("messages", "conversations", "conversation")
"""Fields that hold a chat."""
IDS = ("id", "episode_id", "trace_id", "uuid")
EPISODES = "episodes.jsonl"
PATTERNS = ("*.trace.json", "*.jsonl", "*.parquet")
"""What is read of a folder."""
HARNESS_PROVIDES = frozenset({"json"})
"""Source: `pythonformer/codeact/interpreter.py` of the published harness puts it into every block's
namespace, under both contracts."""


class _Step(msgspec.Struct):
    """`data` of a `StepEvent` in the published harness's `*.trace.json`."""

    assistant_text: str | None = None
    code: str | None = None
    interpreter_result: dict[str, Any] | None = None


def read(paths: Iterable[Path]) -> Iterator[Trace | Unread]:
    """Yields the traces of files and folders, and what gave none.

    Of a folder, all `*.trace.json`, `*.jsonl` and `*.parquet` are read, at any depth; but of a run
    directory its episodes alone, as the rest of it tells of the same ones.

    Raises:
        UsageError: a path is not there or holds nothing of the kind, a file cannot be read, or
            Parquet is to be read without pyarrow.
    """
    for path in paths:
        for file in _files(path):
            try:
                yield from _read(file)
            except OSError as error:
                raise UsageError(f"cannot read {file}: {error.strerror or error}") from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path} is not there: name a file of traces or a folder that holds some")
    found = {file for pattern in PATTERNS for file in path.rglob(pattern) if file.is_file()}
    if not found:
        raise UsageError(f"{path} holds no {', '.join(PATTERNS[:-1])} or {PATTERNS[-1]}")
    runs = {file.parent for file in found if file.name == EPISODES}
    return sorted(file for file in found if runs.isdisjoint(_above(file)))


def _above(file: Path) -> Sequence[Path]:
    """Returns the folders that leave a file out if they are run directories."""
    return file.parent.parents if file.name == EPISODES else file.parents


def _read(file: Path) -> Iterator[Trace | Unread]:
    with file.open("rb") as content:
        start = content.read(4)
        content.seek(0)
        if start == b"PAR1":
            yield from _read_parquet(file)
        elif (document := _document(file, content)) is not None:
            rows = document if isinstance(document, list) else [document]
            for number, row in enumerate(rows, 1):
                name = f"{file.name}:{number}" if isinstance(document, list) else file.name
                yield trace(row, name)
        else:
            content.seek(0)
            yield from _read_lines(file, content)


def _document(file: Path, content: BinaryIO) -> Any | None:
    """Returns the content of a file that is one JSON document over several lines, or a list on one;
    else None."""
    if file.stat().st_size > LONGEST_LINE:
        return None
    first = _decoded(content.readline())
    if first is not None and not isinstance(first, list):
        return None
    content.seek(0)
    return _decoded(content.read())


def _decoded(text: bytes) -> Any | None:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _read_lines(file: Path, content: BinaryIO) -> Iterator[Trace | Unread]:
    number = 0
    while line := content.readline(LONGEST_LINE):
        number += 1
        name = f"{file.name}:{number}"
        if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
            yield Unread(name, f"longer than {LONGEST_LINE // 2**20} MiB")
            while (more := content.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
                pass
            continue
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield Unread(name, f"no JSON: {error}")
            continue
        yield trace(row, name)


def _read_parquet(file: Path) -> Iterator[Trace | Unread]:
    try:  # an extra: loaded for a Parquet file alone
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError(
            f"{file} is Parquet, and pyarrow is not there to read it: pip install 'okrt[audit]'"
        ) from None
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield trace(row, f"{file.name}:{number}")
    except ArrowException as error:
        yield Unread(f"{file.name}:{number + 1}", f"damaged Parquet: {str(error)[:200]}")


def trace(row: Any, name: str) -> Trace | Unread:
    """Returns the trace that a decoded line holds; `name` is its file and line."""
    if not isinstance(row, dict):
        return Unread(name, "no JSON object")
    id = next((str(row[key]) for key in IDS if isinstance(row.get(key), str | int)), name)
    try:
        if "trajectory" in row and "contract" in row:
            return _of_okrt(row)
        if isinstance(row.get("events"), list):
            return _of_harness(row["events"], id)
        return _of_chat(row, id) or Unread(
            name, "no messages: knows the fields " + ", ".join([*CHATS, "events", "trajectory"])
        )
    except (msgspec.ValidationError, RecursionError) as error:
        return Unread(name, str(error))


def _of_okrt(row: dict[str, Any]) -> Trace | Unread:
    episode = msgspec.convert(row, Episode)
    if episode.trajectory is None:
        return Unread(episode.id, "infrastructure broke the episode off")
    found = tuple(_of_turn(turn) for turn in episode.trajectory.turns if turn.code is not None)
    return Trace(episode.id, "okrt", found, frozenset(episode.tools))


def _of_turn(turn: Turn) -> TraceBlock:
    execution = turn.execution
    if execution is None:
        return block(turn.code or "", turn.observation)
    raised = execution.status != "ok"
    return TraceBlock(turn.code or "", turn.observation, raised, execution.missing_name)


def _of_harness(events: list[Any], id: str) -> Trace:
    found = []
    for event in events:
        if isinstance(event, dict) and event.get("type") == "StepEvent":
            step = msgspec.convert(event.get("data"), _Step)
            result = step.interpreter_result or {}
            shown = [str(result[key]) for key in ("output", "error") if result.get(key)]
            if step.code and step.code.strip():
                known = block(step.code, "\n".join(shown))
                raised = bool(result.get("error"))
                found.append(TraceBlock(step.code, known.observation, raised, known.missing_name))
    return Trace(id, "harness", tuple(found), HARNESS_PROVIDES)


def _of_chat(row: dict[str, Any], id: str) -> Trace | None:
    chat = next((row[key] for key in CHATS if row.get(key) is not None), None)
    if chat is None and isinstance(row.get("completion"), list):
        prompt = row.get("prompt")
        chat = (prompt if isinstance(prompt, list) else []) + row["completion"]
    if isinstance(chat, str):  # a chat as JSON text, as Parquet files often hold it
        chat = _decoded(chat.encode())
    if chat is None:
        return None
    return Trace(id, "messages", blocks(msgspec.convert(chat, list[ChatMessage])))
