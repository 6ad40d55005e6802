"""Shards: on the disk of whoever sees the run directory, taken up once, then gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from okrt.engines.shards import SHARDS, left, offer, open_shard, remove
from okrt.errors import RuntimeFailure, StoreError
from okrt.run import Case, failed, run_cases
from okrt.store import EPISODES
from okrt.types import Episode
from tests.engines.toy_cases import toy_case
from tests.toys import FakeRuntime


def episode(seed: int) -> Episode:
    return next(run_cases([toy_case(seed)], FakeRuntime()))


def broken(case: Case) -> Episode:
    return failed(case, RuntimeFailure("gone"), "runtime")


def test_what_workers_wrote_is_there_when_they_were_killed(tmp_path: Path) -> None:
    token = offer(tmp_path)
    for worker, seeds in (("a", (1, 2)), ("b", (3,))):
        shard = open_shard(tmp_path, token, worker)
        assert shard is not None
        for seed in seeds:
            shard.append(episode(seed))
    with (tmp_path / SHARDS / "a" / EPISODES).open("ab") as lines:
        lines.write(b'{"schema":1,"id":"half')  # it was killed here, and nothing was closed
    assert [found.task.seed for found in left(tmp_path)] == [1, 2, 3]
    remove(tmp_path)
    assert list(left(tmp_path)) == []
    remove(tmp_path)  # nothing there is no error


def test_broken_off_episodes_are_not_taken_up(tmp_path: Path) -> None:
    shard = open_shard(tmp_path, offer(tmp_path), "a")
    assert shard is not None
    with shard:
        shard.append(broken(toy_case(1)))
    assert list(left(tmp_path)) == []


def test_a_directory_of_the_same_name_elsewhere_holds_no_shard(tmp_path: Path) -> None:
    """Two machines with a directory of the run's name, of which one is in charge."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    token, _ = offer(here), offer(elsewhere)
    assert open_shard(elsewhere, token, "a") is None
    assert open_shard(tmp_path / "nowhere", token, "a") is None
    assert not (elsewhere / SHARDS / "a").exists()


def test_a_run_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / SHARDS).write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        offer(tmp_path)
