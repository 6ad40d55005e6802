"""The main job: cases, episodes, the run directory, the table."""

from __future__ import annotations

import json
import os
from xml.etree import ElementTree

import pytest

from tests.plugin.conftest import EVALUATION, ROOT, Run, alone, rows, text


def test_both_experts_run_under_both_contracts(evaluate: Run, pytester: pytest.Pytester) -> None:
    result = evaluate()
    result.assert_outcomes(passed=8)
    assert result.ret == 0
    found = rows(pytester.path / "run")
    cells = {(row["model"], row["contract"]) for row in found}
    assert len(found) == 8
    assert len(cells) == 4
    assert [row["episode_id"] for row in found] == sorted(row["episode_id"] for row in found)
    assert all(row["runtime"] == row["contract"] for row in found)
    result.stdout.fnmatch_lines(["*okrt*", "*self-check of the harness*"])
    assert "no gates: nothing was decided" in text(result)
    assert "Traceback" not in text(result)


def test_the_run_directory_says_what_was_run(evaluate: Run, pytester: pytest.Pytester) -> None:
    evaluate("--runtime=stateless", "--model=expert:stateless")
    folder = pytester.path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "episodes.jsonl", "rows.jsonl", "report.md", "report.html",
    }  # fmt: skip
    run = json.loads((folder / "run.json").read_text())
    assert run["complete"] is True
    assert len(run["manifest"]) == 2
    assert "--runtime=stateless" in run["arguments"]
    (row, *_) = rows(folder)
    assert run["sandbox"]["isolation"] == row["timing"]["isolation"]
    lines = (folder / "episodes.jsonl").read_text().splitlines()
    assert {json.loads(line)["schema"] for line in lines} == {1}
    assert "self-check" in (folder / "report.md").read_text()


@alone
def test_case_ids_name_label_contract_tier_seed(pytester: pytest.Pytester, evaluate: Run) -> None:
    result = evaluate("--collect-only", "-q", "--model", "mine=expert:stateless", out=False)
    assert "test_fit.py::test_fit[mine-stateless-micro-1]" in text(result)
    assert not (pytester.path / "okrt-runs").exists()
    assert "no gates" not in text(result)
    result = evaluate("--collect-only", "-q", "--okrt-repeats=2", "--okrt-seeds=7:9", out=False)
    assert "test_fit[expert:stateless-persistent-micro-7-r2]" in text(result)
    first, again = text(result).index("micro-8-r1"), text(result).index("micro-7-r2")
    assert first < again, "repeats of a task are not played side by side"


@alone
def test_repeats_are_episodes_of_their_own(evaluate: Run, pytester: pytest.Pytester) -> None:
    greedy = ("--okrt-repeats=2", "--okrt-temperature=0")
    result = evaluate(*greedy, "--runtime=stateless", "--model=expert:stateless")
    assert "A/A: transcripts differ    0 of 2: 0.0%" in text(result)
    assert sorted((r["seed"], r["repeat"]) for r in rows(pytester.path / "run")) == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip


@alone
def test_two_tests_of_the_same_case_share_its_episode(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_two="""
        import pytest
        pytestmark = pytest.mark.okrt(tiers=["micro"], seeds=range(2))
        def test_one(episode): assert episode.outcome
        def test_other(episode): assert episode.trajectory
        """
    )
    evaluate("--model=expert:stateless").assert_outcomes(passed=8)
    assert len(rows(pytester.path / "run")) == 4


def test_a_worker_plays_a_shared_case_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.syspath_prepend(str(pytester.path))
    pytester.makepyfile(
        test_two="""
        import pathlib, pytest
        from tests.toys import block

        def talk(conversation):
            with open("asked", "a") as asked:
                asked.write("x")
            return block("finish()")

        pytestmark = pytest.mark.okrt(tiers=["micro"], seeds=2)
        def test_one(episode): assert episode.outcome
        def test_other(episode): assert episode.trajectory
        """
    )
    result = pytester.runpytest_inprocess("-n1", "--model=test_two:talk", "--runtime=stateless")
    result.assert_outcomes(passed=4)
    assert (pytester.path / "asked").read_text() == "xx"


@alone
def test_seeds_and_tiers_may_be_short(evaluate: Run, pytester: pytest.Pytester) -> None:
    short = EVALUATION.replace('["micro"]', '"micro"').replace("range(2)", "2")
    pytester.makepyfile(test_fit=short)
    evaluate("--model=expert:stateless").assert_outcomes(passed=4)


def test_a_directory_that_goes_away_in_mid_run_is_said(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_fit=EVALUATION
        + """
def test_zz_remove():
    import shutil, time
    time.sleep(2)
    shutil.rmtree("run")
"""
    )
    result = evaluate("--runtime=stateless")
    assert "not written: cannot write the run directory" in text(result)
    assert "expert:stateless" in text(result)
    assert "INTERNALERROR" not in text(result)
    assert result.ret != 0


