"""`okrt export`: what it refuses, what it leaves behind, and what it says."""

from __future__ import annotations

import builtins
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from okrt.cli import main
from okrt.exports import command
from okrt.exports.source import open_source
from okrt.store import EPISODES, ROWS
from okrt.types import Failure
from tests.analysis.build import TASK, episode
from tests.exports.conftest import made, write

FORMATS = tuple(command.FORMATS)


def export(run: Path, to: str, out: Path, *more: str) -> int:
    return main(["export", str(run), "--to", to, "--out", str(out), *more])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a command that is to fail; returns its one line."""
    assert main(["export", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize("to", FORMATS)
def test_a_target_that_is_taken_is_refused_and_left_as_it_is(
    run: Path, tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = command.FORMATS[to].folder
    out = tmp_path / "out"
    if folder:
        out.mkdir()
        (out / "kept").write_text("mine")
        assert "is not empty" in refused(capsys, str(run), "--to", to, "--out", str(out))
        assert [path.name for path in out.iterdir()] == ["kept"]
    out = tmp_path / "file"
    out.write_text("mine")
    assert "is there already" in refused(capsys, str(run), "--to", to, "--out", str(out))
    assert out.read_text() == "mine"
    if not folder:
        said = refused(capsys, str(run), "--to", to, "--out", str(tmp_path))
        assert "is a folder: name the file" in said


def test_an_empty_folder_is_taken_and_folders_above_are_made(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert export(run, "inspect", tmp_path / "empty") == 0
    assert len(list((tmp_path / "empty").glob("*.eval"))) == 4
    assert export(run, "csv", tmp_path / "a" / "b" / "rows.csv") == 0


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_half_written_is_left(
    run: Path, tmp_path: Path, to: str, error: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write = importlib.import_module(command.FORMATS[to].module).write

    def interrupted(entries: Any, path: Path, *rest: Any) -> None:
        write(entries, path, *rest)
        assert path.exists()
        raise error

    monkeypatch.setattr(command, "_write", lambda wanted: interrupted)
    status = export(run, to, tmp_path / "out")
    assert status == (130 if error is KeyboardInterrupt else 2)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err.count("\n") == 1


def test_without_pyarrow_a_line_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")
        return imported(name, *arguments, **options)

    for module in [m for m in sys.modules if m.startswith(("okrt.exports.parquet", "pyarrow"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    out = str(tmp_path / "out")
    assert "pip install 'okrt[export]'" in refused(
        capsys, str(run), "--to", "parquet", "--out", out
    )
    assert export(run, "csv", tmp_path / "out") == 0


def test_a_run_that_holds_nothing_is_said_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--to", "csv", "--out", str(tmp_path / "out"))
    assert "is no run directory" in refused(capsys, str(tmp_path), *out)
    assert "is no run directory" in refused(capsys, str(tmp_path / "nosuch"), *out)
    run = write(tmp_path / "run", [])
    assert "holds no episode" in refused(capsys, str(run), *out)
    (run / "run.json").write_text('{"schema": 7}')
    assert "schema 7 is unknown" in refused(capsys, str(run), *out)


@pytest.mark.parametrize("to", FORMATS)
def test_damaged_lines_are_named_the_rest_exported_and_the_exit_is_1(
    tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", made())
    content = (run / EPISODES).read_bytes().splitlines(keepends=True)
    content[1] = b'{"schema":9' + content[1][len(b'{"schema":1') :]
    (run / EPISODES).write_bytes(b"".join(content))
    assert export(run, to, tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'out'}: 9 episodes\n"
    assert f"{EPISODES}:2: schema 9 is unknown" in shown.err


@pytest.mark.parametrize("to", FORMATS)
def test_only_failures_are_exported(tmp_path: Path, to: str) -> None:
    failure = Failure("worker", "WorkerCrashed", "gone")
    broken = [episode(id=str(n), task=replace(TASK, seed=n), failure=failure) for n in range(3)]
    assert export(write(tmp_path / "run", broken), to, tmp_path / "out") == 0
    assert (tmp_path / "out").exists()


def test_a_baseline_without_transcripts_gives_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", made())
    assert main(["report", str(run)]) == 0
    (run / EPISODES).unlink()
    assert not open_source(run).transcripts
    for to in ("csv", "parquet", "hf"):
        assert export(run, to, tmp_path / to) == 0
    assert not (tmp_path / "hf" / "messages").exists()
    capsys.readouterr()
    out = str(tmp_path / "out")
    asked = ([str(run), "--to", "inspect"], [str(run), "--to", "parquet", "--messages"])
    for arguments in asked:
        assert f"has no {EPISODES}" in refused(capsys, *arguments, "--out", out)
    first, *rest = (run / ROWS).read_bytes().splitlines(keepends=True)
    (run / ROWS).write_bytes(first + b'{"schema":1}\n' + b"".join(rest))
    assert f"{ROWS}:2: not a row" in refused(capsys, str(run), "--to", "csv", "--out", out)


def test_csv_has_no_room_for_messages(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no room for messages" in refused(capsys, str(run), "--to", "csv", "--messages")


def test_without_a_name_it_is_named_like_the_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--to", "csv"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["the-run.csv"]


@pytest.mark.parametrize("to", FORMATS)
def test_a_run_is_always_the_same_bytes(run: Path, tmp_path: Path, to: str) -> None:
    for name in ("one", "two"):
        assert export(run, to, tmp_path / name) == 0
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in paths if path.is_file()}
        for name in ("one", "two")
        for paths in [[tmp_path / name, *(tmp_path / name).rglob("*")]]
    )
    assert one
    assert one == two
