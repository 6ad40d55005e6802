"""Rows as CSV: one header, one line an episode, nothing that a spreadsheet takes for a formula.

Source of the quote rule: OWASP, CSV Injection; differs: text that begins with the quote itself is
quoted too, so that one quote can be taken off every cell of text that has one, and numbers stay as
they are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from okrt.exports.columns import COLUMNS, Value, values
from okrt.exports.source import Entry, Source

QUOTE = "'"
ACTED_ON = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", QUOTE)
"""What text may begin with that makes a spreadsheet act on it (full-width signs: see `cell`)."""
_FULL_WIDTH = ("\uff1d", "\uff0b", "\uff0d", "\uff20")


def write(entries: Iterable[Entry], path: Path, source: Source, messages: bool) -> None:
    """Writes the rows. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\r\n")  # RFC 4180
        table.writerow([column.name for column in COLUMNS])
        for entry in entries:
            table.writerow([cell(value) for value in values(entry.row).values()])


def cell(value: Value) -> str:
    """Returns a value as a cell: empty where it is not known, `true` or `false`, a number that
    reads back as it was, or text, with a quote before it where it could be acted on."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            acted_on = value.startswith((*ACTED_ON, *_FULL_WIDTH))
            return QUOTE + value if acted_on else value
        case _:
            return repr(value)
