"""Traces that workers on a cluster make are those that one process makes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from okrt.engines.far import NotPlayed
from okrt.errors import InfrastructureError, UsageError
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Episode
from training import collect
from training.collect_arguments import parser
from training.far import TracePlayer, Wanted, play_on
from training.gather import Plan, gather
from training.traces import CONTRACTS, TraceSettings, read_record

ROOT = Path(__file__).parents[2]
SMALL = ("--tier", "micro", "--pairs", "4")


class NearCrew:
    """A crew of two in this process: what goes to it is pickled."""

    def __init__(self, settings: TraceSettings, models: Any, in_flight: int) -> None:
        make = pickle.loads(pickle.dumps(partial(TracePlayer, settings, models, in_flight)))
        self.players = [make(number) for number in range(2)]
        self.played = 0

    def play(self, cases: Sequence[Wanted]) -> Iterator[Episode | NotPlayed]:
        for number, player in enumerate(self.players):
            player.check()
            for found in player.play(pickle.loads(pickle.dumps(cases[number::2]))):
                self.played += 1
                yield pickle.loads(pickle.dumps(found))

    def close(self) -> None:
        for player in self.players:
            player.close()


def test_the_pairs_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect.main([*SMALL, "--out", str(tmp_path / "here")]) == 0
    crews: list[NearCrew] = []

    def gathered(options: Any, plan: Plan, runtime: Any, progress: Any) -> Any:
        crew = NearCrew(plan.record.settings, collect._specs(options), plan.in_flight)
        crews.append(crew)
        try:
            play = partial(play_on, cast("Any", crew))
            return gather(options.out, plan, runtime, progress, play)
        finally:
            crew.close()

    monkeypatch.setattr(collect, "_gathered", gathered)
    assert collect.main([*SMALL, "--out", str(tmp_path / "there")]) == 0
    here, there = read_record(tmp_path / "here"), read_record(tmp_path / "there")
    assert here.survey == there.survey
    assert here.survey.accepted == 4
    assert crews[0].played == 2 * there.survey.tried


def test_a_case_that_was_not_played_ends_it() -> None:
    class NoCrew:
        def play(self, cases: Sequence[Wanted]) -> Iterator[NotPlayed]:
            yield NotPlayed(Wanted("persistent", cast("Any", ())).key, "error", "no such thing")

    with pytest.raises(InfrastructureError, match="no such thing"):
        list(play_on(cast("Any", NoCrew()), []))


def test_a_cluster_without_its_engine_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect.main([*SMALL, "--out", str(tmp_path / "t"), "--workers", "2"]) == 2
    assert "add --engine ray" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_other_files_than_in_charge_end_it(tmp_path: Path) -> None:
    options = parser().parse_args([*SMALL, "--out", str(tmp_path)])
    runtime = ZygoteRuntime()
    try:
        settings = collect._plan(options, (), runtime).record.settings
    finally:
        runtime.close()
    player = TracePlayer(settings, dict.fromkeys(CONTRACTS, "tiny:base"), 1, 0)
    with pytest.raises(UsageError, match="others than on the machine in charge"):
        player._agent("persistent")
    player.close()


@pytest.mark.ray
def test_on_ray_the_digest_is_the_same(tmp_path: Path) -> None:
    def run(name: str, *more: str) -> None:
        found = subprocess.run(
            [sys.executable, "-m", "training.collect", *SMALL, "--out", name, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stderr

    run("here")
    run("there", "--engine", "ray", "--workers", "2")
    assert read_record(tmp_path / "here").survey == read_record(tmp_path / "there").survey
