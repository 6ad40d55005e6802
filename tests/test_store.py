"""A run directory loses nothing and says what is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt import journal
from okrt.errors import StoreError
from okrt.run import run_cases
from okrt.store import (
    EPISODES,
    RUN,
    Problem,
    RunDirectory,
    decode_episode,
    encode_episode,
    read_episodes,
    read_run,
)
from okrt.types import Episode, Execution, Failure, ToolCall
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
    with RunDirectory.resume(run), (run / EPISODES).open("ab", buffering=0) as episodes:
        episodes.write(whole[:100])
        assert [f.kind for f in read_episodes(run) if isinstance(f, Problem)] == ["torn"]
        assert (run / EPISODES).read_bytes() == whole + whole[:100]


def test_an_unknown_schema_is_named(run: Path) -> None:
    (run / EPISODES).write_bytes(b'{"schema":99}\n')
    (problem,) = read_episodes(run)
    assert isinstance(problem, Problem)
    assert "schema 99 is unknown" in problem.message


def test_a_directory_that_holds_something_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds a run: go on in it with --okrt-resume"):
        RunDirectory.create(run, {})
    (run / RUN).unlink()
    with pytest.raises(StoreError, match="is not empty; name a new one"):
        RunDirectory.create(run, {})
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(StoreError, match="is a file; name another"):
        RunDirectory.create(file, {})
    with pytest.raises(StoreError, match="not writable"):
        RunDirectory.create(file / "below", {})


def test_a_run_is_read_without_its_manifest_where_that_is_not_asked_for(run: Path) -> None:
    manifest = {"a case": {"seed": 1}}
    (run / "run.json").write_text(json.dumps({"okrt": "0", "manifest": manifest, "complete": True}))
    assert read_run(run)["manifest"] == manifest
    assert read_run(run, manifest=False) == {"okrt": "0", "complete": True}


def test_what_is_no_run_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no run directory"):
        list(read_episodes(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"versions": 3}')
    with pytest.raises(StoreError, match="damaged"):
        read_run(tmp_path)


def failed(seed: int) -> Episode:
    failure = Failure("model", "ConnectionError", "no route")
    return replace(episode(seed=seed), trajectory=None, outcome=None, failure=failure)


def content(run: Path) -> bytes:
    return (run / EPISODES).read_bytes()


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_run_goes_on_wherever_its_last_line_was_broken_off(run: Path, step: int) -> None:
    whole = content(run)
    last = whole.splitlines(keepends=True)[-1]
    start = len(whole) - len(last)
    for end in (start, *range(len(whole), start, -step), len(whole) - 1):
        (run / EPISODES).write_bytes(whole[:end])
        with RunDirectory.resume(run):
            assert content(run) == (whole if end >= len(whole) - 1 else whole[:start])
    with RunDirectory.resume(run) as directory:
        directory.append(episode(seed=9))
    assert [e.task.seed for e in read_episodes(run) if isinstance(e, Episode)] == [0, 1, 2, 9]


@pytest.mark.parametrize("broken", [{0}, {2}, {0, 2, 3}, {0, 1, 2, 3}])
@pytest.mark.parametrize("ending", ["", "newline missing", "torn"])
def test_what_infrastructure_broke_off_is_taken_out(
    tmp_path: Path, broken: set[int], ending: str
) -> None:
    run = tmp_path / "run"
    with RunDirectory.create(run, {}) as directory:
        for seed in range(4):
            directory.append(failed(seed) if seed in broken else episode(seed=seed))
    whole = content(run)
    cut = {"": 0, "newline missing": 1, "torn": 40}[ending]
    (run / EPISODES).write_bytes(whole[: len(whole) - cut])
    with RunDirectory.resume(run) as directory:
        with pytest.raises(StoreError, match="another process is writing"):
            RunDirectory.resume(run)  # the lock is on what took the file's place, too
        directory.append(episode(seed=7))
    kept = [seed for seed in range(4) if seed not in broken]
    kept = [seed for seed in kept if seed != 3 or ending != "torn"]
    found = list(read_episodes(run))
    assert not [one for one in found if isinstance(one, Problem)]
    assert [one.task.seed for one in found if isinstance(one, Episode)] == [*kept, 7]
    assert {file.name for file in run.iterdir()} == {EPISODES, RUN}


@pytest.mark.parametrize("line", [b"{", b"null", b'{"schema":1}', b'{"schema":99}', b"\xff", b""])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_damaged_run_is_refused_and_left_as_it_is(run: Path, line: bytes, place: int) -> None:
    with RunDirectory.resume(run) as directory:
        directory.append(failed(5))
    lines = content(run).splitlines(keepends=True)
    lines.insert(place, line + b"\n")
    (run / EPISODES).write_bytes(before := b"".join(lines) + b'{"sch')
    with pytest.raises(StoreError, match=rf"{EPISODES}:{place + 1}: .*nothing was changed"):
        RunDirectory.resume(run)
    assert content(run) == before


def test_what_a_later_version_wrote_is_not_taken_for_a_torn_line(run: Path) -> None:
    (run / EPISODES).write_bytes(before := content(run) + b'{"schema":99,"x":1}')
    with pytest.raises(StoreError, match="schema 99 is unknown"):
        RunDirectory.resume(run)
    (problem,) = [one for one in read_episodes(run) if isinstance(one, Problem)]
    assert problem.kind == "corrupt"
    assert content(run) == before
    (run / RUN).write_text('{"schema": 2}')
    with pytest.raises(StoreError, match=r"run.json: schema 2 is unknown"):
        RunDirectory.resume(run)


def test_one_process_writes_a_run(run: Path) -> None:
    with RunDirectory.resume(run):
        for opening in (RunDirectory.resume, lambda path: RunDirectory.create(path, {})):
            with pytest.raises(StoreError, match=f"another process is writing {run}"):
                opening(run)
    RunDirectory.resume(run).close()


def test_a_run_killed_before_it_began_is_begun_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / EPISODES).touch()
    (run / f".{RUN}.part").write_text("{")
    RunDirectory.create(run, {"okrt": "0"}).close()
    (run / EPISODES).unlink()
    with RunDirectory.resume(run) as directory:
        directory.append(episode())
    with pytest.raises(StoreError, match="is no run directory"):
        RunDirectory.resume(tmp_path)


def test_a_reader_cuts_nothing_that_was_finished_meanwhile(run: Path) -> None:
    whole = content(run)
    (run / EPISODES).write_bytes(whole[:-40])
    last = whole.splitlines(keepends=True)[-1]
    with (run / EPISODES).open("ab") as episodes:
        episodes.write(whole[-40:])
    assert not journal.cut_line(run / EPISODES, len(whole) - len(last), last[:-40])
    assert content(run) == whole


def test_the_lock_of_a_file_that_was_replaced_is_not_enough(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = journal._try_lock, content(run)

    def late(handle: Any) -> bool:
        monkeypatch.setattr(journal, "_try_lock", real)
        (run / "new").write_bytes(before)  # another process took failures out, and is done
        (run / "new").replace(run / EPISODES)
        return real(handle)

    monkeypatch.setattr(journal, "_try_lock", late)
    with RunDirectory.resume(run) as directory:
        directory.append(made := episode(seed=9))
    assert content(run) == before + encode_episode(made)


def test_a_file_of_a_run_is_no_run(run: Path) -> None:
    with pytest.raises(StoreError, match=r"episodes.jsonl is a file: give the run directory"):
        read_run(run / "episodes.jsonl")
