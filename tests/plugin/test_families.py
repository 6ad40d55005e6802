"""One run of several families: an expert's name means each family's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import Run, alone, rows

EVALUATION = """
import pytest

@pytest.mark.okrt(family="opaque_knapsack")
def test_knapsack(episode):
    assert episode.trajectory.ending == "finished"

@pytest.mark.okrt(family="ledger_audit")
def test_ledger(episode):
    assert episode.outcome.solved

@pytest.mark.okrt(family="lookup_control")
def test_control(episode):
    assert episode.outcome.solved
"""
FIGURES = ("score", "turns", "prompt_tokens", "completion_tokens", "transcript_chars", "errors")


@alone
def test_a_run_of_several_families_plays_each_with_its_own_experts(
    evaluate: Run, pytester: pytest.Pytester, workers: str
) -> None:
    pytester.makepyfile(EVALUATION)
    evaluate("--okrt-tier=micro", "--okrt-seeds=1").assert_outcomes(passed=12)
    found = rows(Path(pytester.path) / "run")
    lost = {
        (row["family"], row["contract"])
        for row in found
        if row["model"] == "expert:persistent" and row["lost_errors"]
    }
    assert lost == {("opaque_knapsack", "stateless"), ("ledger_audit", "stateless")}
    control = [[row[f] for f in FIGURES] for row in found if row["family"] == "lookup_control"]
    assert control == [control[0]] * 4
