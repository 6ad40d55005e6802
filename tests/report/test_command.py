"""`okrt report` and `okrt show`: JSON, colours at a terminal, which episode is meant, bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.analysis.cells import tables
from okrt.analysis.rows import row
from okrt.cli import main
from okrt.plan import case_id, key_of
from okrt.report.transcript import transcript
from okrt.store import EPISODES, RUN, RunDirectory, decode_episode, read_episodes
from okrt.types import Episode, Failure, ModelCard, Outcome
from tests.analysis.build import CARD, TASK, episode, sample, turn
from tests.report.test_colour import unpaint
from tests.terminal import terminal

MODEL = ModelCard("tuned", "dir/tuned", "local", "d1", "persistent", "t1")


def saved(path: Path, episodes: Sequence[Episode], run: dict[str, Any] | None = None) -> Path:
    with RunDirectory.create(path, {"created": "2026", "complete": True, **(run or {})}) as to:
        for one in episodes:
            to.append(one)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two tasks, the second played twice, in two runtimes; hostile throughout."""
    hostile = turn(None, reply="\x9b31m\u202eturn 9: 1 tokens read")
    found = [replace(sample(), id="aa01")]
    for number, (seed, repeat) in enumerate([(18, 0), (18, 1)]):
        one = episode(hostile, id=f"ab0{number}", contract="persistent", repeat=repeat)
        found.append(replace(one, task=replace(TASK, seed=seed)))
    return saved(tmp_path / "run", found)


def at_terminal(*words: str, columns: int = 70) -> str:
    with pytest.MonkeyPatch.context() as patch, terminal(columns) as (stream, written):
        patch.setenv("TERM", "xterm")
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "__stdout__", stream)  # whose size shutil asks for
        assert main(list(words)) == 0
    return written[0]


@pytest.mark.parametrize("command", ["report", "show"])
def test_at_a_terminal_there_is_colour_and_lines_fit(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = [command, str(run), *(["aa01"] if command == "show" else [])]
    assert main(words) == 0
    piped = capsys.readouterr().out
    assert "\x1b" not in piped
    shown = at_terminal(*words)
    assert max(len(line) for line in unpaint(shown).splitlines()) <= 70
    assert "\x1b[1m" in shown
    assert "\x1b[1;35m" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(words) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_piped_a_transcript_is_not_broken_and_forced_colours_are_all_that_differs(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(run), "aa01"]) == 0
    piped = capsys.readouterr().out
    assert piped == transcript(replace(sample(), id="aa01"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["show", str(run), "aa01"]) == 0
    assert "\x1b[36m" in capsys.readouterr().out


def test_report_json_gives_every_figure_with_its_interval(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["episodes"], found["failures"]) == (1, 3, 0)
    assert found["complete"] is True
    (table,) = found["tables"]
    assert (table["family"], table["tier"], table["self_check"]) == (TASK.family, "easy", True)
    (made,) = tables(row(one) for one in read_episodes(run) if isinstance(one, Episode))
    assert len(table["cells"]) == len(made.cells)
    for shown, cell in zip(table["cells"], made.cells.values(), strict=True):
        assert shown["at_least"] == cell.at_least
        assert shown["trained_under"] == "persistent"
        whole = {name: shown[name] for name in msgspec.to_builtins(cell)}
        assert whole == msgspec.to_builtins(cell)
    assert (run / "rows.jsonl").is_file()


def test_show_json_is_the_episode_and_steers_no_terminal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(run), "ab00", "--json"]) == 0
    shown = capsys.readouterr().out
    (wanted,) = (one for one in read_episodes(run) if isinstance(one, Episode) and one.id == "ab00")
    assert decode_episode(shown.encode()) == wanted
    assert "\u202e" not in shown
    assert "\x9b" not in shown


def test_a_case_is_named_one_way() -> None:
    key = key_of(replace(sample(), repeat=1))
    assert case_id(key) == "expert:persistent-stateless-easy-17"
    assert case_id(key, repeats=True) == "expert:persistent-stateless-easy-17-r2"


@pytest.mark.parametrize(
    ("wanted", "id"),
    [
        ("aa01", "aa01"),
        ("aa", "aa01"),
        ("expert:persistent-stateless-easy-17", "aa01"),
        ("expert:persistent-st", "aa01"),
        ("expert:persistent-persistent-easy-18-r2", "ab01"),
    ],
)
def test_an_episode_is_found_by_its_id_its_case_or_the_start_of_either(
    run: Path, capsys: pytest.CaptureFixture[str], wanted: str, id: str
) -> None:
    assert main(["show", str(run), wanted]) == 0
    assert capsys.readouterr().out.startswith(f"episode   {id}\n")


def test_a_case_id_is_not_taken_for_the_start_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [replace(TASK, seed=seed) for seed in (1, 10)]
    run = saved(
        tmp_path / "run", [episode(turn(), id=f"b{t.seed}", task=t, contract="c") for t in tasks]
    )
    assert main(["show", str(run), "expert:persistent-c-easy-1"]) == 0
    assert capsys.readouterr().out.startswith("episode   b1\n")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("ab", "'ab' is the start of 2 episodes: expert:persistent-persistent-easy-18-r1 (ab00), "),
        ("expert:persistent-persistent-easy-18", "names 2 episodes: expert:"),
    ],
)
def test_where_several_are_meant_they_are_named_by_case(
    run: Path, capsys: pytest.CaptureFixture[str], wanted: str, said: str
) -> None:
    assert main(["show", str(run), wanted]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "expert:persistent-persistent-easy-18-r2 (ab01)" in told
    assert told.count("\n") == 1


def test_of_many_that_are_meant_some_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = replace(CARD, label="y" * 10_000)
    some = [
        episode(turn(), id=f"{seed:02}" + "z" * 10_000, task=replace(TASK, seed=seed), model=model)
        for seed in range(14)
    ]
    run = saved(tmp_path / "run", some)
    assert main(["show", str(run), ""]) == 2
    told = capsys.readouterr().err
    assert told.endswith(", 4 more\n")
    assert len(told) < 3_000
    assert main(["show", str(run), "00"]) == 0
    assert main(["report", str(run)]) == 0


def failed(**changes: Any) -> Episode:
    return episode(failure=Failure("model", "TimeoutError", "no answer"), model=MODEL, **changes)


NOTHING = episode(
    turn(None, tokens=(None, None)), model=replace(MODEL, digest=None),
    outcome=Outcome(0.5, False, {}),
)  # fmt: skip
"""Whatever can be unknown is."""


@pytest.mark.parametrize(
    ("episodes", "said"),
    [
        ([], "no episodes\n"),
        ([NOTHING], "1 task ("),
        ([failed()], "Infrastructure failures: 1 episode, never scored"),
    ],
    ids=["empty", "nothing known", "only failures"],
)
def test_a_run_of_little_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], episodes: list[Episode], said: str
) -> None:
    run = saved(tmp_path / "run", episodes)
    if not episodes:
        (run / EPISODES).touch()
    assert main(["report", str(run)]) == 0
    assert said in capsys.readouterr().out
    assert main(["report", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == len(episodes)


@pytest.mark.parametrize(
    "words", [["report"], ["report", "--json"], ["show", "aa01"], ["table"], ["card"]]
)
def test_a_run_of_an_unknown_schema_is_refused_in_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (run / RUN).write_text('{"schema": 7}')
    assert main([words[0], str(run), *words[1:]]) == 2
    shown = capsys.readouterr()
    assert f"{RUN}: schema 7 is unknown to this version of okrt (knows 1)" in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")
