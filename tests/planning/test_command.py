"""`okrt plan`: what it prints, what it refuses, and how it finds its cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from okrt.cli import main
from okrt.errors import UsageError
from okrt.planning.choosing import read_briefs
from okrt.store import EPISODES, encode_episode, write_run
from tests.analysis.build import sample
from tests.planning.runs import rows, saved

GATES = """
[run]
tiers = ["easy"]
seeds = 100
runtimes = ["stateless"]

[[gate]]
name = "quality"
metric = "score"
not_lower_by = 0.05
against = "baseline"

[[gate]]
name = "losses"
metric = "lost_rate"
runtime = "stateless"
at_most = 0.02

[[gate]]
name = "tokens"
metric = "total_tokens"
ratio_at_most = 1.10
against = "baseline"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def runs(here: Path) -> Path:
    """A candidate in two runtimes, and the run of a baseline in one."""
    scores = [[0.6 + 0.01 * (seed * factor % 17) for seed in range(20)] for factor in (3, 5, 7)]
    lost = [0] * 20
    tokens = [9_000 + seed * 10 for seed in range(20)]
    cells = [
        rows("new", contract, score=one, lost_errors=lost, total_tokens=tokens)
        for contract, one in (("stateless", scores[0]), ("persistent", scores[1]))
    ]
    saved(here / "new", *cells)
    tokens = [8_500 + 300 * (seed % 3) for seed in range(20)]
    saved(here / "old", rows("old", score=scores[2], lost_errors=lost, total_tokens=tokens))
    return here


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["plan", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_a_plan_without_a_pilot_says_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = plan(capsys, "--metric", "score", "--margin", "0.03")
    assert status == 0
    assert out == (
        "score lower by at most 0.03, by a one-sided 95% bound\n"
        "assumed: score is the same in both, a task's spread is 0.14; no pilot: scores of one kind "
        "of model on easy tasks\n"
        "tasks needed: 135 (power 0.8)\n"
        "with 100 tasks: power 0.69; score lower by at most 0.0349 can be decided\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("score", "--margin=0.03", "--tasks=100"),
            "score lower by at most 0.03 passes with probability 0.69 at 100 tasks, less than 0.8: "
            "use 135 tasks; 100 decide score lower by at most 0.0349",
        ),
        (
            ("lost_rate", "--limit=0.05", "--tasks=58"),
            "lost_rate at most 0.05 passes with probability 0.00 at 58 tasks, less than 0.8: use "
            "59 tasks; 58 decide lost_rate at most 0.0504",
        ),
        (
            ("score", "--margin=0.03", "--truth=-0.05"),
            "score lower by at most 0.03 cannot pass however many tasks there are: it is thought "
            "to be -0.05",
        ),
    ],
)
def test_what_cannot_be_decided_is_one_line_and_exits_1(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert plan(capsys, "--metric", *words) == (1, "", f"okrt: {said}\n")
    assert plan(capsys, "--metric", "lost_rate", "--limit=0.05", "--tasks=59")[0] == 0


def test_what_cannot_pass_is_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--metric=score", "--margin=0.03", "--json")
    status, out, err = plan(capsys, *words, "--truth=-0.05")
    assert status == 1
    found = json.loads(out)
    assert (found["decidable"], found["tasks_needed"]) == (False, None)
    assert err == f"okrt: {found['reason']}\n"
    planned = json.loads(plan(capsys, *words)[1])
    assert planned.keys() == found.keys()
    assert planned["reason"] is None


def test_a_pilot_says_spread_tokens_and_hours(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--metric=total_tokens", "--ratio=1.1", "--pilot=new", "--against=old")
    status, out, _ = plan(capsys, *words, "--runtime=stateless")
    assert status == 0
    assert "pilot of 20 tasks: new in stateless against old in stateless" in out
    assert "(the pilot's ratio: 1.035)" in out
    needed = int(out.partition("tasks needed: ")[2].split()[0])
    tokens = needed * (9_095 + 8_500 + 300 * 19 / 20)
    assert f"tokens of {needed} tasks: {tokens:,.0f} (new in stateless 9,095 a task, old in" in out
    assert f"hours: {needed * 2 * 90 / 3600:.2g} of one process" in out
    named = plan(capsys, *words, "--runtime=stateless", "--model=new", "--model=old")
    assert named == (0, out, "")  # of two models, one is of each run
    status, out, _ = plan(capsys, *words, "--runtime=stateless", "--json", "--tasks=50")
    found: dict[str, Any] = json.loads(out)
    assert (found["schema"], found["decidable"], found["tasks_needed"]) == (1, True, needed)
    assert found["seconds"] == 50 * 180
    assert found["cells"][0]["cell"] == "new in stateless"
    assert [one["tasks"] for one in found["with"]] == [50, 100]


def test_two_cells_of_one_run_are_named_the_judged_one_first(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--metric=score", "--margin=0.05", "--pilot=new")
    for order in (("stateless", "persistent"), ("persistent", "stateless")):
        status, out, _ = plan(capsys, *words, *(f"--runtime={one}" for one in order))
        assert status == 0
        assert f"new in {order[0]} against new in {order[1]}" in out
    status, _, err = plan(capsys, "--metric=score", "--limit=0.5", "--pilot=new")
    assert status == 2
    assert (
        "the pilot is to be one cell, the run holds new in persistent on easy; new in stateless on "
        "easy: name it by --model and --runtime" in err
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --metric and a limit, or --gates FILE"),
        (("--metric=score",), "score: give --margin, --ratio or --limit"),
        (("--metric=scores", "--limit=1"), "unknown metric 'scores'; known: score, relative_score"),
        (("--metric=score", "--margin=3"), "3 points are 0.03"),
        (("--metric=score", "--ratio=1.1"), "--ratio 1.1: of score that makes no sense"),
        (("--metric=lost_rate", "--limit=0"), "5% is 0.05"),
        (("--metric=score", "--margin=0.03", "--power=80"), "--power 80: above 0 and below 1"),
        (("--metric=score", "--margin=0.03", "--level=0.5"), "--level 0.5: above 0.5"),
        (("--metric=score", "--margin=0.03", "--tasks=0"), "--tasks 0: from 1 to 10,000,000"),
        (("--metric=score", "--margin=0.03", f"--tasks={10**400}"), "from 1 to 10,000,000"),
        (("--metric=score", "--margin=0.03", "--against=x"), "give --pilot RUN, too"),
        (("--metric=score", "--margin=0.03", "--pilot=x"), "'x' is no run directory and no saved"),
        (("--metric=score", "--limit=0.5", "--equivalent"), "give --margin or --ratio"),
        (("--metric=turns", "--margin=2", "--equivalent"), "is equivalent within a --ratio"),
        (("--metric=score", "--ratio=1.1", "--equivalent"), "is equivalent within a --margin"),
        (("--metric=turns", "--ratio=1.1"), "give --pilot RUN"),
        (("--metric=total_tokens", "--margin=0.1"), "--ratio 1.10 on the command line"),
        (("--gates=x",), "no such file"),
        (("--gates=x", "--tasks=9"), "leave out --tasks"),
        (("--gates=x", "--truth=0"), "leave out --truth"),
        (("--gates=x", "--level=0.9"), "leave out --level"),
        (("--gates=x", "--equivalent"), "leave out --equivalent"),
        (("--gates=x", "--model=new"), "leave out --model"),
        (("--gates=x", "--runtime=stateless"), "leave out --runtime"),
        (("--metric=score", "--margin=0.03", "--model=new"), "--model is of a pilot's cell"),
        (("--metric=score", "--margin=0.03", "--runtime=x"), "--runtime is of a pilot's cell"),
        (("--metric=lost_rate", "--limit=0.05", "--spread=1"), "lost_rate is a rate"),
        (("--metric=turns", "--ratio=1.1", "--spread=1", "--truth=0"), "of a ratio it is above 0"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    status, out, err = plan(capsys, *words)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_every_gate_of_a_file_is_asked(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("gates.toml").write_text(GATES)
    status, out, _ = plan(capsys, "--gates=gates.toml")
    assert status == 1
    assert "  yes quality: score lower by at most 0.05: power 0.97 at 100 tasks, 49 needed" in out
    assert (
        "  NO  losses: lost_rate at most 0.02 passes with probability 0.00 at 100 tasks, less than "
        "0.8: use 149 tasks; 100 decide lost_rate at most 0.0296\n" in out
    )
    assert "  ?   tokens: total_tokens at most 1.1 times the other cell's: how much a task's" in out
    assert out.endswith("1 of 3 cannot be decided, of 1 too little is known\n")
    status, out, _ = plan(capsys, "--gates=gates.toml", "--pilot=new")
    assert "  ?   tokens [new in stateless on easy]: total_tokens at most 1.1 times the" in out
    assert "give the baseline's run by --against" in out
    words = ("--gates=gates.toml", "--pilot=new", "--against=old", "--json")
    status, out, _ = plan(capsys, *words)
    assert status == 1
    found = {(one["name"], one["cell"]): one for one in json.loads(out)["gates"]}
    assert found["tokens", "new in stateless on easy"]["decidable"] is True
    assert found["losses", "new in stateless on easy"]["tasks_needed"] == 149
    assert not [cell for _, cell in found if "persistent" in cell]  # no runtime of the file's
    assert found["quality", "new in stateless on easy"]["power"] is not None
    text = GATES.replace('runtimes = ["stateless"]', 'runtimes = ["stateless", "persistent"]')
    Path("gates.toml").write_text(text)
    found = {(o["name"], o["cell"]): o for o in json.loads(plan(capsys, *words)[1])["gates"]}
    assert "no cells of the other run" in found["quality", "new in persistent on easy"]["reason"]


def test_a_saved_baseline_is_found_by_name_and_must_be_what_was_saved(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--metric=score", "--margin=0.05", "--pilot=new", "--runtime=stateless")
    told = plan(capsys, *words, "--against=old")
    assert told[0] == 0
    (runs / "okrt-baselines").mkdir()
    old = (runs / "old").rename(runs / "okrt-baselines" / "old")
    assert plan(capsys, *words, "--against=old") == told
    kept = (old / "rows.jsonl").read_text()
    (old / "rows.jsonl").write_text(kept.replace('"score":0.6', '"score":0.5', 1))
    status, _, err = plan(capsys, *words, "--against=old")
    assert status == 2
    assert "the rows are not those that were saved" in err


def test_of_a_run_that_was_broken_off_the_whole_episodes_are_a_pilot(here: Path) -> None:
    (here / "run").mkdir()
    write_run(here / "run", {})
    whole = encode_episode(sample())
    episodes = here / "run" / EPISODES
    episodes.write_bytes(whole + whole[:50])
    assert len(read_briefs("run")) == 1
    episodes.write_bytes(whole[:50] + b"\n" + whole)
    with pytest.raises(UsageError, match=r"episodes\.jsonl:1"):
        read_briefs("run")


def test_of_a_baseline_with_two_models_a_gate_takes_that_of_its_own_label(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("gates.toml").write_text(GATES)
    score = [0.6 + 0.01 * (seed % 7) for seed in range(20)]
    saved(runs / "two", *(rows(model, score=score) for model in ("new", "older")))
    words = ("--gates=gates.toml", "--pilot=new", "--json")
    found = json.loads(plan(capsys, *words, "--against=two")[1])["gates"][0]
    assert found["source"] == "pilot of 20 tasks: new in stateless against new in stateless"
    saved(runs / "others", *(rows(model, score=score) for model in ("old", "older")))
    found = json.loads(plan(capsys, *words, "--against=others")[1])["gates"][0]
    assert found["reason"] == "2 cells of the other run or cell match"
