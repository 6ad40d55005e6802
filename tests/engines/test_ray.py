"""On a Ray cluster of three nodes: the episodes are those of one process, whatever is killed.

Ray is imported in the fixture alone, because every run of the tests collects this file.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from okrt import specs
from okrt.engines import shards
from okrt.engines.far import Cluster, Job, NotPlayed, crew
from okrt.engines.players import (
    CasePlayer,
    key_of_spec,
    play_cases,
)
from okrt.errors import InfrastructureError, RuntimeFailure, UsageError
from okrt.models.checkpoint import checkpoint_digest
from okrt.plan import Key, key_of
from okrt.selection.arguments import Given, Options, read_options
from okrt.selection.cases import CaseSpec, cases
from okrt.store import encode_episode
from okrt.types import Episode, ModelCard

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
PATIENT = {
    "worker_register_timeout_seconds": 300,
    "worker_niceness": 0,
    "health_check_period_ms": 500,
}
"""A busy machine takes long to start a worker, and must not be busier with all else: blocks of code
have ten seconds. A node that is gone is found out soon."""
OPTIONS = read_options(Given({"repeats": "1"}.get, Path()))
FAMILY = specs.family("opaque_knapsack")
CARDS = {model.label: ModelCard(model.label, model.spec, "scripted") for model in OPTIONS.models}


def wanted(seeds: int, options: Options = OPTIONS) -> list[CaseSpec]:
    return cases(FAMILY, ["micro"], range(seeds), options)


def by_key(found: Sequence[Episode]) -> dict[Key, bytes]:
    """Returns the lines of the episodes without timing, having seen that no two are the same."""
    lines = {key_of(one): encode_episode(_timeless(one)) for one in found}
    assert len(lines) == len(found)
    return lines


def _timeless(episode: Episode) -> Episode:
    assert episode.trajectory is not None, episode.failure
    turns = tuple(replace(turn, timing={}) for turn in episode.trajectory.turns)
    return replace(episode, timing={}, trajectory=replace(episode.trajectory, turns=turns))


def locally(of: Sequence[CaseSpec]) -> dict[Key, bytes]:
    player = CasePlayer(OPTIONS, {}, 0)
    try:
        groups = [[spec for spec in of if spec.model is model] for model in OPTIONS.models]
        return by_key([e for some in groups for e in player.play(some) if isinstance(e, Episode)])
    finally:
        player.close()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster with a CPU on each of three nodes."""
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": PATIENT}
        nodes = Nodes(initialize_head=True, head_node_args=head)
        for _ in range(2):
            nodes.add_node(num_cpus=1)
        yield nodes
        nodes.shutdown()


def test_a_node_killed_in_mid_run_costs_and_doubles_no_episode(nodes: Any, tmp_path: Path) -> None:
    told: list[str] = []
    of = wanted(20)
    found: list[Episode] = []
    is_killed = False
    for one in play_cases(of, OPTIONS, CARDS, Cluster(nodes.address), tmp_path, tell=told.append):
        assert isinstance(one, Episode)
        found.append(one)
        playing = [some for some in tmp_path.rglob("episodes.jsonl") if some.stat().st_size]
        if len(playing) == len(nodes.list_all_nodes()) and not is_killed:
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
            is_killed = True
    nodes.add_node(num_cpus=1)
    assert by_key(found) == locally(of)
    assert any("was lost" in line for line in told)
    kept = {key_of(episode) for episode in shards.left(tmp_path)}
    assert kept == {key_of_spec(spec) for spec in of}  # all of it could have been taken up


def test_an_interruption_loses_nothing_that_has_ended(nodes: Any, tmp_path: Path) -> None:
    of, found = wanted(20), []
    episodes = play_cases(of, OPTIONS, CARDS, Cluster(nodes.address), tmp_path)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for one in episodes:
            found.append(one)
            if len(found) == 10:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                signal.signal(signal.SIGALRM, signal.default_int_handler)
    ended = [one for one in found if isinstance(one, Episode)]
    assert 10 <= len(ended) < len(of)
    kept = {key_of(episode) for episode in shards.left(tmp_path)}
    assert {key_of(episode) for episode in ended} <= kept
    assert by_key(ended).items() <= locally(of).items()


