"""Transcripts packed for a page: pieces of some episodes, compressed, each to be opened alone."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any

import msgspec

PIECE_BYTES = 512 * 2**10
"""Of JSON: a piece is opened in a few milliseconds, and its episodes share what is alike."""
HELD_BYTES = 8 * 2**20
"""Compressed; more waits on the disk."""


class Packer:
    """Takes transcripts one by one; a context manager."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[int, int]] = {}
        """By episode id: the number of the piece, and the place in it."""
        self.size = 0
        """Bytes of what `pieces` yields so far."""
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._lengths: list[int] = []
        self._file = SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115  closed by `__exit__`

    def add(self, episode_id: str, view: Mapping[str, Any]) -> None:
        """Raises OSError: the disk for temporary files is full."""
        encoded = msgspec.json.encode(view)
        self.places[episode_id] = (len(self._lengths), len(self._waiting))
        self._waiting.append(encoded)
        self._waiting_size += len(encoded)
        if self._waiting_size >= PIECE_BYTES:
            self._pack()

    def pieces(self) -> Iterator[bytes]:
        """Yields the pieces in base64: a zlib stream of a JSON list of views."""
        if self._waiting:
            self._pack()
        self._file.seek(0)
        for length in self._lengths:
            yield self._file.read(length)

    def _pack(self) -> None:
        packed = base64.b64encode(zlib.compress(b"[%b]" % b",".join(self._waiting)))
        self._file.write(packed)
        self._lengths.append(len(packed))
        self.size += len(packed)
        self._waiting, self._waiting_size = [], 0

    def __enter__(self) -> Packer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
