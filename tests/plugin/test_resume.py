"""`--okrt-resume`: what is there is kept, what is missing is run, and only of the same work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import make_checkpoint
from tests.plugin.conftest import Run, plain, rows, text

COUNTED = """
import os, pytest, sys
from okrt.errors import ModelFailure
from tests.toys import block

def talk(conversation):
    with open("asked", "a") as asked:
        asked.write("x")
    if FAILS:
        raise ModelFailure("server gone")
    return block("finish()")

def other(conversation):
    return block("finish()")

FAILS = False

@pytest.mark.okrt(tiers=["micro"], seeds=range(4))
def test_own(episode):
    assert episode.outcome is not None
    assert episode.trajectory.turns
    if "PYTEST_XDIST_WORKER" in os.environ:  # one that runs no checkpoint and asks no server
        assert not {"torch", "transformers", "openai"} & set(sys.modules)
"""
OWN = ("--model=test_own:talk", "--runtime=stateless")
ALONE = ("-n0",)
"""For sessions that only set the scene: quicker than workers."""


def write(pytester: pytest.Pytester, changed: tuple[str, str] = ("", "")) -> None:
    pytester.makepyfile(test_own=COUNTED.replace(*changed) if changed[0] else COUNTED)


def asked(pytester: pytest.Pytester) -> int:
    return len((pytester.path / "asked").read_text())


def lines(run: Path) -> list[bytes]:
    return (run / "episodes.jsonl").read_bytes().splitlines(keepends=True)


def bare(run: Path) -> list[dict[str, Any]]:
    return [{**row, "timing": None} for row in rows(run)]


def test_what_is_missing_is_run(evaluate: Run, pytester: pytest.Pytester) -> None:
    """Of eight episodes one is whole, one half written, one broken off, the others are missing."""
    write(pytester)
    evaluate(*OWN, *ALONE, "--okrt-repeats=2").assert_outcomes(passed=8)
    run, whole = pytester.path / "run", pytester.path / "whole"
    shutil.copytree(run, whole)
    first, second, third, *_ = lines(run)
    broken = json.loads(second) | {"trajectory": None, "outcome": None}
    broken["failure"] = {"boundary": "runtime", "error_type": "X", "message": "m"}
    (run / "episodes.jsonl").write_bytes(first + json.dumps(broken).encode() + b"\n" + third[:99])
    stale = run / "workers" / "killed"
    stale.mkdir(parents=True)
    (stale / "gw0.json").write_text("{}")
    (stale / "over").write_text("long ago")
    result = evaluate(*OWN, "--okrt-repeats=2", "--okrt-resume=run", out=False)
    result.assert_outcomes(passed=8)
    assert asked(pytester) == 8 + 7
    assert bare(run) == bare(whole)
    assert lines(run)[0] == first
    assert len(lines(run)) == 8
    assert "incomplete" not in text(result)
    assert not (run / "workers").exists()
    kept = json.loads((run / "run.json").read_text())
    assert kept["complete"]
    assert len(kept["sessions"]) == 2
    assert kept["created"] == kept["sessions"][0]["created"]
    assert "--okrt-out=run" in kept["arguments"]
    assert "--okrt-resume=run" in kept["sessions"][1]["arguments"]
    assert (run / "report.md").read_text().count("test_own:talk") > 0


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_a_part_of_the_plan_may_be_run_and_the_plan_stays(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    write(pytester)
    evaluate(*OWN, "-x", "--okrt-max-tokens=1")
    run = pytester.path / "run"
    held = len(lines(run))
    assert held < 4
    result = evaluate(*OWN, "--okrt-resume=run", "-k", "micro-3", out=False)
    assert f"incomplete: {held + 1} of 4 episodes" in text(result)
    assert "to go on: pytest " in text(result)
    assert not json.loads((run / "run.json").read_text())["complete"]
    evaluate(*OWN, "--okrt-resume=run", out=False).assert_outcomes(passed=4)
    assert json.loads((run / "run.json").read_text())["complete"]


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_a_failure_is_tried_again(evaluate: Run, pytester: pytest.Pytester) -> None:
    write(pytester, ("FAILS = False", "FAILS = True"))
    evaluate(*OWN).assert_outcomes(errors=4)
    assert [row["score"] for row in rows(pytester.path / "run")] == [None] * 4
    write(pytester)
    (pytester.path / "asked").unlink()
    pytester.syspathinsert()
    evaluate(*OWN, "--okrt-resume=run", out=False).assert_outcomes(passed=4)
    assert asked(pytester) == 4
    assert all(row["failure"] is None for row in rows(pytester.path / "run"))


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_tests_of_finished_cells_load_no_model(
    evaluate: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pytester)
    evaluate(*OWN)
    before = lines(pytester.path / "run")

    def load(*_: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("okrt.specs.load_model", load)
    result = evaluate(*OWN, "--okrt-resume=run", out=False)
    result.assert_outcomes(passed=4)
    assert asked(pytester) == 4
    assert lines(pytester.path / "run") == before


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_other_work_is_refused(evaluate: Run, pytester: pytest.Pytester) -> None:
    write(pytester)
    evaluate(*OWN)
    files = {file: file.read_bytes() for file in (pytester.path / "run").iterdir()}
    for argument, message in {
        "--okrt-max-turns=3": "it holds other settings: max_turns: 40 there, 3 asked for",
        "--okrt-tool-cap=3": "it holds other settings: tool_cap: the tier's there, 3 asked for",
        "--okrt-seeds=9": "stateless-micro-4 is asked for and not among them",
        "--okrt-trained-under=test_own:talk=mixed": "trained_under: 'unknown' there, 'mixed' now",
        "--model=test_own:other": "test_own:other-stateless-micro-0 is asked for",
        "--okrt-out=else": "--okrt-out 'else' and --okrt-resume 'run': a run goes on in its",
        "--okrt-resume=nowhere": "--okrt-resume 'nowhere': no run directory",
        "--okrt-max-hours=0": "--okrt-max-hours '0': give a positive number of hours",
        "--okrt-max-tokens=0": "--okrt-max-tokens '0': give a whole number",
    }.items():
        result = evaluate(*OWN, "--okrt-resume=run", argument, out=False)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert message in plain(result)
    assert {file: file.read_bytes() for file in (pytester.path / "run").iterdir()} == files


def test_other_prompts_tasks_and_versions_are_refused(
    evaluate: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    write(pytester)
    evaluate(*OWN, *ALONE)
    run = pytester.path / "run"
    whole = (run / "episodes.jsonl").read_bytes()

    def refused(status: int = 4) -> str:
        result = evaluate(*OWN, "--okrt-resume=run", out=False)
        assert result.ret == status
        return plain(result)

    late = workers == "2"  # those who make the tasks find it out
    (run / "episodes.jsonl").write_bytes(b"".join(lines_of_version(whole, 0)))
    message = "it holds other tasks: task: 'opaque_knapsack/micro/eval/3@0' there, "
    assert message in refused(status=1 if late else 4)
    if late:
        return
    (run / "episodes.jsonl").write_bytes(whole.replace(b'"id":"', b'"id":"0'))
    assert "it holds other prompts or models, test_own:talk-stateless-micro-0" in refused()
    (run / "episodes.jsonl").write_bytes(whole)
    said = (run / "run.json").read_text()
    for old, new, message in (
        ('"schema": 1', '"schema": 2', "schema 2 is unknown"),
        ('"okrt": "', '"okrt": "0.', "it holds episodes of another version: okrt: '0."),
    ):
        (run / "run.json").write_text(said.replace(old, new, 1))
        assert message in refused()
    assert (run / "episodes.jsonl").read_bytes() == whole


def lines_of_version(whole: bytes, version: int) -> list[bytes]:
    """Returns the episodes as another version of their tasks, with the ids that this gives."""
    from okrt.run import name_of
    from okrt.runtimes.contracts import STATELESS
    from okrt.store import decode_episode, encode_episode

    made = []
    for line in whole.splitlines():
        record = decode_episode(line)
        object.__setattr__(record.task, "version", version)
        name = name_of(record.task, 0, STATELESS, record.model, record.settings)
        object.__setattr__(record, "id", name)
        made.append(encode_episode(record))
    return made


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])  # slow with torch in each worker
def test_an_overwritten_checkpoint_is_another_model(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    short = ("--okrt-max-turns=1", "--okrt-max-new-tokens=2", "--okrt-seeds=1")
    model = ("--model=model", "--runtime=stateless", *short)
    write(pytester)
    make_checkpoint(pytester.path / "model")
    evaluate(*model).assert_outcomes(passed=1)
    shutil.move(pytester.path / "model", pytester.path / "moved")
    moved = ("--model=model=moved", *model[1:], "--okrt-resume=run")
    evaluate(*moved, out=False).assert_outcomes(passed=1)
    make_checkpoint(pytester.path / "model", seed=1)
    result = evaluate(*model, "--okrt-resume=run", out=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "an overwritten checkpoint is another model): model.digest: 'sha256:" in plain(result)


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_a_run_that_is_being_written_is_left_to_its_writer(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    from okrt.store import RunDirectory

    write(pytester)
    evaluate(*OWN)
    with RunDirectory.resume(pytester.path / "run"):
        result = evaluate(*OWN, "--okrt-resume=run", out=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "another process is writing" in plain(result)


TOKENS = ("--okrt-max-tokens=1", "the 1 tokens of the session (--okrt-max-tokens) were spent")
HOURS = ("--okrt-max-hours=1e-9", "the 1e-09 hours of the session (--okrt-max-hours) were over")


@pytest.mark.parametrize(
    ("workers", "limit", "why"), [("0", *TOKENS), ("0", *HOURS), ("2", *TOKENS)]
)
def test_a_session_ends_when_its_limit_is_reached(
    evaluate: Run, pytester: pytest.Pytester, workers: str, limit: str, why: str
) -> None:
    write(pytester)
    result = evaluate(*OWN, limit, "--okrt-seeds=40")
    shown = text(result)
    run = pytester.path / "run"
    held = len(lines(run))
    assert held < 40
    assert f"not run, {why}: {40 - held} cases" in shown
    assert f"to go on: pytest -n {workers} " in shown
    assert shown.count("--okrt-resume run") == 1
    assert result.ret == 1
    kept = json.loads((run / "run.json").read_text())
    assert not kept["complete"]
    assert len(kept["not_run"]) == 40 - held
    again = evaluate(*OWN, *ALONE, "--okrt-resume=run", "--okrt-seeds=40", out=False)
    again.assert_outcomes(passed=40)
    assert len(rows(run)) == 40
