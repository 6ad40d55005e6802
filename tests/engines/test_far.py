"""What a worker does with its cases, and what is said where there is no Ray."""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from okrt import specs
from okrt.engines.far import Cluster, Job, NotPlayed, check, cluster, configure, crew
from okrt.engines.players import (
    CasePlayer,
    has_checkpoint,
    key_of_spec,
    lost_case,
    one_server,
)
from okrt.errors import UsageError
from okrt.plan import key_of
from okrt.selection.arguments import Given, Options, read_options
from okrt.selection.cases import CaseSpec, cases
from okrt.types import Episode

FAMILY = specs.family("opaque_knapsack")


def options(**values: Any) -> Options:
    return read_options(Given({"model": ["expert:persistent"], **values}.get, Path()))


def played(given: Options, wanted: Sequence[CaseSpec]) -> list[Episode | NotPlayed]:
    """Plays the cases as a worker does: with what came by pickle."""
    player = CasePlayer(*pickle.loads(pickle.dumps((given, {}, 0))))
    try:
        player.check()
        return list(player.play(pickle.loads(pickle.dumps(wanted))))
    finally:
        player.close()


def test_a_player_gives_an_episode_of_each_case() -> None:
    given = options(runtime=["stateless"])
    wanted = cases(FAMILY, ["micro"], range(2), given)
    found = played(given, wanted)
    assert [key_of(one) for one in found if isinstance(one, Episode)] == [*map(key_of_spec, wanted)]


def test_a_model_that_cannot_be_had_is_said_of_each_of_its_cases(tmp_path: Path) -> None:
    given = options(model=["tests.engines.test_far:NOBODY"], runtime=["stateless"])
    wanted = cases(FAMILY, ["micro"], range(2), given)
    changed = [key_of_spec(case) for case in wanted]
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(sys.modules[__name__], "NOBODY")
        found = played(given, wanted)
    assert [one.key for one in found if isinstance(one, NotPlayed)] == changed
    assert all("NOBODY" in one.why for one in found if isinstance(one, NotPlayed))


def NOBODY(conversation: object) -> str:
    return ""


def test_cases_whose_time_is_over_are_said() -> None:
    given = options(**{"runtime": ["stateless"], "cell-minutes": "0.0000001"})
    wanted = cases(FAMILY, ["micro"], range(2), given)
    found = played(given, wanted)
    assert [one.kind for one in found if isinstance(one, NotPlayed)] == ["time", "time"]


def test_other_files_than_on_the_machine_in_charge_end_the_run() -> None:
    given = options(runtime=["stateless"])
    player = CasePlayer(given, {"expert:persistent": "sha256:other"}, 0)
    try:
        with pytest.raises(UsageError, match="others than on the machine in charge"):
            list(player.play(cases(FAMILY, ["micro"], range(1), given)))
    finally:
        player.close()


def test_a_lost_case_has_the_id_that_its_episode_would_have() -> None:
    given = options(runtime=["stateless"])
    (wanted,) = cases(FAMILY, ["micro"], range(1), given)
    (found,) = played(given, [wanted])
    assert isinstance(found, Episode)
    lost = lost_case(wanted, found.model, "a node went away")
    assert (lost.id, lost.outcome) == (found.id, None)
    assert lost.failure is not None
    assert (lost.failure.boundary, lost.failure.message) == ("worker", "a node went away")


def test_workers_share_the_servers_of_a_pool_and_write_no_credentials() -> None:
    url = "served=m@http://u:secret@a:1/v1,http://u:secret@b:2/v1"
    (model,) = options(model=[url]).models
    assert "secret" not in model.spec
    asked = [one_server(model, number) for number in range(3)]
    assert [one.spec for one in asked] == ["m@http://a:1/v1", "m@http://b:2/v1", "m@http://a:1/v1"]
    assert asked[1].given == "m@http://u:secret@b:2/v1"
    assert {one.label for one in asked} == {"served"}


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    configure(parser)
    return parser.parse_args(words)


def test_a_cluster_is_named_by_its_options_alone() -> None:
    assert cluster(arguments()) is None
    assert cluster(arguments("--engine=ray")) == Cluster(None, None)
    asked = arguments("--engine=ray", "--address=head:6379", "--workers=3")
    assert cluster(asked) == Cluster("head:6379", 3)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--address=head:6379",), "'head:6379' is of a cluster: add --engine ray"),
        (("--workers=2",), "--workers '2' is of a cluster: add --engine ray"),
        (("--engine=ray", "--workers=0"), "--workers '0': give a whole number of at least 1"),
        (("--engine=ray", "--workers=two"), "--workers 'two': give a whole number"),
    ],
)
def test_a_mistake_in_them_is_one_line(words: tuple[str, ...], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        cluster(arguments(*words))


def test_a_gpu_is_for_checkpoints_alone(tmp_path: Path) -> None:
    assert not has_checkpoint(options().models)
    assert has_checkpoint(options(model=["tiny:base"]).models)


def test_without_ray_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "okrt.engines.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delattr("okrt.engines.ray", raising=False)
    job: Job[int] = Job(_unused, _unused, _unused, _unused)
    for call in (lambda: crew(job, Cluster()), lambda: check(Cluster())):
        with pytest.raises(UsageError, match=r"--engine ray needs: pip install 'okrt\[ray\]'"):
            call()


def _unused(*_: object) -> Any:
    raise AssertionError
