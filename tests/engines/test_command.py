"""`okrt run`: what pytest runs, without tests; shards; Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from okrt import cli, specs
from okrt.analysis.rows import Row, row
from okrt.engines import record
from okrt.engines.command import selected
from okrt.engines.record import going_on
from okrt.selection.arguments import Given, read_options
from okrt.selection.options import OPTIONS
from okrt.types import Episode
from tests.signals import hear_interrupts

ROOT = Path(__file__).parents[2]
SMALL = ("--tier=micro", "--seeds=2")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "rows.jsonl").read_text().splitlines()
    return [{**json.loads(line), "timing": None} for line in lines]


def run_json(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def test_the_rows_are_those_of_pytest(
    here: Path, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the options of the shipped evaluation, which is of the same cases."""
    options = ("--okrt-seeds=2", "--okrt-max-turns=9", "--okrt-names=on")
    assert cli.main(["run", *options, f"--out={here / 'run'}"]) == 0
    shown = capsys.readouterr().out
    assert "opaque_knapsack/easy, model x runtime" in shown
    assert "no gates: nothing was decided" in shown
    out = f"--okrt-out={here / 'other'}"
    file = str(ROOT / "evals" / "test_opaque_knapsack.py")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", file, out, *options)
    assert rows(here / "run") == rows(here / "other")
    one, other = run_json(here / "run"), run_json(here / "other")
    for name in ("plan", "models", "settings", "shard", "sandbox", "versions", "complete"):
        assert one[name] == other[name]
    assert one["manifest"] == {}


def test_a_log_says_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", *SMALL, "--model=expert:stateless", "--runtime=stateless"]
    assert cli.main([*arguments, "--out=a"]) == 0
    assert "/2 episodes" not in capsys.readouterr().err
    monkeypatch.setattr("okrt.engines.command.PIPED_S", 0.0)
    assert cli.main([*arguments, "--out=b"]) == 0
    assert "okrt: 1/2 episodes" in capsys.readouterr().err


def test_an_expert_that_the_family_does_not_have_starts_no_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--family=ledger_audit", "--model=expert:persistent,batch=all", "--tier=micro"]
    assert cli.main(["run", *arguments, "--out=run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expert:persistent,batch=all of ledger_audit: unknown setting 'batch=all'" in line
    assert not (here / "run").exists()


def test_it_selects_what_the_shipped_evaluation_does() -> None:
    options = read_options(Given(lambda name: None, Path.cwd()))
    found = selected(specs.family("opaque_knapsack"), options, None)
    assert len(found) == 400
    assert {(case.tier, case.seed) for case in found} == {("easy", seed) for seed in range(100)}


def test_every_option_is_there_in_both_spellings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    shown = capsys.readouterr().out
    for option in OPTIONS:
        assert f"--{option.name}" in shown
        assert f"--okrt-{option.name}" in shown
    assert "example:" in shown


def test_shards_are_parts_of_the_whole_and_each_has_of_every_cell() -> None:
    options = read_options(Given(lambda name: "48" if name == "seeds" else None, Path.cwd()))
    family = specs.family("opaque_knapsack")
    whole = [case.key for case in selected(family, options, None)]
    parts = [[case.key for case in selected(family, options, f"{k}/16")] for k in range(1, 17)]
    assert sorted(key for part in parts for key in part) == sorted(whole)
    for part in parts:
        assert len(part) == len(whole) / 16
        assert len({(key.model, key.contract) for key in part}) == 4


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("0/4", "--shard '0/4': there are 1/4 to 4/4"),
        ("5/4", "--shard '5/4': there are 1/4 to 4/4"),
        ("1/0", "--shard '1/0': there must be at least one"),
        ("x", "--shard 'x': write K/N, like 3/16"),
        ("-1/4", "--shard '-1/4': write K/N"),
        ("9/9", "--shard '9/9': there are fewer cases than shards"),
    ],
)
def test_a_shard_that_is_none_is_a_usage_error(
    here: Path, capsys: pytest.CaptureFixture[str], shard: str, message: str
) -> None:
    assert cli.main(["run", *SMALL, f"--shard={shard}"]) == 2
    assert message in capsys.readouterr().err
    assert not list(here.iterdir())


def test_a_shard_goes_on_as_the_shard_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *SMALL, "--shard=2/2"]
    assert cli.main([*words, "--out=a", "--max-tokens=1"]) == 1
    shown = capsys.readouterr().out
    assert "incomplete: 1 of 4 episodes" in shown
    assert (
        "to go on: okrt run --tier=micro --seeds=2 --shard=2/2 --max-tokens=1 --resume a" in shown
    )
    assert len(run_json(here / "a")["not_run"]) == 3
    assert cli.main(["run", *SMALL, "--resume=a"]) == 2
    assert "it holds shard 2/2: give --shard 2/2" in capsys.readouterr().err
    assert cli.main([*words, "--resume=a"]) == 0
    assert (run_json(here / "a")["shard"], run_json(here / "a")["not_run"]) == ("2/2", [])
    assert len(rows(here / "a")) == 4


