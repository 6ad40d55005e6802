"""Every code block of the README and the docs is run.

A block's info string says how: `python` is executed; `python NAME` is written to that file first;
`console` holds `$ ` commands, run in a folder that holds the shipped evaluations; `console ci`
holds the commands that `.ci/run` runs; `json` and `yaml` are read; `text` right behind a `console`
block is what its last command must print. Blocks of a file share one folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from okrt.selection.options import OPTIONS
from tests.checkpoints import make_checkpoint

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

LANGUAGES = ("python", "console", "json", "yaml", "text")
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    argument: str
    body: str
    line: int


def blocks(path: Path) -> list[Block]:
    text = path.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        language, _, argument = match.group(1).partition(" ")
        line = text[: match.start()].count("\n") + 1
        found.append(Block(language, argument, match.group(2), line))
    return found


def commands(block: Block) -> list[str]:
    return [line[2:] for line in block.body.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_block_says_how_it_is_run(path: Path) -> None:
    for block in blocks(path):
        assert block.language in LANGUAGES, f"{path}:{block.line}"


@pytest.mark.parametrize("path", [p for p in DOCS if blocks(p)], ids=lambda path: path.name)
def test_the_blocks_of_a_file_run(path: Path, tmp_path: Path) -> None:
    for folder in ("evals", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    printed = ""
    for label in ("path/to/checkpoint", "A", "B"):
        if f"={label}" in path.read_text("utf-8"):
            make_checkpoint(tmp_path / label)
    for block in blocks(path):
        where = f"{path.name}:{block.line}"
        if block.language == "text" and printed:
            assert block.body.strip() in printed, where
        printed = ""
        if block.language == "json":
            json.loads(block.body)
        elif block.language == "yaml":
            yaml.safe_load(block.body)
        elif block.language == "python" and block.argument:
            (tmp_path / block.argument).write_text(block.body)
        elif block.language == "python":
            run([sys.executable, "-c", block.body], tmp_path, where)
        elif block.language == "console" and block.argument != "ci":
            for command in commands(block):
                printed = run_command(command, tmp_path, where)


def run_command(command: str, folder: Path, where: str) -> str:
    """Runs one command of the docs, cut to a few short episodes where it names no seeds; returns
    what it prints."""
    if command.startswith(("pip install", "git ")):
        return ""  # what it would install is what these tests run with
    if command.startswith("pytest evals") and "--okrt-seeds" not in command:
        command += " --okrt-seeds=1 --okrt-tier=micro --okrt-max-turns=2 --okrt-max-new-tokens=8"
    return run(["bash", "-c", command], folder, where)


def run(command: list[str], folder: Path, where: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",  # of `-n auto`: each loads the model
    }
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, f"{where}: {command}\n{found.stdout}\n{found.stderr}"
    return found.stdout


def test_ci_runs_the_two_commands_of_the_readme() -> None:
    (block,) = [b for b in blocks(ROOT / "README.md") if b.argument == "ci"]
    script = (ROOT / ".ci" / "run").read_text()
    for command in commands(block):
        for part in command.split(" && "):
            assert part.split()[-1] in script


def test_the_table_of_the_readme_is_what_the_first_command_prints(tmp_path: Path) -> None:
    """The whole evaluation, 400 episodes."""
    shown = (ROOT / "README.md").read_text("utf-8")
    table = next(b.body for b in blocks(ROOT / "README.md") if b.language == "text")
    shutil.copytree(ROOT / "evals", tmp_path / "evals")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "evals", "-p", "no:xdist"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert table.strip() in found.stdout
    assert "self-check" in shown


def test_the_workflow_gives_options_that_there_are() -> None:
    (block,) = [b for b in blocks(ROOT / "docs" / "ci.md") if b.language == "yaml"]
    steps = yaml.safe_load(block.body)["jobs"]["gate"]["steps"]
    (gate,) = [step["run"] for step in steps if step.get("name") == "gate"]
    given = {word.partition("=")[0] for word in gate.split() if word.startswith("--")}
    known = {f"{prefix}{one.name}" for one in OPTIONS for prefix in ("--okrt-", "--")}
    assert given - known == {"--junit-xml"}
    assert "${{" not in gate  # what somebody typed would be a piece of the script


def test_nothing_is_left_to_be_filled_in() -> None:
    for path in DOCS:
        assert "<!--" not in path.read_text("utf-8") or path.name == "CHANGELOG.md", path.name


def test_links_between_files_lead_somewhere() -> None:
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"
