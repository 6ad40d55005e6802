"""What a job of GitHub Actions is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from okrt.analysis.brief import briefs
from okrt.analysis.cells import Table, tables
from okrt.report import github
from okrt.report.contrasts import Claims, claims
from tests.report.test_tables import cross

JUDGED = {
    "name": "lost, <b>50%</b>:", "verdict": "fail", "reason": "fail: 0.5\n::error::forged | 7%",
    "model": "new", "runtime": "stateless", "tier": "easy",
}  # fmt: skip


def decision(verdict: str = "fail", *gates: dict[str, Any], incomplete: Any = ()) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "words": "fail: 1 of 2 gates failed",
        "incomplete": list(incomplete),
        "conditions": [{"name": "isolation", "verdict": "pass", "reason": "T1"}],
        "gates": list(gates),
    }


def results() -> tuple[list[Table], list[Claims]]:
    made = tables(list(briefs(cross("one"))))
    return made, claims(made)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "summary.md"
    monkeypatch.setenv(github.SUMMARY, str(file))
    monkeypatch.setenv(github.ACTIONS, "true")
    return file


def test_the_summary_is_appended_verdict_first(job: Path) -> None:
    job.write_text("before\n")
    github.tell(decision("fail", JUDGED), results, "runs/a")
    text = job.read_text("utf-8")
    assert text.startswith("before\n## ❌ okrt: fail\n\nfail: 1 of 2 gates failed\n")
    assert "| ✅ | isolation |  |  |  | T1 |" in text
    assert "| ❌ | lost, &lt;b>50%&lt;/b>: | new | stateless | easy |" in text
    assert "::error::forged \\| 7%" in text
    assert "\n::" not in text
    assert "Run: runs/a" in text
    assert text.index("❌") < text.index("| model | metric |")
    github.tell(decision("pass"), results, "runs/b")
    assert job.read_text("utf-8").startswith(text)


def test_without_gates_the_summary_says_so(job: Path) -> None:
    assert github.tell(None, results, "runs/a") == []
    assert job.read_text("utf-8").startswith("## okrt: no gates, nothing was decided\n")


def test_an_annotation_is_one_line_that_names_the_gate(job: Path) -> None:
    unsure = {**JUDGED, "name": "n", "verdict": "inconclusive", "reason": "too few"}
    passed = {**JUDGED, "verdict": "pass"}
    lines = github.tell(decision("fail", JUDGED, unsure, passed), results, "runs/a")
    assert lines == [
        "::error title=okrt gate lost%2C <b>50%25</b>%3A::fail: 0.5%0A::error::forged | 7%25",
        "::warning title=okrt gate n::too few",
    ]


def test_what_lacks_is_annotated_in_one_place(job: Path) -> None:
    told = decision("incomplete", incomplete=["easy/3: missing", "easy/4: missing"])
    lines = github.tell(told, results, "runs/a")
    assert lines == ["::error title=okrt%3A incomplete::easy/3: missing%0Aeasy/4: missing"]
    assert "- easy/3: missing" in job.read_text("utf-8")


def test_elsewhere_nothing_happens(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (github.SUMMARY, github.ACTIONS):
        monkeypatch.delenv(name)
    assert github.tell(decision("fail", JUDGED), results, "runs/a") == []
    assert not job.exists()


def test_a_summary_that_cannot_be_written_is_a_line(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(github.SUMMARY, str(job.parent))
    (line,) = github.tell(decision("pass"), results, "runs/a")
    assert line == f"GITHUB_STEP_SUMMARY {job.parent} was not written: Is a directory"


def test_a_summary_is_smaller_than_what_is_taken(job: Path) -> None:
    many = [{**JUDGED, "reason": "x" * 190} for _ in range(6_000)]
    github.tell(decision("fail", *many), results, "runs/a")
    text = job.read_bytes()
    assert len(text) < 1_000_000
    assert text.decode().endswith("(cut here: the whole is in report.md of the run)\n\n")
