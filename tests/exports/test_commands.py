"""`okrt table` and `okrt card` on runs as they lie on disk, good and bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from okrt.analysis.rows import encode, row
from okrt.cli import main
from okrt.store import EPISODES, ROWS, write_rows, write_run
from okrt.types import Episode
from tests.analysis.build import TASK, episode, sample, turn
from tests.report.test_command import MODEL, NOTHING, failed, saved


def played() -> list[Episode]:
    found = []
    for number, contract in enumerate(("persistent", "stateless")):
        for seed in range(3):
            one = replace(sample(), id=f"a{number}{seed}", contract=contract, model=MODEL)
            found.append(replace(one, task=replace(TASK, seed=seed)))
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return saved(tmp_path / "run", played(), {"arguments": ["evals"], "manifest": {}})


def test_a_table_of_a_tier_goes_to_a_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("latex", "markdown", "csv"):
        file = run / f"table.{name}"
        assert (
            main(["table", str(run), "--format", name, "--tier", "easy", "--out", str(file)]) == 0
        )
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == ("", f"okrt: wrote {file}\n")
        assert main(["table", str(run), "--format", name]) == 0
        assert capsys.readouterr().out == file.read_text()
        assert "tuned" in file.read_text()


def test_a_card_goes_to_a_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(run), "--out", str(run / "FIT.md")]) == 0
    capsys.readouterr()
    assert main(["card", str(run), "--model", "tuned"]) == 0
    shown = capsys.readouterr().out
    assert shown == (run / "FIT.md").read_text()
    assert "\n$ pytest evals\n" in shown
    assert "persistent (declared)" in shown


@pytest.mark.parametrize("command", ["table", "card"])
def test_a_baseline_without_its_episodes_will_do(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    baseline = tmp_path / "baseline"
    baseline.mkdir()
    write_run(baseline, {"created": "2026", "complete": True, "arguments": ["evals"]})
    write_rows(baseline, (encode(row(one)) for one in played()))
    assert main([command, str(baseline)]) == 0
    saved_one = capsys.readouterr().out
    assert main([command, str(run)]) == 0
    assert capsys.readouterr().out == saved_one


@pytest.mark.parametrize("command", ["table", "card"])
def test_episodes_go_before_rows_and_a_damaged_line_is_named(
    run: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (run / ROWS).write_text("never read\n")
    first, *others = (run / EPISODES).read_bytes().splitlines(keepends=True)
    (run / EPISODES).write_bytes(b"".join([first, b"garbage\n", *others]))
    assert main([command, str(run)]) == 1
    shown = capsys.readouterr()
    assert f"{EPISODES}:2" in shown.err
    assert "tuned" in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table", "{run}", "--tier", "nosuch"], "has nothing of tier 'nosuch': it has easy"),
        (["table", "{run}", "--out", "/dev/null/x"], "cannot write /dev/null/x"),
        (["card", "{run}", "--out", "/dev/null/x"], "cannot write /dev/null/x"),
        (["card", "{run}", "--model", "nosuch"], "no model 'nosuch' here: there is tuned"),
        (["table", "nosuch"], "nosuch is no run directory"),
        (["card", "nosuch"], "nosuch is no run directory"),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main([word.format(run=run) for word in words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")


def test_a_damaged_verdict_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "gates.json").write_text("[")
    assert main(["card", str(run)]) == 2
    assert "gates.json is damaged" in capsys.readouterr().err
    (run / "gates.json").write_text('{"verdict": "pass", "words": "all well", "file": "mine"}')
    assert main(["card", str(run)]) == 0
    assert "- gates (mine): pass: all well\n" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["latex", "markdown", "csv"])
@pytest.mark.parametrize("kind", ["empty", "failures", "nothing known", "long"])
def test_a_run_of_little_has_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, kind: str
) -> None:
    long = episode(turn(), id="z" * 10_000, model=replace(MODEL, label="y" * 10_000))
    episodes = {
        "empty": [], "failures": [failed()], "nothing known": [NOTHING], "long": [long],
    }[kind]  # fmt: skip
    run = saved(tmp_path / "run", episodes)
    (run / EPISODES).touch()
    assert main(["table", str(run), "--format", form]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("episodes", "status", "said"),
    [
        ([], 2, "no episodes: there is nothing to say"),
        ([failed()], 2, "nothing to say of tuned: infrastructure broke off every episode (1)"),
        ([NOTHING], 0, "| total tokens | - |"),
    ],
    ids=["empty", "failures", "nothing known"],
)
def test_a_run_of_little_has_a_card_or_a_reason(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    episodes: list[Episode],
    status: int,
    said: str,
) -> None:
    run = saved(tmp_path / "run", episodes)
    (run / EPISODES).touch()
    assert main(["card", str(run)]) == status
    shown = capsys.readouterr()
    assert said in (shown.out if status == 0 else shown.err)


@pytest.mark.parametrize("command", ["table", "card"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"okrt {command}" in capsys.readouterr().out.partition("example:")[2]
