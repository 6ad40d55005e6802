"""`okrt run --engine ray`, on a Ray that it starts on this machine."""

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

from okrt.engines.shards import SHARDS

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
SMALL = ("--tier=micro", "--engine=ray", "--workers=2")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "okrt.cli", "run", *words]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**kept, "PYTHONPATH": str(ROOT), "RAY_worker_register_timeout_seconds": "300"}


def okrt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=folder, env=environment(), capture_output=True, text=True
    )


def rows(run: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    return [{**row, "timing": {}} for row in found]


def count(lines: Path) -> int:
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def test_terminated_it_says_how_to_go_on(tmp_path: Path) -> None:
    """Ray, which is started here, has a handler of its own."""
    with subprocess.Popen(
        command(*SMALL, "--seeds=40", "--out=run"), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as running:  # fmt: skip
        lines = tmp_path / "run" / "episodes.jsonl"
        while running.poll() is None and count(lines) < 5:
            time.sleep(0.05)
        running.terminate()
        _, said = running.communicate()
    assert running.returncode == 143, said
    assert "okrt: terminated; what was finished is kept, to go on: okrt run" in said


def test_interrupted_and_gone_on_with_the_rows_are_those_of_one_process(tmp_path: Path) -> None:
    first = (*SMALL, "--seeds=40", "--out=run")
    with subprocess.Popen(
        command(*first), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as running:  # fmt: skip
        lines = tmp_path / "run" / "episodes.jsonl"
        while running.poll() is None and count(lines) < 10:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert "--resume run" in said
    kept = count(lines)
    assert 10 <= kept < 160
    assert not (tmp_path / "run" / SHARDS).exists()
    again = okrt(tmp_path, *SMALL, "--seeds=40", "--resume=run")
    assert again.returncode == 0, again.stderr
    here = okrt(tmp_path, "--tier=micro", "--seeds=40", "--out=here")
    assert here.returncode == 0, here.stderr
    assert rows(tmp_path / "run") == rows(tmp_path / "here")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_wrong_address_is_one_line(tmp_path: Path, address: str) -> None:
    found = okrt(tmp_path, "--engine=ray", f"--address={address}", "--seeds=1", "--out=run")
    assert (found.returncode, found.stdout.strip()) == (2, "")
    assert found.stderr.startswith("okrt: ")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_private_tasks_are_played_without_the_secret(tmp_path: Path) -> None:
    """The rows are those of one process; what is sent is looked at in tests/test_salt.py."""
    assert subprocess.run(
        [sys.executable, "-m", "okrt.cli", "salt", "s"], cwd=tmp_path, env=environment()
    ).returncode == 0  # fmt: skip
    far = okrt(tmp_path, *SMALL, "--seeds=4", "--salt=s", "--out=run")
    assert far.returncode == 0, far.stderr
    here = okrt(tmp_path, "--tier=micro", "--seeds=4", "--salt=s", "--out=here")
    assert here.returncode == 0, here.stderr
    assert rows(tmp_path / "run") == rows(tmp_path / "here")
    assert all(row["salt"] for row in rows(tmp_path / "run"))
