"""The command: real blocks in the sandbox, and what a user sees."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from okrt.cli import main as okrt_command
from okrt.store import EPISODES, read_episodes
from okrt.types import Conversation, Episode
from tests.signals import hear_interrupts
from tests.toys import block
from training.collect import Progress, main
from training.dataset import read_pairs
from training.filters import is_error
from training.traces import COLLECT, CONTRACTS, read_record

ROOT = Path(__file__).parents[2]
MICRO = ["--tier", "micro", "--pairs", "5"]


def collect(folder: Path, *more: str) -> int:
    return main([*MICRO, "--out", str(folder), *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces") / "t"
    assert collect(folder) == 0
    return folder


def episodes(path: Path) -> list[Episode]:
    return [one for one in read_episodes(path) if isinstance(one, Episode)]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that ends with status 2."""
    assert main(list(arguments)) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    return error


def test_pairs_of_experts_in_the_idiom_of_each_contract(folder: Path) -> None:
    pairs = read_pairs(folder)
    assert len(pairs) == 5
    settings = pairs.settings
    assert settings.models["persistent"].spec == "expert:persistent,variety=0"
    assert settings.models["stateless"].spec == "expert:stateless,variety=0"
    assert (settings.arm, settings.variety, settings.tier) == ("none", 0, "micro")
    for one, other in zip(pairs.persistent, pairs.stateless, strict=True):
        assert one.task == other.task
        assert one.task.split == "train"
        assert one.trajectory != other.trajectory
        assert one.outcome == other.outcome  # they play alike


def test_the_record_says_how_and_what(folder: Path) -> None:
    record = json.loads((folder / COLLECT).read_text())
    assert record["schema"] == 1
    assert record["arguments"][:4] == MICRO
    assert set(record["versions"]) >= {"okrt", "python", "msgspec"}
    assert record["pairs"] == record["survey"]["accepted"] == 5
    assert record["survey"]["complete"] is True
    assert record["survey"]["digest"].startswith("sha256:")
    assert record["survey"]["accepted_tasks"]["n"] == 5


def test_each_run_directory_can_be_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(folder / "stateless", tmp_path / "run")
    assert okrt_command(["report", str(copy)]) == 0
    assert "opaque_knapsack/micro" in capsys.readouterr().out


def test_refused_and_accepted_tasks_are_compared(tmp_path: Path) -> None:
    assert collect(tmp_path / "t", "--min-score", "0.95") == 0
    survey = read_record(tmp_path / "t").survey
    assert len(survey.refused) == survey.tried - 5 > 0
    assert survey.refusals["persistent"]["score"] == len(survey.refused)
    played = {e.task.id: e for e in episodes(tmp_path / "t" / "persistent")}
    for told, out in ((survey.accepted_tasks, False), (survey.refused_tasks, True)):
        items = [
            len(e.task.private["items"])
            for id, e in played.items()
            if (id in survey.refused) is out
        ]
        assert told.n == len(items)
        assert told.means["items"] == pytest.approx(sum(items) / len(items))
        assert all(told.means[name] for name in ("budget", "floor_score", "reference_score"))


@pytest.mark.parametrize("arm", ["errors", "rebuild", "cut"])
def test_the_arms_hold_one_slip_in_some_episodes(tmp_path: Path, arm: str) -> None:
    assert collect(tmp_path / "t", "--arm", arm, "--pairs", "12") == 0
    record = read_record(tmp_path / "t")
    assert record.settings.filters.error_turns == 1
    assert not record.survey.refusals["persistent"]["errors"]
    slips = {
        name: sum(
            any(map(is_error, e.trajectory.turns))
            for e in episodes(tmp_path / "t" / name)
            if e.trajectory
        )
        for name in CONTRACTS
    }
    assert 0 < slips["persistent"] < 12
    assert slips["persistent"] == slips["stateless"]


def test_a_val_folder_is_of_other_tasks_and_read_on_purpose(tmp_path: Path, folder: Path) -> None:
    assert collect(tmp_path / "t", "--split", "val", "--pairs", "2") == 0
    val, train = read_pairs(tmp_path / "t", "val"), read_pairs(folder)
    assert {e.task.split for e in val.persistent} == {"val"}
    assert not {e.task.prompt for e in val.stateless} & {e.task.prompt for e in train.stateless}


