"""The trace table, the export, and `collect.json` as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk

from okrt.errors import StoreError, UsageError
from okrt.models.rendering import encode_conversation, template_options
from okrt.types import Execution, ToolCall
from tests.checkpoints import make_tokenizer
from tests.toys import FakeRuntime, obey
from tests.training.toy_plans import collect, plan, seeds
from training.collect import main
from training.counting import load_tokenizer
from training.dataset import IGNORED, encode, read_pairs
from training.export import export
from training.stats import Tokens, example_tokens, figures, recorded_tokens, trace_table
from training.traces import COLLECT, CONTRACTS, read_record


def one_call(tools: Mapping[str, Callable[..., Any]], code: str) -> Execution:
    return replace(obey(tools, code), calls=(ToolCall("add", (1,)),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces")
    collect(folder, plan(cue="true"), FakeRuntime(one_call))
    return folder


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(template="").save_pretrained(folder)
    return folder


def test_the_figures_of_the_study(folder: Path) -> None:
    pairs, survey = read_pairs(folder), read_record(folder).survey
    found = figures(pairs, survey, recorded_tokens)
    totals = [
        [one.trajectory.usage for one in episodes if one.trajectory]
        for episodes in (pairs.persistent, pairs.stateless)
    ]
    prompt, generated = (
        [sum(getattr(usage, name) for usage in usages) for usages in totals]
        for name in ("prompt_tokens", "completion_tokens")
    )
    assert found["episodes"] == (6, 6)
    both = zip(prompt, generated, strict=True)
    assert found["tokens / episode"] == tuple((p + g) / 6 for p, g in both)
    assert found["completion tokens / episode"] == tuple(g / 6 for g in generated)
    assert found["loss-bearing tokens"] == tuple(generated)
    assert found["turns / episode"] == (2, 2)
    assert found["tool calls / episode"] == (2, 2)
    assert found["optimality (mean score)"] == (1, 1)
    assert found["traces refused"] == (3, 2)


def test_a_tokenizer_counts_what_evaluation_feeds_and_training_learns(
    folder: Path, tokenizer_folder: Path
) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    (episode, *_) = read_pairs(folder).stateless
    assert episode.trajectory is not None
    example = encode(episode.trajectory, tokenizer)
    messages = episode.trajectory.messages()
    fed = sum(
        len(
            encode_conversation(
                tokenizer,
                messages[:place],
                add_generation_prompt=True,
                template_kwargs=template_options("off"),
            ).ids
        )
        for place, message in enumerate(messages)
        if message.role == "assistant"
    )
    generated = sum(label != IGNORED for label in example.labels)
    assert example_tokens(example) == Tokens(fed + generated, generated)


def test_the_table(folder: Path, tokenizer_folder: Path) -> None:
    text = trace_table(folder)
    assert "counting low, split train, arm none: 6 pairs of 10 tasks" in text
    assert "tokens counted by simple/1" in text
    (line,) = [line for line in text.splitlines() if line.startswith("traces refused")]
    assert line.split()[-3:] == ["3", "2", "0.67"]
    counted = trace_table(folder, tokenizer_folder)
    assert "tokens counted by sha256:" in counted
    assert counted != text


def test_the_command_prints_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stats", str(folder)]) == 0
    assert capsys.readouterr().out == trace_table(folder)


def test_an_exported_folder_holds_both_contracts_in_task_order(
    folder: Path, tmp_path: Path
) -> None:
    assert export(folder, tmp_path / "d").startswith(f"{tmp_path / 'd'}: 12 rows of 6 tasks; ")
    rows: Any = load_from_disk(tmp_path / "d")
    pairs = read_pairs(folder)
    assert [row["seed"] for row in rows] == [seed for seed in seeds(pairs.stateless) for _ in "ab"]
    assert [row["contract"] for row in rows] == list(CONTRACTS) * 6
    for row, episode in zip(rows.select(range(0, 12, 2)), pairs.persistent, strict=True):
        assert row["task_id"] == episode.task.id
        assert episode.trajectory is not None
        expected = [(m.role, m.content) for m in episode.trajectory.messages()]
        assert [(m["role"], m["content"]) for m in row["messages"]] == expected


def test_exported_messages_carry_the_same_loss_by_the_template(
    folder: Path, tmp_path: Path
) -> None:
    """What TRL does with `assistant_only_loss`, with our template."""
    export(folder, tmp_path / "d")
    tokenizer = make_tokenizer()
    rows: Any = load_from_disk(tmp_path / "d")
    mine = read_pairs(folder).persistent[0].trajectory
    assert mine is not None
    marked: Any = tokenizer.apply_chat_template(
        rows[0]["messages"], return_dict=True, return_assistant_tokens_mask=True
    )
    example = encode(mine, tokenizer)
    assert tuple(marked["input_ids"]) == example.input_ids
    assert [bool(m) for m in marked["assistant_masks"]] == [x != IGNORED for x in example.labels]


def test_an_export_replaces_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there already"):
        export(folder, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        export(folder, tmp_path / "file" / "d")
    assert main(["--export", str(folder), str(tmp_path)]) == 2


def test_an_unfinished_folder_has_no_table(tmp_path: Path) -> None:
    collect(tmp_path, plan(max_tries=4))
    with pytest.raises(UsageError, match="is unfinished"):
        trace_table(tmp_path)


def test_a_record_goes_to_json_and_back(folder: Path, tmp_path: Path) -> None:
    record = read_record(folder)
    assert (record.schema, record.pairs, record.max_tries) == (1, 6, 100)
    text = (folder / COLLECT).read_text()
    (tmp_path / COLLECT).write_text(text.replace('"schema"', '"later": {"x": 1}, "schema"'))
    assert read_record(tmp_path) == record


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"schema": 1', '"schema": 2', "schema 2 is unknown"),
        ('"pairs": 6', '"pairs": "six"', r"is damaged: Expected `int`, got `str` .*\$\.pairs"),
        ("{", "", "is damaged"),
    ],
)
def test_a_record_that_cannot_be_read(
    folder: Path, tmp_path: Path, old: str, new: str, told: str
) -> None:
    (tmp_path / COLLECT).write_text((folder / COLLECT).read_text().replace(old, new, 1))
    with pytest.raises(StoreError, match=told):
        read_record(tmp_path)
