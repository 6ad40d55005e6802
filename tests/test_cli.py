"""The `okrt` command: what it prints, and what it says to a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from okrt.cli import main
from okrt.gates.file import read as read_gates
from okrt.store import EPISODES, RunDirectory
from tests.test_store import episode


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunDirectory.create(tmp_path / "run", {"okrt": "0", "versions": {}}) as directory:
        for seed in range(3):
            directory.append(episode("hm", seed=seed))
    return tmp_path / "run"


def test_report_prints_tables_and_derives_the_rows(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run)]) == 0
    assert "counting/low" in capsys.readouterr().out
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    assert [row["episode_id"] for row in rows] == sorted(row["episode_id"] for row in rows)
    assert "counting/low" in (run / "report.md").read_text()


def test_report_writes_a_page_where_that_is_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--html"]) == 0
    assert capsys.readouterr().err == f"page: {run / 'report.html'}\n"
    other = tmp_path / "other.html"
    assert main(["report", str(run), "--html", str(other)]) == 0
    assert other.read_bytes() == (run / "report.html").read_bytes()
    assert main(["report", str(run), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
    (run / "run.json").write_text('{"schema": 9}')
    assert main(["report", str(run), "--html"]) == 2
    assert "schema 9 is unknown to this version of okrt" in capsys.readouterr().err


def test_a_torn_last_line_is_repaired_and_warned_about(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (run / EPISODES).read_bytes()
    (run / EPISODES).write_bytes(whole + whole[:100])
    assert main(["report", str(run)]) == 0
    assert (
        f"{EPISODES}:4: the last line was half written; it was cut off" in capsys.readouterr().err
    )
    assert (run / EPISODES).read_bytes() == whole


def test_a_corrupt_line_is_named_the_rest_reported_and_the_exit_is_1(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, third = (run / EPISODES).read_bytes().splitlines(keepends=True)
    (run / EPISODES).write_bytes(first + b"garbage\n" + third)
    assert main(["report", str(run)]) == 1
    shown = capsys.readouterr()
    assert f"{EPISODES}:2" in shown.err
    assert "2 tasks" in shown.out
    assert len((run / "rows.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("by", ["id", "start", "case"])
def test_show_prints_a_transcript(run: Path, capsys: pytest.CaptureFixture[str], by: str) -> None:
    wanted = episode("hm", seed=1)
    name = {"id": wanted.id, "start": wanted.id[:8], "case": "m-persistent-low-1"}[by]
    assert main(["show", str(run), name]) == 0
    shown = capsys.readouterr().out
    assert wanted.task.id in shown
    assert "finish()" in shown


def test_show_names_what_it_cannot_find(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run), "nosuch"]) == 2
    assert "has no episode 'nosuch'" in capsys.readouterr().err
    assert main(["show", str(run), ""]) == 2
    assert "is the start of 3 episodes" in capsys.readouterr().err


def test_task_prints_an_instance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task", "opaque_knapsack/easy/eval/17"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("opaque_knapsack/easy/eval/17@1\n")
    assert "optimum" not in shown
    assert main(["task", "--json", "opaque_knapsack/easy/eval/17"]) == 0
    task = json.loads(capsys.readouterr().out)
    assert task["id"] == "opaque_knapsack/easy/eval/17@1"
    assert task["private"]["optimum"] > 0


def test_init_writes_an_evaluation_that_runs(
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    folder = pytester.path / "mine"
    assert main(["init", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "test_runtime_fit.py" in shown
    assert f"--okrt-gates {folder / 'gates.toml'}" in shown
    assert read_gates(folder / "gates.toml").seeds == range(100)
    result = pytester.runpytest_inprocess(
        str(folder), "--model=expert:stateless", "--okrt-tier=micro", "--okrt-seeds=1"
    )
    result.assert_outcomes(passed=2)
    assert main(["init", str(folder)]) == 2
    assert "is there already" in capsys.readouterr().err
    (folder / "test_runtime_fit.py").unlink()
    assert main(["init", str(folder)]) == 2
    assert "gates.toml is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nosuch"], "nosuch is no run directory"),
        (["show", "nosuch", "x"], "nosuch is no run directory"),
        (["merge", "nosuch", "--out", "out"], "does not say what it must hold"),
        (["task", "17"], "is no task id"),
        (["task", "opaque_knapsack/nosuch/eval/1"], "unknown tier 'nosuch'"),
        (["init", "/dev/null/x"], "cannot write"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    "command", ["report", "show", "merge", "gate", "task", "init", "doctor", "version"]
)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"okrt {command}" in capsys.readouterr().out.partition("example:")[2]


def test_doctor_says_what_this_machine_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor"])
    shown = capsys.readouterr().out
    assert "tier       T" in shown
    assert "ALLOWED" not in shown
    assert main(["doctor", "--json"]) == status == 0
    found = json.loads(capsys.readouterr().out)
    assert f"tier       {found['assessment']['tier']}" in shown
    assert all(found["self_test"]["denied"].values())


def test_what_computes_no_interval_imports_no_scipy() -> None:
    """It would take half as long again as the whole start."""
    code = "import sys, okrt.cli, okrt.analysis.planner; print('scipy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("okrt 0.")
