"""Several caps in a session of tests."""

from __future__ import annotations

import json

import pytest

from tests.plugin.conftest import Run, alone, rows, text


@alone
def test_each_cap_is_a_test_and_an_episode_of_its_own(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    one = ("--model=expert:stateless", "--runtime=stateless", "--okrt-seeds=1")
    result = evaluate(*one, "--okrt-tool-cap=3,6", "-v")
    result.assert_outcomes(passed=2)
    for cap in (3, 6):
        assert f"test_fit[expert:stateless-stateless-micro-0-cap{cap}]" in text(result)
    assert sorted(row["tool_cap"] for row in rows(pytester.path / "run")) == [3, 6]
    run = json.loads((pytester.path / "run" / "run.json").read_text())
    assert run["complete"] is True
    assert sorted(case["tool_cap"] for case in run["manifest"].values()) == [3, 6]
