"""Deriving a run directory's `rows.jsonl` and `report.md` from its episodes, of any number.

Of every episode its brief is kept in memory; its row waits in a temporary file, and is written in
order at the end.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any

from okrt.analysis.brief import Brief, brief
from okrt.analysis.cells import Table, tables
from okrt.analysis.rows import Row, encode
from okrt.errors import StoreError
from okrt.report.colour import Paint, unpainted
from okrt.report.contrasts import Claims, claims
from okrt.report.tables import markdown, terminal
from okrt.store import REPORT, replace_file, write_rows

HELD_BYTES = 4 * 2**20
"""Rows that take no more wait in memory, some 3,000."""


def derive(path: Path, rows: Iterable[Row], run: Mapping[str, Any]) -> None:
    """Writes `rows.jsonl`, sorted by episode id, and `report.md`. `run` is `run.json`.

    Raises:
        StoreError: the directory went away, is full or not writable.
    """
    with Derivation(path) as derivation:
        for row in rows:
            derivation.add(row)
        derivation.write(run)


class Derivation:
    """The rows of a run as they come, one by one; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.briefs: list[Brief] = []
        self._texts: dict[str, str] = {}
        beside = str(path) if os.access(path, os.W_OK) else None  # else tables can still be shown
        self._rows = SpooledTemporaryFile(HELD_BYTES, dir=beside)  # noqa: SIM115  see `close`
        self._starts = array("Q")

    def add(self, row: Row) -> None:
        """Takes up a row. Raises StoreError: the disk is full."""
        self._starts.append(self._rows.tell())
        try:
            self._rows.write(encode(row) + b"\n")
        except OSError as error:
            raise StoreError(f"cannot keep the rows of {self.path}: {error.strerror}") from None
        self.briefs.append(brief(row, self._texts))

    @cached_property
    def tables(self) -> list[Table]:
        """Made when first asked for: when all rows are there."""
        return tables(self.briefs)

    @cached_property
    def claims(self) -> list[Claims]:
        """What is claimed of the models of each table; made likewise."""
        return claims(self.tables)

    def terminal(self, width: int, paint: Paint = unpainted) -> str:
        """Returns `okrt.report.tables.terminal` of the rows."""
        return terminal(self.briefs, width, self.tables, self.claims, paint)

    def write(self, run: Mapping[str, Any]) -> None:
        """Writes `rows.jsonl` and `report.md`. Raises: see `derive`."""
        write_rows(self.path, self._sorted())
        replace_file(
            self.path / REPORT, markdown(self.briefs, run, self.tables, self.claims).encode()
        )

    def close(self) -> None:
        with suppress(OSError):  # of a full disk, said before
            self._rows.close()

    def _sorted(self) -> Iterator[bytes]:
        for place in sorted(range(len(self.briefs)), key=lambda at: self.briefs[at].episode_id):
            self._rows.seek(self._starts[place])
            yield self._rows.readline().rstrip(b"\n")

    def __enter__(self) -> Derivation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