def test_joined_without_a_shard_it_is_incomplete_whatever_is_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four cases, of two models under two runtimes; those of the second shard are missing."""
    for shard in ("1/3", "3/3"):
        assert (
            cli.main(["run", "--tier=micro", "--seeds=1", f"--shard={shard}", f"--out={shard[0]}"])
            == 0
        )
    assert cli.main(["merge", "1", "3", "--out=joined"]) == 1
    there = ("--model=expert:persistent", "--runtime=persistent", "--tier=micro", "--seeds=1")
    assert cli.main(["run", *there, "--resume=joined"]) == 1
    assert not run_json(here / "joined")["complete"]
    assert "incomplete" in capsys.readouterr().out.splitlines()[-5]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out=a", "--resume=a"), "a run goes on in its own directory"),
        (("--out=held",), "held holds a run: go on in it with --okrt-resume"),
        (("--seeds=0",), "seeds '0' is an empty range"),
        (("--family=nosuch",), "unknown family 'nosuch'"),
        (("--tier=nosuch",), "unknown tier 'nosuch' of opaque_knapsack"),
        (("--model=nosuch",), "unknown model 'nosuch'"),
    ],
)
def test_a_wrong_value_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    (here / "held").mkdir()
    (here / "held" / "run.json").write_text("{}")
    assert cli.main(["run", *words]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_what_a_model_lacks_is_said_once_and_makes_the_run_incomplete(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "lacking.py").write_text(
        "from okrt.errors import ModelFailure\n"
        "def talk(conversation):\n    raise ModelFailure('server gone')\n"
    )
    assert cli.main(["run", *SMALL, "--model=lacking:talk", "--out=a"]) == 1
    shown = capsys.readouterr().out
    assert "incomplete: 0 of 4 episodes, 4 broken off by infrastructure" in shown
    (here / "lacking.py").write_text("def talk(conversation):\n    return 'no code'\n")
    sys.modules.pop("lacking")
    words = ["run", *SMALL, "--max-turns=40", "--model=lacking:talk", "--resume=a"]
    assert cli.main(words) == 0
    sys.modules.pop("lacking")
    assert all(row["failure"] is None for row in rows(here / "a"))


def test_no_model_is_loaded_once_the_session_is_over(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the second nothing is asked; its cases are not run, and that is all."""
    (here / "late.py").write_text(
        "import sys\n"
        "def talk(conversation):\n    return '```python\\nfinish()\\n```'\n"
        "class Loaded:\n"
        "    name = 'loaded'\n"
        "    def generate(self, conversations):\n        raise AssertionError\n"
        "    @property\n"
        "    def concurrency(self):\n        raise AssertionError('asked after the end')\n"
        "LATE = Loaded()\n"
    )
    models = ("--model=late:talk", "--model=late:LATE", "--runtime=stateless")
    assert cli.main(["run", *SMALL, *models, "--out=a", "--max-tokens=1"]) == 1
    shown = capsys.readouterr()
    assert "asked after the end" not in shown.err
    assert len(run_json(here / "a")["not_run"]) == 3
    sys.modules.pop("late")


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_keeps_what_finished_and_says_how_to_go_on(
    here: Path, number: signal.Signals, status: int, word: str
) -> None:
    command = [sys.executable, "-m", "okrt.cli", "run", "--tier=micro", "--okrt-out=a b"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=hear_interrupts,
    )
    file = here / "a b" / "episodes.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (file.exists() and file.read_bytes().count(b"\n")):
        time.sleep(0.02)
    process.send_signal(number)
    shown, said = process.communicate(timeout=60)
    assert process.returncode == status
    held = file.read_bytes().count(b"\n")
    assert f"incomplete: {held} of 400 episodes" in shown
    assert said == (
        f"okrt: {word}; what was finished is kept, to go on: okrt run --tier=micro --resume 'a b'\n"
    )
    assert len(rows(here / "a b")) == held


def test_an_interrupt_between_an_episode_and_its_row_loses_neither(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Episode] = []

    def interrupted(episode: Episode) -> Row:
        calls.append(episode)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return row(episode)

    monkeypatch.setattr(record, "row", interrupted)
    assert cli.main(["run", *SMALL, "--out=a"]) == 130
    held = (here / "a" / "episodes.jsonl").read_bytes().count(b"\n")
    assert held == len(rows(here / "a")) == 2


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["pytest", "evals", "--okrt-out", "x", "-q"], "pytest evals -q --okrt-resume r"),
        (["pytest", "--okrt-resume=x", "-k", "a b"], "pytest -k 'a b' --okrt-resume r"),
        (["okrt", "run", "--out=x", "--resume", "x"], "okrt run --resume r"),
        (
            ["okrt", "run", "--model=m@http://u:secret@host/v1"],
            "okrt run --model=m@http://host/v1 --resume r",
        ),
    ],
)
def test_the_command_that_goes_on_is_the_same_but_for_the_place(
    command: list[str], told: str
) -> None:
    assert going_on(command, Path.cwd() / "r") == told