def steps(conversation: Conversation) -> str:
    """Plays any knapsack blindly, in both runtimes alike, whatever the cap."""
    seen = len(conversation.messages) // 2
    return "I take.\n" + block(
        "import json",
        f"for item in json.loads(list_items())[{5 * seen}:{5 * seen + 5}]:",
        "    try:",
        "        print(take_item(item))",
        "    except ToolError as error:",
        "        print(error)",
        *(["finish()"] if seen == 2 else []),
    )


def broken(conversation: Conversation) -> str:
    raise ConnectionError("no route to host")


def test_one_model_may_play_both_contracts(tmp_path: Path) -> None:
    spec = "tests.training.test_collect:steps"
    assert collect(tmp_path / "t", "--model", spec, "--cue", "true", "--temperature", "0.7") == 0
    settings = read_pairs(tmp_path / "t").settings
    assert settings.arm is None
    assert settings.variety is None
    assert settings.models["persistent"] == settings.models["stateless"]
    assert (settings.episode.cue, settings.episode.temperature) == ("true", 0.7)


def test_a_model_that_is_gone_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = "tests.training.test_collect:broken"
    assert collect(tmp_path / "t", "--model", spec) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "model failed on opaque_knapsack/micro/train/0@1" in error
    assert "the same command goes on" in error


def test_too_few_pairs_is_one_line_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--min-score", "1", "--max-tries", "4"]
    assert collect(tmp_path / "t", *arguments) == 1
    assert "of 5 pairs passed the filters in 4 tasks: give a larger" in capsys.readouterr().err


