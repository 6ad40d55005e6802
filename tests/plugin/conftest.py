"""Plugin tests run in both layouts: in one process, and on two workers of pytest-xdist."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import pytest_okrt.controller
import pytest_okrt.worker  # noqa: F401  loaded once: pytester forgets what a run inside imports

ROOT = Path(__file__).parents[2]

EVALUATION = """
import pytest

@pytest.mark.okrt(family="opaque_knapsack", tiers=["micro"], seeds=range(2))
def test_fit(episode):
    assert episode.outcome is not None
"""

Run = Callable[..., pytest.RunResult]

LAYOUTS = {"alone": "0", "n2": "2"}

alone = pytest.mark.parametrize(
    "workers", ["0", pytest.param("2", marks=pytest.mark.thorough)], ids=list(LAYOUTS)
)
"""For a test whose promise on workers another one keeps: workers take long to start."""


def first_on_workers(cases: Iterable[object]) -> list[Any]:
    """Returns (workers, case) for each case in one process, for the first on workers too; for the
    others on workers where the run is thorough."""
    return [
        pytest.param(
            workers,
            case,
            id=f"{name}-{case}",
            marks=[pytest.mark.thorough] * bool(number and name == "n2"),
        )
        for number, case in enumerate(cases)
        for name, workers in LAYOUTS.items()
    ]


@pytest.fixture(params=LAYOUTS.values(), ids=list(LAYOUTS))
def workers(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def evaluate(
    pytester: pytest.Pytester, workers: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Runs pytest on a folder that holds EVALUATION unless the test wrote its own."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    monkeypatch.syspath_prepend(str(pytester.path))

    def run(*arguments: str, out: bool = True) -> pytest.RunResult:
        if not list(pytester.path.glob("test_*.py")):
            pytester.makepyfile(test_fit=EVALUATION)
        where = ["--okrt-out=run"] if out else []
        return pytester.runpytest_inprocess(
            "-n", workers, "-p", "no:cacheprovider", *where, *arguments
        )

    return run


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def text(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


def plain(result: pytest.RunResult) -> str:
    """Returns the text of a run, having seen that no error in it is shown as a chain or a trace."""
    shown = text(result)
    for mark in ("Traceback", "During handling", "direct cause", "INTERNALERROR"):
        assert mark not in shown, shown
    assert not re.search(r"\.py:\d|\nE   \S", shown), shown
    return shown
