"""Rows become flat columns: every field, typed, and nothing that a reader would choke on."""

from __future__ import annotations

import csv
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.analysis.rows import Row, row
from okrt.cli import main
from okrt.exports.columns import COLUMNS, MEANINGS, clean, values
from okrt.exports.csv import QUOTE, cell
from okrt.store import read_episodes
from okrt.types import Episode
from tests.analysis.build import episodes, law, sample
from tests.exports.conftest import made, oddest, write


def test_every_field_of_a_row_is_a_column_with_a_type_and_a_meaning() -> None:
    names = [field.name for field in fields(Row)]
    flat = {"failure_boundary": "failure", "failure_error_type": "failure"}
    of = [flat.get(one.name, one.name) for one in COLUMNS if one.name != "failure_message"]
    assert list(dict.fromkeys(of)) == names
    assert [one.name for one in COLUMNS if not MEANINGS.get(one.name)] == []
    kinds = {one.name: one.kind for one in COLUMNS}
    assert kinds["ending"] == kinds["failure_boundary"] == kinds["errors"] == "text"
    assert (kinds["score"], kinds["turns"], kinds["solved"]) == ("number", "integer", "truth")
    assert list(values(row(sample()))) == [one.name for one in COLUMNS]


@settings(law, max_examples=10)
@given(episodes())
def test_values_are_of_their_columns_type(one: Any) -> None:
    types = {"text": str, "integer": int, "number": float, "truth": bool}
    for column, value in zip(COLUMNS, values(row(one)).values(), strict=True):
        assert value is None or type(value) is types[column.kind], column


def test_what_no_reader_takes_is_cleaned() -> None:
    assert clean({"a": (float("nan"), 2**70, "\ud800", True, 1)}) == {
        "a": [None, str(2**70), "\\ud800", True, 1]
    }
    odd = replace(row(sample()), score=float("inf"), relative_score=float("nan"))
    assert (values(odd)["score"], values(odd)["relative_score"]) == (None, None)


def read_back(text: str, kind: str) -> Any:
    """As docs/exports.md says that a cell is read."""
    if kind == "text":
        return (text[1:] if text.startswith(QUOTE) else text) or None
    if not text:
        return None
    if kind == "truth":
        return {"true": True, "false": False}[text]
    return int(text) if kind == "integer" else float(text)


@given(st.text(max_size=6) | st.sampled_from(["=1", "+1", "-1", "@a", "\t=1", "'", "''=1", "\0"]))
def test_no_text_is_a_formula_and_all_of_it_reads_back(text: str) -> None:
    shown = cell(text)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert (read_back(shown, "text") or "") == text


@pytest.mark.parametrize("some", [made, oddest])
def test_csv_reads_back_whole(some: Any, tmp_path: Path) -> None:
    run = write(tmp_path / "run", some())
    out = tmp_path / "run.csv"
    assert main(["export", str(run), "--to", "csv", "--out", str(out)]) == 0
    with out.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file))
    assert header == [one.name for one in COLUMNS]
    kinds = [one.kind for one in COLUMNS]
    stored = [values(row(one)) for one in read_episodes(run) if isinstance(one, Episode)]
    for line, told in zip(lines, stored, strict=True):
        back = [read_back(text, kind) for text, kind in zip(line, kinds, strict=True)]
        assert back == [None if wanted == "" else wanted for wanted in told.values()]
