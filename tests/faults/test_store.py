"""What is done to a run directory on purpose: no finished episode is lost, none is there twice."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

import pytest

from okrt import journal
from okrt.errors import StoreError
from okrt.store import EPISODES, RUN, Problem, RunDirectory, read_episodes
from okrt.types import Episode
from tests.test_store import content, episode, failed

WRITER = """
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from okrt.store import RunDirectory
from okrt.types import Failure
from tests.test_store import episode

made = episode("x" * 20_000)
broken = replace(made, trajectory=None, outcome=None, failure=Failure("model", "E", "gone"))
path, name = Path(sys.argv[1]), sys.argv[2]
print("there", flush=True)
sys.stdin.readline()
opened = RunDirectory.resume(path) if path.exists() else RunDirectory.create(path, {})
with opened as directory:
    for number in count():
        directory.append(replace(made, id=f"{name}-{number}"))
        sys.stdout.write(f"{name}-{number}\\n")
        sys.stdout.flush()
        directory.append(replace(broken, id=f"broken {number}"))
"""


def kills(path: Path, times: int) -> None:
    """Kills a writer again and again; asks each time that what it had written be there, once."""
    random = Random("okrt/kills of a writer")
    returned: list[str] = []
    for number in range(times):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.stdin.write("\n")
        writer.stdin.flush()
        if number % 2:  # else it may still be opening what the last one left
            returned.append(writer.stdout.readline().strip())
        sleep(random.uniform(0, 0.1))
        writer.kill()
        returned += writer.communicate()[0].split()
    RunDirectory.resume(path).close()
    found = list(read_episodes(path))
    assert not [one for one in found if isinstance(one, Problem)]
    assert all(one.failure is None for one in found if isinstance(one, Episode))
    ids = [one.id for one in found if isinstance(one, Episode)]
    assert len(ids) == len(set(ids))
    assert len(returned) >= times // 2
    assert set(returned) <= set(ids)


def test_a_writer_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    kills(tmp_path / "run", times=4)


@pytest.mark.thorough
def test_a_writer_killed_many_times_loses_nothing(tmp_path: Path) -> None:
    kills(tmp_path / "run", times=60)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunDirectory.create(tmp_path / "run", {"okrt": "0"}) as directory:
        for seed in range(3):
            directory.append(episode(seed=seed))
            directory.append(failed(seed))
    return tmp_path / "run"


STEPS = ("unlink", "open", "write", "fsync", "replace", "close")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_each_step_of_going_on_loses_nothing(run: Path, step: str, after: bool) -> None:
    """In a child, which kills itself before or after that step of taking failures out."""
    child = os.fork()
    if not child:
        dying(step, after)
        RunDirectory.resume(run)
        os._exit(1)  # it was not killed
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with RunDirectory.resume(run) as directory:
        directory.append(episode(seed=9))
    found = [one for one in read_episodes(run) if isinstance(one, Episode)]
    assert [one.task.seed for one in found] == [0, 1, 2, 9]
    assert {file.name for file in run.iterdir()} == {EPISODES, RUN}


def dying(step: str, after: bool) -> None:
    owner: Any = {"unlink": Path, "replace": Path, "fsync": os}.get(step, journal)
    name = {"open": "_locked", "write": "_write"}.get(step, step)
    if step == "close":  # the last thing: the old file
        owner, name = journal.Journal, "drop"
    real = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if step == "open" and not str(args[0]).endswith(".part"):
            return real(*args, **kwargs)
        if after:
            real(*args, **kwargs)
        elif step == "write":
            real(args[0], args[1][: len(args[1]) // 2])
        return os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, deadly)


@pytest.fixture
def full_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets files of this process grow no further than so many bytes: EFBIG, as a full disk does
    with ENOSPC, after as much was written as there is room for."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_whole_lines_and_is_told(run: Path, full_at: Any) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    with RunDirectory.resume(run) as directory:
        before = content(run)
        full_at(len(before) + 100)
        for _ in range(2):
            with pytest.raises(StoreError, match="it ends in its last whole episode"):
                directory.append(episode("x" * 1000, seed=8))
            assert content(run) == before
        full_at(unlimited)
        directory.append(episode(seed=9))
    found = [one for one in read_episodes(run) if isinstance(one, Episode)]
    assert [one.task.seed for one in found] == [0, 1, 2, 9]


def test_no_room_to_take_failures_out_changes_nothing(run: Path, full_at: Any) -> None:
    before = content(run)
    full_at(len(before) // 3)
    with pytest.raises(StoreError, match="cannot write the run directory"):
        RunDirectory.resume(run)
    assert content(run) == before
    assert {file.name for file in run.iterdir()} == {EPISODES, RUN}


def test_an_interruption_within_a_line_leaves_whole_lines(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journal._write

    def interrupted(handle: Any, line: bytes) -> None:
        real(handle, line[:50])
        raise KeyboardInterrupt

    with RunDirectory.resume(run) as directory:
        before = content(run)
        monkeypatch.setattr(journal, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            directory.append(episode(seed=8))
        assert content(run) == before


def test_what_could_not_be_cut_off_is_cut_before_the_next(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journal._write

    def broken(handle: Any, line: bytes) -> None:
        real(handle, line[:50])
        raise OSError(errno.EIO, "Input/output error")

    def stuck(self: journal.Journal) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with RunDirectory.resume(run) as directory:
        before = content(run)
        with monkeypatch.context() as patch:
            patch.setattr(journal, "_write", broken)
            patch.setattr(journal.Journal, "_cut_back", stuck)
            with pytest.raises(StoreError):
                directory.append(episode(seed=8))
        assert len(content(run)) == len(before) + 50
        directory.append(episode(seed=9))
    found = [one for one in read_episodes(run) if isinstance(one, Episode)]
    assert [one.task.seed for one in found] == [0, 1, 2, 9]


def test_a_file_system_that_tells_of_a_loss_last_is_heard(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory.resume(run)

    def lost() -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(directory._episodes, "close", lost)
    with pytest.raises(StoreError, match="quota"):
        directory.close()
    with pytest.raises(KeyboardInterrupt), directory:
        raise KeyboardInterrupt
    monkeypatch.undo()
    directory.close()
