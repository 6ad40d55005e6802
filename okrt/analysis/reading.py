"""Rows as they were written: `rows.jsonl` of a run, or of a baseline whose episodes were not kept.

The file itself is opened by `okrt.store.read_row_lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from okrt.analysis.rows import Row, decode
from okrt.errors import StoreError


def read_rows(lines: Iterable[tuple[str, bytes]]) -> Iterator[Row]:
    """Yields the rows of `okrt.store.read_row_lines(path)`, in the order of the file.

    Rows of earlier versions lack later fields, which are then not known; of later versions, the
    fields that this one does not know are passed over.

    Raises:
        StoreError: a line is no row or of an unknown schema, said with its file and number.
    """
    for where, line in lines:
        try:
            yield decode(line)
        except StoreError as error:
            raise StoreError(f"{where}: {error}") from None
