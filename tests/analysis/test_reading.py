"""`rows.jsonl` read back: what was written, what earlier versions wrote, and what is no row."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.analysis.reading import read_rows
from okrt.analysis.rows import Row, encode, row
from okrt.errors import StoreError
from okrt.store import ROWS, read_row_lines, write_rows
from okrt.types import Episode
from tests.analysis.build import episodes, law, sample

LATER = {
    "packages", "trained_on_tier", "repetition_stops", "adapter_verified", "transcript_digest",
}  # fmt: skip
"""Fields that the first version had not."""


def read(path: Path) -> list[Row]:
    return list(read_rows(read_row_lines(path)))


@settings(law, max_examples=10)
@given(st.lists(episodes(), max_size=5))
def test_what_was_written_is_what_is_read(made: list[Episode]) -> None:
    rows = [row(one) for one in made]
    lines = [(f"rows.jsonl:{n}", encode(one) + b"\n") for n, one in enumerate(rows, 1)]
    assert list(read_rows(lines)) == rows


def test_a_file_goes_round(tmp_path: Path) -> None:
    one = row(sample())
    write_rows(tmp_path, [encode(one)] * 3)
    assert read(tmp_path) == [one] * 3
    write_rows(tmp_path, [])
    assert read(tmp_path) == []


def test_rows_of_earlier_and_of_later_versions_are_read(tmp_path: Path) -> None:
    data = msgspec.json.decode(encode(row(sample())))
    early = {name: value for name, value in data.items() if name not in LATER}
    write_rows(tmp_path, [msgspec.json.encode(one) for one in (early, {**data, "new_field": 1})])
    old, new = read(tmp_path)
    assert (old.packages, old.transcript_digest, old.trained_on_tier) == ((), None, None)
    assert old.score == new.score
    assert new == row(sample())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"garbage", "not a row"),
        (b"", "not a row"),
        (b'{"schema":1}', "not a row"),
        (encode(row(sample()))[:-40], "not a row"),
        (b'{"schema":2,"other":true}', "row schema 2 is unknown to this version of okrt"),
        (encode(row(sample())).replace(b'"schema":1', b'"schema":2'), "row schema 2 is unknown"),
        (encode(row(sample())).replace(b'"score":0.9', b'"score":"high"'), "not a row"),
        (b"[" * 100_000, "not a row"),
        (b'{"schema":1,"episode_id":"\xff"}', "not a row"),
    ],
)
def test_a_line_that_is_no_row_is_named_with_file_and_number(
    tmp_path: Path, line: bytes, said: str
) -> None:
    write_rows(tmp_path, [encode(row(sample())), line])
    found = read_rows(read_row_lines(tmp_path))
    next(found)
    with pytest.raises(StoreError, match=f"{ROWS}:2: {said}"):
        next(found)


def test_a_directory_without_rows_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no rows.jsonl; okrt report .* makes it anew"):
        read(tmp_path)
    with pytest.raises(StoreError, match="has no"):
        read(tmp_path / "nosuch")
    (tmp_path / ROWS).mkdir()
    with pytest.raises(StoreError, match="cannot read"):
        read(tmp_path)
