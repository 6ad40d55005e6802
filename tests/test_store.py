"""A run directory loses nothing and says what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.errors import StoreError
from okrt.run import run_cases
from okrt.store import (
    EPISODES,
    Problem,
    RunDirectory,
    decode_episode,
    encode_episode,
    read_episodes,
    read_run,
)
from okrt.types import Episode, Execution, ToolCall
from tests.test_run import case
from tests.toys import FakeRuntime, Says, block


def episode(*texts: str, seed: int = 0, run: Any = None) -> Episode:
    runtime = FakeRuntime(run) if run else FakeRuntime()
    return next(run_cases([case(Says(*texts, block("finish()")), seed)], runtime))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunDirectory.create(tmp_path / "run", {"okrt": "0"}) as directory:
        for seed in range(3):
            directory.append(episode("hm", seed=seed))
    return tmp_path / "run"


def test_an_episode_goes_through_the_file_unchanged(run: Path) -> None:
    found = list(read_episodes(run))
    assert [e.task.seed for e in found if isinstance(e, Episode)] == [0, 1, 2]
    made = episode("hm", seed=5)
    assert decode_episode(encode_episode(made)) == made
    assert json.loads(encode_episode(made))["schema"] == 1
    assert read_run(run) == {"schema": 1, "okrt": "0"}


@given(st.text(st.characters()) | st.integers() | st.lists(st.integers(), max_size=2))
def test_whatever_a_block_says_or_passes_can_be_stored(value: Any) -> None:
    said = value if isinstance(value, str) else "x"

    def run(tools: Any, code: str) -> Execution:
        tools["finish"]()
        return Execution("ok", stdout=said, calls=(ToolCall("add", (value,), 1),))

    line = encode_episode(episode(run=run))
    assert line.count(b"\n") == 1
    assert encode_episode(decode_episode(line)) == line


def test_a_half_written_last_line_is_cut_off(run: Path) -> None:
    whole = (run / EPISODES).read_bytes()
    (run / EPISODES).write_bytes(whole + whole[: len(whole) // 5])
    found = list(read_episodes(run))
    assert [f.kind for f in found if isinstance(f, Problem)] == ["torn"]
    assert f"{EPISODES}:4" in str(found[-1])
    assert (run / EPISODES).read_bytes() == whole
    assert not any(isinstance(f, Problem) for f in read_episodes(run))


@pytest.mark.parametrize(
    "line", [b"{", b"null", b"\xff\xfe", b'{"schema":1}', b'{"schema":99}', b"[" * 100_000, b""]
)
def test_a_corrupt_line_is_named_and_the_rest_is_read(run: Path, line: bytes) -> None:
    first, _second, third = (run / EPISODES).read_bytes().splitlines(keepends=True)
    content = first + line + b"\n" + third
    (run / EPISODES).write_bytes(content)
    found = list(read_episodes(run))
    assert [e.task.seed for e in found if isinstance(e, Episode)] == [0, 2]
    (problem,) = [f for f in found if isinstance(f, Problem)]
    assert (problem.line, problem.kind) == (2, "corrupt")
    assert f"{EPISODES}:2" in problem.message
    assert (run / EPISODES).read_bytes() == content


def test_a_live_run_is_left_alone(run: Path) -> None:
    whole = (run / EPISODES).read_bytes()
    with (run / EPISODES).open("ab") as episodes:
        writer = RunDirectory(run, episodes)
        episodes.write(whole[:100])
        episodes.flush()
        assert [f.kind for f in read_episodes(run) if isinstance(f, Problem)] == ["torn"]
        assert (run / EPISODES).read_bytes() == whole + whole[:100]
        writer.close()


def test_an_unknown_schema_is_named(run: Path) -> None:
    (run / EPISODES).write_bytes(b'{"schema":99}\n')
    (problem,) = read_episodes(run)
    assert isinstance(problem, Problem)
    assert "schema 99 is unknown" in problem.message


def test_a_directory_that_holds_something_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not empty; name a new one"):
        RunDirectory.create(run, {})
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(StoreError, match="is a file; name another"):
        RunDirectory.create(file, {})
    with pytest.raises(StoreError, match="not writable"):
        RunDirectory.create(file / "below", {})


def test_what_is_no_run_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no run directory"):
        list(read_episodes(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"versions": 3}')
    with pytest.raises(StoreError, match="damaged"):
        read_run(tmp_path)
