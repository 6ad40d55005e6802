"""The same seeds give the same bytes: under other hash seeds, in other processes, on workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.plugin.conftest import EVALUATION, ROOT


def derive(folder: Path, name: str, hash_seed: str, *arguments: str) -> list[str]:
    """Returns the rows of a run in a new process, `timing` dropped."""
    (folder / "test_fit.py").write_text(EVALUATION.replace('["micro"]', '["micro", "easy"]'))
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--okrt-out={name}",
         "--okrt-names=on", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    found = []
    for line in (folder / name / "rows.jsonl").read_text().splitlines():
        row = json.loads(line)
        del row["timing"]
        found.append(json.dumps(row))
    return found


def test_rows_are_byte_identical(tmp_path: Path) -> None:
    one = derive(tmp_path, "one", "1")
    assert len(one) == 16
    assert derive(tmp_path, "two", "2", "-n2") == one
