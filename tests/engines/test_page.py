"""The page at the end of a session: there where the run is small, and never at its cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from okrt import cli

RUN = ("run", "--tier=micro", "--seeds=1", "--out=r")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_session_ends_in_a_page(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN]) == 0
    assert "run: r\npage: r/report.html\n" in capsys.readouterr().out
    assert b"okrt-piece-0" in (here / "r" / "report.html").read_bytes()


def test_of_many_episodes_it_is_written_only_when_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okrt.engines.record.BY_ITSELF", 3)
    assert cli.main([*RUN]) == 0
    assert "page: okrt report r --html\n" in capsys.readouterr().out
    assert not (here / "r" / "report.html").exists()


@pytest.mark.parametrize("error", [TypeError("a bug"), KeyboardInterrupt(), OSError(28, "full")])
def test_what_goes_wrong_with_it_costs_nothing_else(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("okrt.engines.record.write_page", fail)
    assert cli.main([*RUN]) == 0
    shown = capsys.readouterr().out
    assert "page: not written (" in shown
    assert "to write it: okrt report r --html\n" in shown
    assert "model x runtime" in shown
    assert {path.name for path in (here / "r").iterdir()} == {
        "run.json", "episodes.jsonl", "rows.jsonl", "report.md",
    }  # fmt: skip