def test_without_a_shared_directory_episodes_are_handed_over(nodes: Any, tmp_path: Path) -> None:
    """As on a machine that does not see the run directory: what is offered is gone."""
    of = wanted(1)
    job = Job(
        player=partial(CasePlayer, OPTIONS, {}),
        key=key_of_spec,
        group=lambda spec: spec.model.label,
        lost=_never,
        run=tmp_path,
    )
    with crew(job, Cluster(nodes.address, workers=1)) as workers:
        shards.remove(tmp_path)
        found = [one for one in workers.play(of) if isinstance(one, Episode)]
        again = [one for one in workers.play(of) if isinstance(one, Episode)]  # warm
    assert by_key(found) == by_key(again) == locally(of)
    assert not (tmp_path / shards.SHARDS).exists()


def test_a_checkpoint_is_played_where_there_is_a_gpu(nodes: Any, tmp_path: Path) -> None:
    """The cluster says so, at least: the model itself finds none and is greedy on a CPU."""
    short = {"temperature": "0", "max-turns": "2", "max-new-tokens": "12"}
    options = read_options(
        Given({"model": ["tiny:base"], "runtime": ["stateless"], **short}.get, Path())
    )
    (model,) = options.models
    cards = {
        model.label: ModelCard(model.label, model.spec, "local", checkpoint_digest(model.path))
    }
    of = wanted(2, options)
    node = nodes.add_node(num_cpus=1, num_gpus=1)
    try:
        found = list(play_cases(of, options, cards, Cluster(nodes.address), tmp_path))
    finally:
        nodes.remove_node(node)
    ended = by_key([one for one in found if isinstance(one, Episode)])
    assert len(list((tmp_path / shards.SHARDS).glob("*/run.json"))) == 1  # of four nodes
    player = CasePlayer(options, {}, 0)
    try:
        assert ended == by_key([one for one in player.play(of) if isinstance(one, Episode)])
    finally:
        player.close()


class Deadly:
    """Plays numbers; number 3 takes its process down."""

    def __init__(self, number: int) -> None:
        pass

    def check(self) -> None:
        pass

    def play(self, cases: Sequence[int]) -> Iterator[NotPlayed]:
        for case in cases:
            if case == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield NotPlayed(_key(case), "time", "played")

    def close(self) -> None:
        pass


class Unfit(Deadly):
    def check(self) -> None:
        raise RuntimeFailure("no sandbox can be started here")


def test_a_case_that_takes_its_worker_down_is_recorded_and_no_other(nodes: Any) -> None:
    lost: list[int] = []
    job: Job[int] = Job(Deadly, _key, lambda _: 0, lambda case, why: _note(lost, case, why))
    with crew(job, Cluster(nodes.address, workers=2)) as workers:
        found = list(workers.play(range(8)))
    said = [one for one in found if isinstance(one, NotPlayed)]
    played = sorted(one.key.seed for one in said if one.why == "played")
    assert (lost, played) == ([3], [0, 1, 2, 4, 5, 6, 7])


def test_a_machine_without_a_sandbox_ends_the_run_in_one_line(nodes: Any) -> None:
    job: Job[int] = Job(Unfit, _key, lambda _: 0, _never)
    with (
        crew(job, Cluster(nodes.address, workers=1)) as workers,
        pytest.raises(InfrastructureError, match=r"^on \S+: no sandbox can be started here$"),
    ):
        list(workers.play(range(2)))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:10001", "host:x"])
def test_a_wrong_address_is_one_line(address: str) -> None:
    job: Job[int] = Job(Deadly, _key, lambda _: 0, _never)
    with pytest.raises(UsageError, match=address) as caught:
        crew(job, Cluster(address))
    assert "\n" not in str(caught.value)


def _key(case: int) -> Key:
    return Key("family", "tier", "eval", "model", "contract", 0, case)


def _never(case: object, why: str) -> Episode:
    raise AssertionError(f"{case}: {why}")


def _note(lost: list[int], case: int, why: str) -> Any:
    assert "\n" not in why
    lost.append(case)
    return NotPlayed(_key(-1), "error", why)
