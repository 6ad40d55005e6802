"""Rows go to disk as they come, and come out sorted; little of them stays in memory."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.analysis.rows import Row, encode, row
from okrt.errors import StoreError
from okrt.report import directory
from okrt.report.directory import Derivation, derive
from okrt.report.tables import markdown, terminal
from okrt.store import REPORT, ROWS
from okrt.types import Episode
from tests.analysis.build import episodes, law, sample

SAMPLE = row(sample())
RUN = {"created": "2026-03-01T10:00:00Z", "complete": True}


def rows(count: int, **changes: object) -> Iterator[Row]:
    for number in range(count):
        one = replace(SAMPLE, episode_id=f"{7 * number % count:04d}", seed=number)
        yield replace(one, **changes)  # type: ignore[arg-type]  # any field, by name


@settings(law, max_examples=10)
@given(made=st.lists(episodes(), max_size=5), held=st.sampled_from((1, 4 * 2**20)))
def test_what_is_derived_is_what_it_was_from_all_rows_at_once(
    made: list[Episode], held: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = [row(one) for one in made]
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "HELD_BYTES", held)
        derive(folder, iter(found), RUN)
    ordered = sorted(found, key=lambda one: one.episode_id)
    assert (folder / ROWS).read_bytes() == b"".join(encode(one) + b"\n" for one in ordered)
    assert (folder / REPORT).read_text("utf-8") == markdown(found, RUN)
    assert {file.name for file in folder.iterdir()} == {ROWS, REPORT}


def test_tables_are_those_of_the_rows(tmp_path: Path) -> None:
    with Derivation(tmp_path) as derivation:
        for one in rows(12):
            derivation.add(one)
        assert derivation.terminal(80) == terminal(rows(12), 80)


def test_rows_are_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = 100_000
    monkeypatch.setattr(directory, "HELD_BYTES", 2 * large)
    list(rows(1))
    tracemalloc.start()
    derive(tmp_path, (replace(one, errors={"x" * large: 1}) for one in rows(50)), RUN)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / ROWS).stat().st_size > 50 * large
    assert peak < 15 * large


def test_a_full_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "HELD_BYTES", 1)
    run = tmp_path / "run"
    run.mkdir()
    with Derivation(run) as derivation:
        shutil.rmtree(run)  # stands for any reason why nothing more can be written
        with pytest.raises(StoreError, match=r"cannot keep the rows of .*run: No such file"):
            derivation.add(SAMPLE)


def test_tables_are_shown_where_nothing_can_be_written(tmp_path: Path) -> None:
    with Derivation(tmp_path / "nosuch") as derivation:
        derivation.add(SAMPLE)
        assert "opaque_knapsack/easy" in derivation.terminal(100)
        with pytest.raises(StoreError, match="cannot write the run directory"):
            derivation.write({})
