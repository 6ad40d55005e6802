"""`okrt audit` as it is typed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from okrt.audit import command
from okrt.errors import UsageError
from tests.audit.test_reading import chat, lines

HELD = chat("```python\na = f()\n```", "```python\nprint(a)\n```")
AGAIN = chat("```python\nimport json\n```", "```python\nimport json\n```")
BOTH = chat(*(f"```python\n{c}\n```" for c in ("a = g('<b>')", "print(a)", "a = g('<b>')")))


def okrt_audit(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(list(arguments)))


def test_the_gate_passes_what_it_names_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = str(lines(tmp_path / "held.jsonl", *[HELD] * 10))
    few = str(lines(tmp_path / "few.jsonl", HELD))
    assert okrt_audit(held) == 0
    assert okrt_audit(held, "--fail-unless", "persistent") == 0
    assert okrt_audit(held, "--fail-unless", "stateless") == 1
    assert okrt_audit(few, "--fail-unless", "persistent") == 1
    said = capsys.readouterr()
    assert "These traces teach: persistent" in said.out
    assert said.err.count("\n") == 2


def test_json_is_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines(tmp_path / "t.jsonl", *[AGAIN] * 10, BOTH)
    assert okrt_audit(str(path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["verdicts"] == {"persistent": 0, "stateless": 10, "mixed": 1, "undecided": 0}
    assert found["shares"]["stateless"]["low"] < 10 / 11 < found["shares"]["stateless"]["high"]
    assert found["contradictions"] == {
        "t.jsonl:11": [
            "block 2, line 1: reads a, bound in block 1",
            "block 3, line 1: repeats a, bound in block 1",
        ]
    }


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", *[AGAIN] * 10, BOTH)
    assert okrt_audit(str(path), "--html", str(tmp_path / "p.html")) == 0
    page = (tmp_path / "p.html").read_text()
    assert "repeats a" in page
    assert "<b>" not in page
    assert "src=" not in page
    with pytest.raises(UsageError, match="cannot write"):
        okrt_audit(str(path), "--html", str(tmp_path / "no" / "p.html"))


def test_names_that_the_runtime_provides_are_no_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(lines(tmp_path / "t.jsonl", *[HELD] * 10))
    okrt_audit(path, "--provided", "a")
    assert "These traces teach: undecided" in capsys.readouterr().out


def test_traces_without_code_are_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(lines(tmp_path / "t.jsonl", *[chat("hi")] * 3))
    assert okrt_audit(path) == 0
    assert okrt_audit(path, "--fail-unless", "persistent") == 1
    assert "Without code: 3 episodes" in capsys.readouterr().out


def test_broken_lines_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(HELD) + "\n{\n")
    assert okrt_audit(str(path)) == 0
    said = capsys.readouterr().out
    assert "Lines not read: 1" in said
    assert "t.jsonl:2: no JSON" in said


def test_a_file_without_any_episode_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("{\n{\n")
    with pytest.raises(UsageError, match=r"no episode in .*t\.jsonl:1"):
        okrt_audit(str(path))
    path.write_text("")
    with pytest.raises(UsageError, match="empty"):
        okrt_audit(str(path))
