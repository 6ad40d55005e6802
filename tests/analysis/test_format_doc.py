"""docs/format.md names every field that the files have, in order, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from okrt.analysis.brief import briefs
from okrt.analysis.cells import tables
from okrt.analysis.defuse import DEEPEST_BLOCK, LONGEST_BLOCK
from okrt.analysis.rows import SCHEMA_VERSION, Row, decode, encode, row
from okrt.analysis.stats import Estimate
from okrt.report.objects import report_object
from okrt.types import (
    Completion,
    Episode,
    Execution,
    Failure,
    ModelCard,
    Outcome,
    ServerFacts,
    Settings,
    Task,
    ToolCall,
    Trajectory,
    Turn,
    Usage,
)
from tests.analysis.build import sample

DOC = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
NOUNS = (
    Episode, Task, ModelCard, Settings, Trajectory, Turn, Completion, Usage, Execution, ToolCall,
    Outcome, Failure, ServerFacts,
)  # fmt: skip


def documented(heading: str) -> list[str]:
    section = re.split(r"^#+ ", DOC.split(f"\n{heading}\n", 1)[1], flags=re.MULTILINE)[0]
    return re.findall(r"^\| `(\w+)` \| .", section, flags=re.MULTILINE)


def test_every_field_of_a_row_is_documented() -> None:
    assert documented("## Rows") == [field.name for field in fields(Row)]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_field_of_an_episode_is_documented(noun: type) -> None:
    assert documented(f"### `{noun.__name__}`") == [field.name for field in fields(noun)]


def test_every_field_of_the_report_as_json_is_documented() -> None:
    rows = list(briefs([row(sample())]))
    report = report_object(rows, {}, tables(rows))
    (table,) = report["tables"]
    (cell,) = table["cells"]
    assert documented("### Report") == list(report)
    assert documented("### Table") == list(table)
    assert documented("### Cell") == list(cell)
    assert documented("### Estimate") == [field.name for field in fields(Estimate)]


def test_the_row_shown_is_a_real_one() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", DOC, flags=re.MULTILINE | re.DOTALL)
    assert decode(shown) == row(sample())
    assert shown == msgspec.json.format(encode(row(sample())), indent=2).decode() + "\n"


def test_constants_are_those_of_the_code() -> None:
    assert f"`schema`, now {SCHEMA_VERSION}" in DOC
    assert f"{LONGEST_BLOCK:,} characters" in DOC.replace("\n", " ")
    assert f"{DEEPEST_BLOCK} levels" in DOC
