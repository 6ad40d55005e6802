"""Exports of a run of several tool caps: no figure is of both, and each says which is which."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import msgspec
import pytest
from pyarrow import parquet  # type: ignore[import-untyped]

from okrt.cli import main
from okrt.plan import key_of, plan_of
from okrt.types import Outcome, Settings
from tests.analysis.build import TASK, episode, turn
from tests.exports.conftest import LOCAL, write

SCORES = {25: 0.25, 80: 0.75}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    episodes = [
        episode(
            turn(), id=f"{cap}-{seed}", task=replace(TASK, seed=seed), model=LOCAL,
            asked=Settings(tool_cap=cap), outcome=Outcome(score, False),
        )
        for cap, score in SCORES.items()
        for seed in range(3)
    ]  # fmt: skip
    plan = msgspec.to_builtins(plan_of(map(key_of, episodes)))
    return write(tmp_path_factory.mktemp("exports") / "sweep", episodes, plan=plan)


def export(run: Path, to: str, out: Path) -> Path:
    assert main(["export", str(run), "--to", to, "--out", str(out)]) == 0
    return out


def test_rows_say_their_cap(run: Path, tmp_path: Path) -> None:
    with export(run, "csv", tmp_path / "rows.csv").open() as file:
        found = {(int(row["tool_cap"]), float(row["score"])) for row in csv.DictReader(file)}
    assert found == set(SCORES.items())
    table = parquet.read_table(export(run, "parquet", tmp_path / "rows.parquet"))
    assert sorted(table["tool_cap"].to_pylist()) == [25] * 3 + [80] * 3


def test_the_messages_and_the_card_of_a_folder_say_it(run: Path, tmp_path: Path) -> None:
    folder = export(run, "hf", tmp_path / "out")
    said = parquet.read_table(folder / "messages" / "eval.parquet")
    assert sorted(said["tool_cap"].to_pylist()) == [25] * 3 + [80] * 3
    card = (folder / "README.md").read_text()
    assert "| family/tier | model | trained under | runtime | tool_cap | episodes |" in card
    assert card.count("| 25 | 3 |") == card.count("| 80 | 3 |") == 1


def test_each_cap_is_a_log_with_its_own_name_and_scores(run: Path, tmp_path: Path) -> None:
    logs = sorted(export(run, "inspect", tmp_path / "out").glob("*.eval"))
    assert len(logs) == 2
    for log in logs:
        with ZipFile(log) as archive:
            header = json.loads(archive.read("header.json"))
        cap = header["eval"]["task_args"]["tool_cap"]
        assert f"-cap{cap}_" in log.name
        assert (header["status"], header["results"]["total_samples"]) == ("success", 3)
        score = header["results"]["scores"][0]["metrics"]["mean"]["value"]
        assert score == SCORES[cap]


def test_tables_and_cards_have_a_part_for_each(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(run), "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {(one["axes"], float(one["score"])) for one in csv.DictReader(lines)}
    assert found == {(f"tool_cap={cap}", score) for cap, score in SCORES.items()}
    for how in ("latex", "markdown"):
        assert main(["table", str(run), "--format", how]) == 0
        shown = capsys.readouterr().out.replace("\\", "")
        assert all(f"tool_cap={cap}" in shown for cap in SCORES)
    assert main(["card", str(run)]) == 0
    card = capsys.readouterr().out
    for cap, score in SCORES.items():
        part = card.partition(f"## opaque_knapsack/easy, tool_cap={cap}\n")[2]
        assert f"| score | {score:.3f} [-] |" in part.partition("\n## ")[0]


def test_it_is_no_pilot_of_one_cell(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", "--pilot", str(run), "--metric", "lost_rate", "--limit", "0.05"]
    assert main(asked) == 2
    shown = capsys.readouterr().err
    assert "a cell holds several values of tool_cap (25, 80): use one" in shown
    assert shown.count("\n") == 1
