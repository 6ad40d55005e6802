"""Rows and messages as one Parquet file, written in row groups that fit memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from okrt.errors import UsageError
from okrt.exports.columns import COLUMNS, values
from okrt.exports.messages import chat
from okrt.exports.source import Entry, Source

GROUP_ROWS = 1_000
GROUP_CHARS = 16 * 2**20
"""Characters of messages after which a row group is written before it has all its rows."""

_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "truth": pa.bool_(),
}
_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_CALL = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)])
_MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("tool_calls", pa.list_(_CALL)),
        ("tool_call_id", pa.string()),
    ]
)
MESSAGES = pa.field("messages", pa.list_(_MESSAGE))
ROWS = pa.schema([(column.name, _TYPES[column.kind]) for column in COLUMNS])


def write(entries: Iterable[Entry], path: Path, source: Source, messages: bool) -> None:
    """Writes the rows, each with its messages in the last column where these are asked for.

    Raises:
        UsageError: a number does not fit 64 bits.
        OSError: the disk is full.
    """
    with Groups(path, ROWS.append(MESSAGES) if messages else ROWS) as groups:
        for entry in entries:
            said = chat(entry.episode) if messages and entry.episode is not None else None
            groups.add({**values(entry.row), "messages": said}, length(said))


def length(messages: list[dict[str, Any]] | None) -> int:
    """Returns the characters that the messages hold, the arguments of calls included."""
    return sum(
        len(message["content"])
        + sum(len(call["function"]["arguments"]) for call in message.get("tool_calls") or ())
        for message in messages or ()
    )


class Groups:
    """A Parquet file being written; a context manager."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._schema = schema
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[Mapping[str, Any]] = []
        self._chars = 0

    def add(self, record: Mapping[str, Any], chars: int) -> None:
        """Takes up a record, of which the schema's columns are written. Raises: see `write`."""
        self._waiting.append(record)
        self._chars += chars
        if len(self._waiting) >= GROUP_ROWS or self._chars >= GROUP_CHARS:
            self._flush()

    def _flush(self) -> None:
        try:
            table = pa.Table.from_pylist(self._waiting, schema=self._schema)
        except (pa.ArrowInvalid, OverflowError) as error:
            first = self._waiting[0]["episode_id"][:40]
            raise UsageError(
                f"among the {len(self._waiting)} episodes from {first} on, a number does not fit "
                f"Parquet's 64 bits: {error}; csv takes any"
            ) from None
        self._writer.write_table(table)
        self._waiting, self._chars = [], 0

    def __enter__(self) -> Groups:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._waiting:
                self._flush()
        finally:
            self._writer.close()