def test_deselected_cases_are_not_run(evaluate: Run, pytester: pytest.Pytester) -> None:
    evaluate("-k", "stateless-micro-1").assert_outcomes(passed=2)
    assert {(r["contract"], r["seed"]) for r in rows(pytester.path / "run")} == {("stateless", 1)}


@alone
def test_the_fixtures_give_the_parts_of_a_case(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.okrt(tiers=["micro"], seeds=[3])
        def test_parts(okrt_model, okrt_contract, okrt_task):
            assert okrt_model.card.label.startswith("expert:")
            assert okrt_contract.name in ("persistent", "stateless")
            assert okrt_task.id == "opaque_knapsack/micro/eval/3@1"
        """
    )
    evaluate().assert_outcomes(passed=4)
    assert not (pytester.path / "run").exists()


@alone
def test_a_failed_assertion_is_the_test_s_own(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.okrt(tiers=["micro"], seeds=range(2))
        def test_strict(episode):
            assert episode.task.seed == 0
        """
    )
    result = evaluate("--model=expert:stateless", "--runtime=stateless")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    assert len(rows(pytester.path / "run")) == 2


def test_stopping_early_keeps_what_was_run(pytester: pytest.Pytester, evaluate: Run) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.okrt(tiers=["micro"], seeds=range(30))
        def test_strict(episode):
            assert episode.task.seed != 2
        """
    )
    result = evaluate("-x", "--model=expert:stateless", "--runtime=stateless")
    assert result.ret in (1, 2)
    found = rows(pytester.path / "run")
    assert 3 <= len(found) < 30
    assert f"incomplete: {len(found)} of 30 episodes" in text(result)


def test_junit_files_hold_figures_and_no_transcript(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    evaluate("--junit-xml=junit.xml", "--model=expert:stateless")
    cases = ElementTree.parse(pytester.path / "junit.xml").findall(".//testcase")
    found = {row["episode_id"]: row for row in rows(pytester.path / "run")}
    assert len(cases) == len(found) == 4
    for case in cases:
        told = {p.attrib["name"]: p.attrib["value"] for p in case.findall("properties/property")}
        row = found.pop(told["okrt_episode_id"])
        assert float(told["okrt_score"]) == pytest.approx(row["score"], rel=1e-5)
        assert told["okrt_total_tokens"] == str(row["total_tokens"])
        assert told["okrt_runtime"] == row["runtime"]
        assert max(map(len, told.values())) < 100
        assert len(told) == len(case.findall("properties/property"))


def test_ini_keys_stand_in_for_options(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        okrt_model = mine=expert:stateless
        okrt_runtime = stateless
        okrt_seeds = 4:5
        """
    )
    evaluate().assert_outcomes(passed=1)
    (row,) = rows(pytester.path / "run")
    assert (row["model"], row["contract"], row["seed"]) == ("mine", "stateless", 4)
    evaluate("--okrt-seeds=2", "--okrt-out=other", out=False).assert_outcomes(passed=2)


def test_settings_reach_the_episode_and_its_row(evaluate: Run, pytester: pytest.Pytester) -> None:
    evaluate(
        "--model=expert:stateless", "--runtime=stateless", "--okrt-seeds=1", "--okrt-tool-cap=3",
        "--okrt-max-turns=2", "--okrt-cue=true", "--okrt-names=on", "--okrt-format=code_tag",
        "--okrt-prompts=coached", "--okrt-thinking=strip", "--okrt-temperature=0",
        "--okrt-trained-under=expert:stateless=mixed",
    )  # fmt: skip
    (row,) = rows(pytester.path / "run")
    assert (row["tool_cap"], row["max_turns"], row["temperature"]) == (3, 2, 0.0)
    assert (row["cue"], row["names"], row["format"]) == ("true", True, "code_tag")
    assert (row["prompt_set"], row["thinking"]) == ("coached", "strip")
    assert (row["trained_under"], row["ending"]) == ("mixed", "max_turns")


def test_an_estimate_runs_three_tasks_a_cell_and_stops(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    result = evaluate("--okrt-estimate", "--okrt-seeds=50", "--model=expert:stateless")
    assert result.ret == 0
    result.assert_outcomes()
    shown = text(result)
    assert "opaque_knapsack micro expert:stateless stateless: 50 episodes" in shown
    assert "all: 100 episodes" in shown
    assert "(from 3 tasks a cell)" in shown
    assert not (pytester.path / "run").exists()


@pytest.mark.parametrize("workers", ["2"], ids=["n2"])
def test_loadscope_runs_every_case(evaluate: Run, pytester: pytest.Pytester) -> None:
    evaluate("--dist=loadscope").assert_outcomes(passed=8)
    assert len(rows(pytester.path / "run")) == 8
