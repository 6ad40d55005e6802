"""Runs with little in them: a page without errors, whatever is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from okrt.report.html.writing import write_page
from okrt.types import Completion, Episode, Failure, Outcome, Turn, Usage
from tests.analysis import build
from tests.browser.conftest import Open
from tests.report.html import runs

pytestmark = pytest.mark.browser

SILENT = Turn(Completion("", "stop", Usage()), "", None, None, "", reply_problem="no_block")
"""Of which nothing was measured."""
BROKEN = Failure("model", "TimeoutError", "no answer")
ODD: dict[str, list[Episode]] = {
    "empty": [],
    "only failures": [build.episode(outcome=None, failure=BROKEN)],
    "one cell of one episode": [build.episode(build.turn())],
    "no turns": [build.episode()],
    "nothing measured": [build.episode(SILENT, outcome=Outcome(0.0, False))],
    "no tokens at all": [build.episode(build.turn(tokens=(0, 0)), outcome=Outcome(1.0, True))],
    "many runtimes": [
        build.episode(*[build.turn()] * 90, id=str(at), contract=f"contract-{at}")
        for at in range(12)
    ],
}


@pytest.mark.parametrize("name", ODD)
def test_a_run_with_little_in_it(open_page: Open, tmp_path: Path, name: str) -> None:
    opened = open_page(write_page(runs.write_run(tmp_path / "run", ODD[name])), width=800)
    page = opened.page
    assert page.get_by_text("could not be drawn").count() == 0
    assert opened.overflow() <= 0
    if ODD[name]:
        opened.read()
    else:
        assert page.locator("main").inner_text().count("No episodes.") == 2
    assert opened.said == []
