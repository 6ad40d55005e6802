"""A runtime or model of one's own that has changed is not mixed with what it was."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from okrt import cli

CONTRACT = """
from okrt.types import Kept

class Reset:
    name = "reset"
    notice = "Variables stay for some blocks."
    false_notice = "Variables stay."
    def keeps(self, turn, last):
        return Kept(names=turn % 3 != 0, files=True)

RESET = Reset()
"""
BROKEN = CONTRACT.replace("turn % 3", "turn % (3 * (not last.stdout))")
"""Raises once a block has printed."""
MODEL = """
def talk(conversation):
    return "```python\\nfinish()\\n```"
"""
FAMILY = """
from tests.toys import Counting

FAMILY = Counting()
"""
RUN = ("run", "--tier=micro", "--model=own_model:talk", "--runtime=ours:RESET", "--seeds=3")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of files written in the same second
    write("ours", CONTRACT)
    write("own_model", MODEL)
    yield
    for module in ("ours", "own_model", "own_family"):
        sys.modules.pop(module, None)


def write(module: str, text: str) -> str:
    file = Path(f"{module}.py")
    file.write_text(text)
    sys.modules.pop(module, None)
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def sources(run: str) -> Any:
    return json.loads(Path(run, "run.json").read_text())["sources"]


@pytest.mark.parametrize(
    ("module", "text", "name"),
    [("ours", CONTRACT, "runtime reset"), ("own_model", MODEL, "model own_model:talk")],
)
def test_a_run_does_not_go_on_with_another_source(
    module: str, text: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*RUN, "--out=run", "--max-tokens=1"]) == 1
    old = sources("run")
    assert old[name] == write(module, text)
    write(module, text + "# changed\n")
    capsys.readouterr()
    assert cli.main([*RUN, "--resume=run"]) == 2
    assert capsys.readouterr().err == (
        f"okrt: cannot go on in {Path.cwd() / 'run'}: the source of {name} has changed since its "
        "episodes were run: begin a new run, or go back to the old source\n"
    )
    write(module, text)
    assert cli.main([*RUN, "--resume=run"]) == 0
    assert sources("run") == old

    write(module, text + "# changed\n")  # nothing of it is missing: nothing is mixed
    assert cli.main([*RUN, "--resume=run"]) == 0
    assert sources("run") == old


def test_a_run_does_not_go_on_with_another_source_of_its_family(
    capsys: pytest.CaptureFixture[str],
) -> None:
    digest = write("own_family", FAMILY)
    words = ("run", "--family=own_family:FAMILY", "--tier=low", *RUN[2:])
    assert cli.main([*words, "--out=run", "--max-tokens=1"]) == 1
    assert sources("run")["family counting"] == digest
    write("own_family", FAMILY + "# changed\n")
    capsys.readouterr()
    assert cli.main([*words, "--resume=run"]) == 2
    assert "the source of family counting has changed since" in capsys.readouterr().err


def test_what_has_no_episode_yet_may_be_mended() -> None:
    write("ours", BROKEN)
    write("own_model", MODEL.replace("finish()", "print(1)"))
    assert cli.main([*RUN, "--out=run"]) == 1
    mended = {
        "runtime reset": write("ours", CONTRACT),
        "model own_model:talk": write("own_model", MODEL),
    }
    assert cli.main([*RUN, "--resume=run"]) == 0
    assert sources("run") == mended


def test_what_a_runtime_broke_off_is_not_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    write("ours", BROKEN)
    write("own_model", MODEL.replace("finish()", "print(1)"))
    assert cli.main([*RUN, "--out=run"]) == 1
    shown = capsys.readouterr().out
    assert "incomplete: 0 of 3 episodes, 3 broken off by infrastructure" in shown
    assert (
        "a runtime broke its protocol, mend it and begin a new run: Contract.keeps raised "
        "ZeroDivisionError: " in shown
    )
    assert "to go on" not in shown
    others = ("--runtime=stateless", "--max-turns=1", "--max-tokens=1")
    assert cli.main([*RUN, *others, "--out=other"]) == 1
    assert "to go on" in capsys.readouterr().out


def test_a_run_of_an_earlier_version_goes_on() -> None:
    assert cli.main([*RUN, "--out=run", "--max-tokens=1"]) == 1
    run = json.loads(Path("run", "run.json").read_text())
    now = run.pop("sources")
    Path("run", "run.json").write_text(json.dumps(run))
    write("ours", CONTRACT)
    assert cli.main([*RUN, "--resume=run"]) == 0
    assert sources("run") == now


def test_what_is_not_the_user_s_own_has_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("run", "--tier=micro", "--model=expert:stateless", "--runtime=stateless", "--seeds=1")
    write("expert", MODEL)
    monkeypatch.setitem(sys.modules, "expert", import_module("expert"))
    assert cli.main([*words, "--out=run"]) == 0
    assert sources("run") == {}
