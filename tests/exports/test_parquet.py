"""Parquet and `datasets` folders, read by pyarrow, pandas and `datasets` themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from datasets import load_dataset
from pyarrow import parquet

from okrt.analysis.rows import row
from okrt.audit.totals import audit_files
from okrt.cli import main
from okrt.errors import UsageError
from okrt.exports import parquet as writer
from okrt.exports.columns import values
from okrt.exports.messages import chat
from okrt.types import Task
from tests.analysis.build import episode
from tests.exports.conftest import calling, made, oddest, write


def export(run: Path, to: str, out: Path, *more: str) -> Path:
    assert main(["export", str(run), "--to", to, "--out", str(out), *more]) == 0
    return out


def test_pyarrow_reads_every_row_and_message(run: Path, tmp_path: Path) -> None:
    table = parquet.read_table(export(run, "parquet", tmp_path / "run.parquet"))
    assert table.schema == writer.ROWS.append(writer.MESSAGES)
    for one, told in zip(made(), table.to_pylist(), strict=True):
        said = told.pop("messages")
        assert told == values(row(one))
        wanted = chat(one)
        assert (said is None) == (wanted is None)
        for message, meant in zip(said or [], wanted or [], strict=True):
            assert {key: value for key, value in message.items() if value is not None} == meant


def test_messages_can_be_left_out(run: Path, tmp_path: Path) -> None:
    out = export(run, "parquet", tmp_path / "run.parquet", "--no-messages")
    assert parquet.read_schema(out) == writer.ROWS


def test_a_call_stands_apart_from_what_was_said_as_a_server_is_sent_it() -> None:
    said = chat(calling()) or []
    assert [message["role"] for message in said[:3]] == ["user", "assistant", "tool"]
    function = {"name": "python", "arguments": '{"code": "print(1)"}'}
    assert said[1] == {
        "role": "assistant", "content": "Step 1.",
        "tool_calls": [{"id": "call-1", "type": "function", "function": function}],
    }  # fmt: skip
    assert said[2]["tool_call_id"] == "call-1"


def test_row_groups_are_bounded(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GROUP_ROWS", 4)
    file = parquet.ParquetFile(export(run, "parquet", tmp_path / "4.parquet"))
    groups = range(file.num_row_groups)
    assert [file.metadata.row_group(n).num_rows for n in groups] == [4, 4, 2]
    monkeypatch.setattr(writer, "GROUP_CHARS", 1)
    file = parquet.ParquetFile(export(run, "parquet", tmp_path / "1.parquet"))
    assert file.num_row_groups == 10


def test_a_number_beyond_64_bits_is_said_to_be(tmp_path: Path) -> None:
    task = Task("f", "t", "eval", 2**64, 1, "p", {}, 5)
    with (
        pytest.raises(UsageError, match="does not fit"),
        writer.Groups(tmp_path / "x", writer.ROWS) as groups,
    ):
        groups.add(values(row(episode(task=task))), 0)


def test_datasets_and_pandas_load_the_rows(run: Path, tmp_path: Path) -> None:
    out = export(run, "parquet", tmp_path / "run.parquet")
    cache = str(tmp_path / "cache")
    loaded = load_dataset("parquet", data_files=str(out), split="train", cache_dir=cache)
    assert [one["episode_id"] for one in loaded] == [one.id for one in made()]
    assert json.loads(loaded[0]["errors"]) == {"NameError": 1}
    assert loaded[0]["messages"][1]["role"] == "assistant"
    frame = loaded.to_pandas()
    assert frame["score"].isna().sum() == 1
    means = frame.groupby(["model", "runtime"])["score"].mean()
    assert means["=m|1", "persistent"] == 0.5


def test_datasets_loads_the_folder_offline_with_its_card(run: Path, tmp_path: Path) -> None:
    out = export(run, "hf", tmp_path / "out")
    cache = str(tmp_path / "cache")
    rows = load_dataset(str(out), split="eval", cache_dir=cache)
    assert rows.num_rows == 10
    said = load_dataset(str(out), "messages", split="eval", cache_dir=cache)
    assert said.num_rows == 9
    whole = {one.id: chat(one) for one in made()}
    for one in said:
        contents = [message["content"] for message in one["messages"]]
        assert contents == [message["content"] for message in whole[one["episode_id"]] or []]
    card = (out / "README.md").read_text()
    assert "| opaque_knapsack/easy | =m\\|1 | stateless | stateless | 5 |" in card
    assert "no evidence about models" in card
    assert "license" not in card.split("---")[1]
    for name in rows.column_names:
        assert f"| `{name}` |" in card


def test_the_oddest_run_goes_through(tmp_path: Path) -> None:
    run = write(tmp_path / "run", oddest(), salt="0123")
    folder = export(run, "hf", tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert max(map(len, card.splitlines())) < 2_000
    assert "</script>" not in card
    assert "private tasks" in card
    table = parquet.read_table(folder / "messages" / "eval.parquet")
    assert table["messages"][1].as_py()[0]["content"] == "Fill the knapsack."
    assert pa.compute.sum(table["score"]).as_py() == 0.9


def test_our_own_audit_reads_the_messages(run: Path, tmp_path: Path) -> None:
    out = export(run, "parquet", tmp_path / "run.parquet")
    found: Any = audit_files([out], frozenset())
    assert sum(found.formats.values()) > 0
