"""`okrt replay` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from okrt.cli import main
from okrt.errors import RuntimeFailure
from okrt.plan import key_of, plan_of
from okrt.replay import replay, work
from okrt.replay.tasks import check_task, is_private
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import RunDirectory
from okrt.types import Episode, Failure, Task
from tests.replay.recording import expert, record
from tests.toys import Counting

OURS = ("--family", "tests.toys:FAMILY")


@pytest.fixture(autouse=True)
def asked_for(
    runtime: ZygoteRuntime, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[bool, tuple[str, ...]]]:
    """One sandbox for all commands: whether each was to be an open one, and with which packages."""
    asked: list[tuple[bool, tuple[str, ...]]] = []

    def shared(unsafe: bool, packages: tuple[str, ...]) -> ZygoteRuntime:
        asked.append((unsafe, packages))
        return runtime

    monkeypatch.setattr(work, "ZygoteRuntime", shared)
    monkeypatch.setattr(runtime, "close", lambda: None)
    return asked


def write(path: Path, *episodes: Episode, **run: object) -> str:
    with RunDirectory.create(path, run) as directory:
        for episode in episodes:
            directory.append(episode)
    return str(path)


@pytest.fixture(scope="module")
def played(runtime: ZygoteRuntime) -> list[Episode]:
    return [*expert(runtime, "persistent", PERSISTENT, range(2)),
            *expert(runtime, "persistent", STATELESS, range(1))]  # fmt: skip


def test_the_report_names_cells_turns_and_kinds(
    played: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", *played)
    assert main(["replay", run, "--runtime", "stateless", "--verbose"]) == 0
    said = capsys.readouterr()
    assert not said.err
    flowing = said.out.replace("\n", " ")
    assert "recorded under persistent, replayed under stateless" in flowing
    assert "lost variable: 2 episodes" in said.out
    assert "by turn 2: 100% of the episodes" in said.out
    assert "turn 2: lost variable: look, last alive in block 1, is gone" in said.out
    assert "replayed under stateless, as it was" in flowing
    assert max(map(len, said.out.splitlines()[4:])) <= 100


def test_json_and_lines_are_for_machines(
    played: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = write(tmp_path / "run", *played), tmp_path / "out.jsonl"
    asked = ["--runtime=stateless", "--tool-cap=3", "--from-runtime=persistent", "--json"]
    assert main(["replay", run, *asked, "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    (cell,) = found["cells"]
    assert (found["schema"], cell["episodes"], cell["tool_cap"]) == (1, 2, 3)
    assert (cell["prompts_same"], cell["faithful_turns"]["median"]) == (0, 0)
    assert cell["over_cap"] >= 2
    assert [json.loads(line) for line in out.read_text().splitlines()] == found["episodes"]
    first = found["episodes"][0]
    assert (first["departs_at"], first["lost_at"], first["same_turns"]) == (1, None, 1)
    assert main(["replay", run, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_one_episode_can_be_named(
    played: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", *played)
    for name in (played[1].id, played[1].id[:9], "expert:persistent-persistent-micro-1"):
        assert main(["replay", run, "--episode", name, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["episodes"]
        assert found["episode_id"] == played[1].id
        assert (found["departs_at"], found["faithful_turns"]) == (None, found["recorded_turns"])


def test_an_episode_of_a_swept_run_is_named_with_its_cap(
    played: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = played[0]
    cap = one.task.tool_cap
    other = replace(one, id="c" * 16, settings=replace(one.settings, tool_cap=cap))
    plan = msgspec.to_builtins(plan_of(map(key_of, (one, other))))
    run = write(tmp_path / "run", one, other, plan=plan)
    name = "expert:persistent-persistent-micro-0"
    for asked, ids in ((f"{name}-cap{cap}", {other.id}), (name, {one.id, other.id})):
        assert main(["replay", run, "--episode", asked, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["episodes"]
        assert {episode["episode_id"] for episode in found} == ids
    assert main(["replay", run, "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()[:2]
    assert [line.split()[:2] for line in lines] == [
        [one.id, f"{name}-cap_of_task"], [other.id, f"{name}-cap{cap}"]
    ]  # fmt: skip


def test_a_recorded_runtime_that_is_not_known_by_name_is_told(
    played: list[Episode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", replace(played[0], contract="house"))
    assert main(["replay", run]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "recorded under the runtime 'house', which is none of okrt's" in line
    assert "--from-runtime house --runtime module:attribute" in line


def test_a_record_that_does_not_repeat_itself_fails(
    runtime: ZygoteRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = record(runtime, ["import time; print(time.time_ns())", "1"])
    run = write(tmp_path / "run", clock)
    assert main(["replay", run, *OURS]) == 1
    said = capsys.readouterr()
    assert "1 episodes do not repeat themselves" in said.err
    assert "unsteady: 1 episode" in said.out


def test_what_cannot_be_replayed_is_counted(
    runtime: ZygoteRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = record(runtime, ["1"])
    broken = replace(whole, id="b" * 16, trajectory=None, failure=Failure("model", "E", "gone"))
    assert whole.trajectory is not None
    talk = replace(whole.trajectory, turns=tuple(
        replace(turn, code=None, execution=None) for turn in whole.trajectory.turns
    ))  # fmt: skip
    silent = replace(whole, id="c" * 16, trajectory=talk)
    open_one = replace(whole, id="d" * 16, timing={"isolation": "unsafe"})
    run = write(tmp_path / "run", whole, broken, silent, open_one, versions={"python": "2.7.18"})
    assert main(["replay", run, *OURS]) == 0
    said = capsys.readouterr()
    assert "2 episodes" in said.out
    assert "left out, broken off by infrastructure: 1" in said.err
    assert "left out, without a block: 1" in said.err
    assert "recorded without a sandbox: 1" in said.err
    assert "recorded with Python 2.7.18" in said.err
    assert main(["replay", run, *OURS, "--episode", "c"]) == 2
    assert "ran a block" in capsys.readouterr().err
    assert main(["replay", run, *OURS, "--episode", "b"]) == 2
    assert "broke off every episode" in capsys.readouterr().err


class Newer(Counting):
    def task(self, seed: int, tier: str, split: object = "eval") -> Task:
        return replace(super().task(seed, tier), version=2)


class Reworded(Counting):
    def task(self, seed: int, tier: str, split: object = "eval") -> Task:
        return replace(super().task(seed, tier), prompt="Count.")


NEWER, REWORDED = Newer(), Reworded()
BAD = {
    "unknown runtime": (["--runtime", "amnesic"], "unknown runtime 'amnesic'; known: persistent"),
    "cap": (["--tool-cap", "0"], "--tool-cap '0': give a whole number of at least 1"),
    "large cap": (["--tool-cap", "1000000000"], "'1000000000': give at most 999,999,999"),
    "endless cap": (["--tool-cap", "9" * 5000], "give at most 999,999,999"),
    "no cap": (["--tool-cap", "many"], "give a whole number"),
    "no folder": (["--out", "nowhere/out.jsonl"], "there is no folder nowhere"),
    "model": (["--model", "b"], "--model 'b': the run has toy"),
    "from runtime": (["--from-runtime", "stateless"], "the run has persistent"),
    "episode": (["--episode", "zz"], "has no episode 'zz'"),
    "no episode": (["--episode", ""], "has no episode ''"),
    "family": ([], "does not know by name: give --family"),
    "another family": (["--family", "opaque_knapsack"], "not 'opaque_knapsack'"),
    "version": (["--family", f"{__name__}:NEWER"], "generates version 2 today, not version 1"),
    "task": (["--family", f"{__name__}:REWORDED"], "another task under this id"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_told_in_one_line(
    runtime: ZygoteRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, told = BAD[name]
    run = write(tmp_path / "run", record(runtime, ["1"]))
    family = [] if "amily" in name or name in ("version", "task") else list(OURS)
    assert main(["replay", run, *family, *words]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda e: replace(e, task=replace(e.task, version=0)), "version 1 today, not version 0"),
        (lambda e: replace(e, task=replace(e.task, prompt="Count.")), "another task under this id"),
        (lambda e: replace(e, contract="house"), "recorded under the runtime 'house'"),
    ],
    ids=["version", "task", "contract"],
)
def test_one_episode_that_cannot_be_replayed_is_told_before_anything_is_run(
    runtime: ZygoteRuntime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Episode], Episode],
    told: str,
) -> None:
    one, out = record(runtime, ["1"]), tmp_path / "out.jsonl"
    run = write(tmp_path / "run", one, change(replace(one, id="b" * 16)))
    assert main(["replay", run, *OURS, "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert not out.exists()


def test_a_run_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    assert "is no run directory" in capsys.readouterr().err


def test_damaged_lines_are_told_and_passed_over(
    runtime: ZygoteRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    write(run, record(runtime, ["1"]))
    with (run / "episodes.jsonl").open("ab") as episodes:
        episodes.write(b'{"schema":1}\n')
    assert main(["replay", str(run), *OURS]) == 1
    said = capsys.readouterr()
    assert "episodes.jsonl:2" in said.err
    assert "1 episode" in said.out


def test_an_interrupt_keeps_what_was_done(
    played: list[Episode],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, out = write(tmp_path / "run", *played), tmp_path / "out.jsonl"
    real: Callable[..., object] = replay
    done: list[object] = []

    def interrupted(*arguments: object, **named: object) -> object:
        if done:
            raise KeyboardInterrupt
        done.append(real(*arguments, **named))
        return done[-1]

    monkeypatch.setattr("okrt.replay.work.replay", interrupted)
    assert main(["replay", run, "--out", str(out)]) == 130
    said = capsys.readouterr()
    assert "interrupted" in said.err
    assert "1 episode" in said.out
    assert len(out.read_text().splitlines()) == 1


def test_a_private_task_is_taken_from_the_record(runtime: ZygoteRuntime) -> None:
    """Nobody can make it anew."""
    public = Counting().task(3, "low")
    private = replace(public, prompt="secret", salt="0a1b2c3d")
    assert is_private(private)
    assert not is_private(public)
    check_task(private, Counting())
    with pytest.raises(ValueError, match="version 2 today, not version 1"):
        check_task(private, NEWER)


def test_the_sandbox_offers_what_the_record_had(
    runtime: ZygoteRuntime, tmp_path: Path, asked_for: list[tuple[bool, tuple[str, ...]]]
) -> None:
    recorded = record(runtime, ["1"])
    with_packages = replace(recorded.settings, packages=("numpy", "pandas"))
    run = write(tmp_path / "run", replace(recorded, settings=with_packages))
    assert main(["replay", run, *OURS]) == 0
    assert asked_for[-1] == (False, ("numpy", "pandas"))
    assert main(["replay", run, *OURS, "--unsafe-runtime"]) == 0
    assert asked_for[-1] == (True, ("numpy", "pandas"))


def test_a_sandbox_that_fails_is_told_and_fails(
    runtime: ZygoteRuntime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = write(tmp_path / "run", record(runtime, ["1"]))

    def fails(*arguments: object, **named: object) -> object:
        raise RuntimeFailure("it broke")

    monkeypatch.setattr("okrt.replay.work.replay", fails)
    assert main(["replay", run, *OURS]) == 1
    assert "could not be replayed: 1: it broke" in capsys.readouterr().err