def test_the_filters_that_refused_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "t"
    assert collect(folder, "--max-tokens", "100", "--max-tries", "2") == 1
    assert capsys.readouterr().out == (
        f"{folder}: 0 pairs of 2 tasks, 2 refused (persistent: window 2; stateless: window 2)\n"
    )
    folder = tmp_path / "whole"
    assert collect(folder) == 0
    digest = read_record(folder).survey.digest
    assert capsys.readouterr().out == (
        f"{folder}: 5 pairs of 5 tasks, 0 refused; digest {digest}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--split", "eval"], "evaluation tasks never enter training"),
        (["--tier", "nope"], "unknown tier 'nope' of opaque_knapsack; known: micro"),
        (["--family", "nope"], "unknown family 'nope'"),
        (["--model", "nope"], "unknown model 'nope'"),
        (["--model", "expert:stateless", "--arm", "errors"], "leave them out beside --model"),
        (["--model", "expert:stateless", "--variety", "1"], "leave them out beside --model"),
        (["--tokenizer", "nope"], "nope: no such directory"),
        (["--tokenizer", "."], ".: no tokenizer can be loaded from it"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    folder = tmp_path / "t"
    assert told in complaint(capsys, *MICRO, "--out", str(folder), *arguments)
    assert not folder.exists()


@pytest.mark.parametrize("missing", ["tier", "pairs"])
def test_what_is_needed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    place = MICRO.index(f"--{missing}")
    rest = MICRO[:place] + MICRO[place + 2 :]
    assert f"--{missing} is needed" in complaint(capsys, *rest, "--out", str(tmp_path / "t"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pairs", "0"],
        ["--pairs", "many"],
        ["--first-seed", "-1"],
        ["--variety", "some"],
        ["--min-score", "1.5"],
        ["--max-error-share", "nan"],
        ["--temperature", "-1"],
        ["--in-flight", "0"],
        ["--stats", "x"],
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*MICRO, "--out", str(tmp_path / "t"), *arguments])
    assert stop.value.code == 2
    assert not (tmp_path / "t").exists()


def test_what_repeats_itself_by_design_is_kept_if_asked_for(tmp_path: Path) -> None:
    """The right block of the control is the same each turn."""
    control = ["--family", "lookup_control", "--tier", "micro", "--pairs", "1", "--max-tries", "1"]
    assert main([*control, "--out", str(tmp_path / "refused")]) == 1
    refused = read_record(tmp_path / "refused").survey.refusals
    assert {reasons["loop"] for reasons in refused.values()} == {1}
    assert main([*control, "--keep-loops", "--out", str(tmp_path / "kept")]) == 0
    assert not read_record(tmp_path / "kept").settings.filters.refuse_loops
    assert len(read_pairs(tmp_path / "kept")) == 1


def test_a_cap_of_ones_own_is_told_and_held(tmp_path: Path) -> None:
    capped = ["--tier", "micro", "--pairs", "1", "--tool-cap", "4", "--out", str(tmp_path / "t")]
    assert main(capped) == 0
    pairs = read_pairs(tmp_path / "t")
    assert pairs.settings.episode.tool_cap == 4
    (trajectory,) = [one.trajectory for one in pairs.persistent]
    assert trajectory is not None
    assert "at most 4 tool calls" in trajectory.prompt
    assert max(len(one.execution.calls) for one in trajectory.turns if one.execution) <= 4


def test_other_settings_and_other_folders(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [*MICRO, "--out", str(folder)]
    assert "arm = 'none', not 'errors'" in complaint(capsys, *again, "--arm", "errors")
    assert "variety = 0, not 3" in complaint(capsys, *again, "--variety", "3")
    assert "tier = 'micro', not 'easy'" in complaint(capsys, *again, "--tier", "easy")
    (tmp_path / "mine").write_text("")
    assert "not empty" in complaint(capsys, *MICRO, "--out", str(tmp_path))
    assert "is a file" in complaint(capsys, *MICRO, "--out", str(tmp_path / "mine"))
    assert main(again) == 0  # untouched


def start(folder: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, with more to do than it is given time for."""
    return subprocess.Popen(
        [sys.executable, "-m", "training.collect", *MICRO, "--pairs", "900", "--out", str(folder)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )


def wait_for_lines(folder: Path, count: int) -> None:
    """Waits for so many stateless episodes: both directories are being filled by then."""
    file = folder / "stateless" / EPISODES
    for _ in range(12_000):
        if file.exists() and file.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise TimeoutError(f"no {count} episodes in {folder}")


def test_it_goes_on_after_sigint_and_sigkill(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    first = start(folder)
    wait_for_lines(folder, 2)
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=60)
    assert first.returncode == 130
    assert error.splitlines()[-1] == "collect: interrupted; the same command goes on"
    reached = len(episodes(folder / "stateless"))
    assert read_record(folder).survey.tried >= 1

    second = start(folder)
    wait_for_lines(folder, reached + 2)
    second.kill()
    second.communicate(timeout=60)
    assert not read_record(folder).survey.complete

    wanted = len(episodes(folder / "stateless")) + 3
    assert collect(folder, "--pairs", str(wanted)) == 0
    for name in CONTRACTS:
        found = sorted(e.task.seed for e in episodes(folder / name))
        assert found == list(range(len(found)))
    assert len(read_pairs(folder)) == wanted


def test_a_disk_that_is_full_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """The limit on the size of a file stands in for the disk's."""
    folder = tmp_path / "t"

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    found = subprocess.run(
        [sys.executable, "-m", "training.collect", *MICRO, "--pairs", "9", "--out", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
    )
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "cannot write" in found.stderr
    assert collect(folder, "--pairs", "9") == 0
    assert len(read_pairs(folder)) == 9


class Screen(StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_rewrites_one_line_or_writes_a_few(terminal: bool) -> None:
    now = 0.0
    screen = Screen(terminal)
    progress = Progress(4000, screen, lambda: now)
    for done in range(1, 601):
        now += 0.1
        progress(done // 2, 1000 + done)
    progress.end()
    text = screen.getvalue()
    assert "100/4000 pairs" in text or not terminal
    assert "10.0/s" in text
    assert text.count("\n") == (0 if terminal else 2)
    assert text.endswith("\r\x1b[K" if terminal else "/s\n")


def test_help_ends_in_an_example_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    *_, first, second = capsys.readouterr().out.splitlines()
    monkeypatch.chdir(tmp_path)
    for command in (first, second):
        words: list[Any] = command.split()
        assert words[:3] == ["python", "-m", "training.collect"]
        assert main(words[3:]) == 0
    assert "optimality" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["traces"]  # noqa: PTH208  names alone
