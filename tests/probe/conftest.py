"""A probe leaves nothing: asked after every test of this folder."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from okrt.probe.processes import descendants


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process, and no file but those of the test itself, which lie in `mine`."""
    before = set(descendants(os.getpid()))
    for name in ("mine", "here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    left = set(descendants(os.getpid())) - before
    for _ in range(40):  # a process that has been killed may take a moment to be gone
        if left:
            time.sleep(0.05)
            left &= set(descendants(os.getpid()))
    assert not left
    assert [p.name for name in ("here", "temporary") for p in (tmp_path / name).iterdir()] == []


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder for a test's own files."""
    return tmp_path / "mine"
