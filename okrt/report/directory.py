"""Deriving a run directory's `rows.jsonl` and `report.md` from its episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from okrt.analysis.rows import Row, encode
from okrt.report.tables import markdown
from okrt.store import REPORT, replace_file, write_rows


def derive(path: Path, rows: Iterable[Row], run: Mapping[str, Any]) -> None:
    """Writes `rows.jsonl`, sorted by episode id, and `report.md`."""
    ordered = sorted(rows, key=lambda row: row.episode_id)
    write_rows(path, (encode(row) for row in ordered))
    replace_file(path / REPORT, markdown(ordered, run).encode())
