"""`okrt baseline` and `okrt compare`: what they print, and what they say to a mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.baselines.saved import FOLDER
from okrt.cli import main
from okrt.store import EPISODES, ROWS
from okrt.types import Episode, Outcome, Settings
from tests.test_merge import EPISODES_OF_ALL, part

Captured = pytest.CaptureFixture[str]


def worse(one: Episode) -> Episode:
    return replace(one, id=f"{one.id[:-1]}x", outcome=Outcome(0.0, False))


def better(one: Episode) -> Episode:
    return replace(one, outcome=Outcome(0.5 + one.task.seed / 100, True))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run `old`, and a run `new` that did worse on one task."""
    monkeypatch.chdir(tmp_path)
    old = [better(one) for one in EPISODES_OF_ALL]
    part(tmp_path / "old", old)
    part(tmp_path / "new", [*old[:-1], worse(old[-1])])
    return tmp_path


def told(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_save_says_what_it_saved_and_list_what_there_is(runs: Path, capsys: Captured) -> None:
    status, said, _ = told(capsys, "baseline", "save", "old", "release-1")
    assert status == 0
    assert said.startswith(f"saved {FOLDER}/release-1, ")
    assert "digest " in said
    assert "8 episodes" in said
    assert "m, persistent, counting/low: 8 tasks" in said
    assert "okrt compare RUN release-1" in said
    status, listed, _ = told(capsys, "baseline", "list")
    assert status == 0
    assert listed.splitlines()[0] == ("release-1: " + said.splitlines()[0].split(": ", 1)[1])


def test_saving_a_run_of_several_values_warns_that_it_is_never_compared(
    runs: Path, capsys: Captured
) -> None:
    swept = [
        replace(one, settings=replace(one.settings, tool_cap=cap))
        for one, cap in zip(EPISODES_OF_ALL, [3, 6] * 4, strict=True)
    ]
    settings = msgspec.to_builtins(Settings(tool_cap=3))
    part(runs / "swept", swept, settings=settings, axes={"tool_cap": [3, 6]})
    status, said, errors = told(capsys, "baseline", "save", "swept", "a")
    assert status == 0
    assert "to compare" not in said
    assert errors == (
        "okrt: warning: swept holds several values of tool_cap (cap3, cap6): nothing can be "
        "compared with it; save a run of one\n"
    )


def test_list_says_that_there_is_none_and_which_is_damaged(runs: Path, capsys: Captured) -> None:
    status, said, _ = told(capsys, "baseline", "list")
    assert (status, "okrt baseline save RUN NAME" in said) == (0, True)
    main(["baseline", "save", "old", "a", "--in", "kept"])
    (Path("kept") / FOLDER / "a" / ROWS).write_text("{}\n")
    capsys.readouterr()
    status, said, _ = told(capsys, "baseline", "list", "--in", "kept")
    assert status == 1
    assert said.startswith("a: ")
    assert "not a row" in said


def test_compare_shows_the_command_that_shows_the_worst_task(runs: Path, capsys: Captured) -> None:
    main(["baseline", "save", "old", "release-1"])
    capsys.readouterr()
    status, said, errors = told(capsys, "compare", "new", "release-1")
    assert (status, errors) == (0, "")
    assert "transcripts and outcomes identical in 7 of 8" in said  # of one the outcome is another
    assert "solved in base, not or less often in new: 1 (seed 7)" in said
    (command,) = [line.strip() for line in said.splitlines() if "okrt show" in line]
    assert main(command.split()[1:]) == 0
    assert "counting/low/eval/7@1" in capsys.readouterr().out


def test_it_needs_no_transcripts_of_the_baseline_and_shows_those_it_has(
    runs: Path, capsys: Captured
) -> None:
    main(["baseline", "save", "old", "a", "--transcripts"])
    capsys.readouterr()
    _, said, _ = told(capsys, "compare", "new", "a")
    commands = [line.strip() for line in said.splitlines() if "okrt show" in line]
    assert [command.split()[2] for command in commands] == ["new", f"{FOLDER}/a"]
    for command in commands:
        assert main(command.split()[1:]) == 0


def test_as_json(runs: Path, capsys: Captured) -> None:
    status, said, _ = told(capsys, "compare", "new", "old", "--json", "--margin", "score=0.3")
    made = json.loads(said)
    assert status == 0
    assert made["cells"][0]["changes"]["worst_score"][0]["seed"] == 7
    assert made["cells"][0]["figures"][0]["margin"] == 0.3
    assert made["new"]["transcripts"]


@pytest.mark.parametrize("as_json", [False, True])
def test_other_settings_are_refused_with_4_and_the_diff(
    as_json: bool, runs: Path, capsys: Captured
) -> None:
    settings = {**msgspec.to_builtins(Settings()), "max_new_tokens": 8}
    part(runs / "other", EPISODES_OF_ALL[:6], settings=settings)
    status, said, errors = told(capsys, "compare", "other", "old", *(["--json"] * as_json))
    assert status == 4
    lines = [
        "max_new_tokens: 8 here, 2048 in the baseline",
        "persistent, counting/low: tasks: 2 (counting/low/eval/6@1, counting/low/eval/7@1) of the "
        "baseline missing here",
    ]
    assert errors.splitlines()[0] == "okrt: other and old cannot be compared:"
    assert [line.strip() for line in errors.splitlines()[1:3]] == lines
    assert (json.loads(said)["differences"] if as_json else said) == (lines if as_json else "")


def test_damaged_lines_are_said(runs: Path, capsys: Captured) -> None:
    lines = (runs / "new" / EPISODES).read_bytes().splitlines(keepends=True)
    (runs / "new" / EPISODES).write_bytes(b"".join([*lines[:2], b"{}\n", *lines[3:]]))
    status, _, errors = told(capsys, "compare", "new", "old")
    assert status == 4
    assert f"{EPISODES}:3" in errors
    assert "1 (counting/low/eval/2@1) of the baseline missing here" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "new", "nosuch"], "'nosuch' is no run directory and no saved baseline"),
        (["compare", "nosuch", "new"], "okrt baseline save RUN nosuch"),
        (["compare", "new", "old", "--runtime", "x"], "--runtime 'x': new has persistent"),
        (["compare", "new", "old", "--tier", "x"], "--tier 'x': new has low"),
        (["compare", "new", "old", "--model", "x"], "--model 'x': new has m"),
        (["compare", "new", "old", "--base-model", "x"], "--base-model 'x': old has m"),
        (["compare", "new", "old", "--margin", "score"], "is no number"),
        (["baseline", "save", "nosuch", "a"], "nosuch is no run directory"),
        (["baseline", "save", "new", "a/b"], "'a/b' is no name for a baseline"),
        (["baseline", "save", "new", "a", "--in", "/dev/null"], "cannot write"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, runs: Path, capsys: Captured
) -> None:
    status, said, errors = told(capsys, *arguments)
    assert (status, said) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", [["baseline"], ["compare"]])
def test_help_ends_in_an_example(command: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    shown: Any = capsys.readouterr().out
    assert "example:" in shown
