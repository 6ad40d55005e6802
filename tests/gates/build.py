"""Gate files as text, and cells of briefs made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from okrt.analysis.brief import Brief, brief
from okrt.gates.decision import Baseline, Decision, Run, decide
from okrt.gates.file import Asked, GateFile, read
from okrt.types import Failure
from tests.analysis.test_cells import make as make_row

RUN = """
[run]
tiers = ["easy"]
seeds = 20
runtimes = ["stateless"]
"""
BROKEN = Failure("model", "TimeoutError", "no answer")
N = 20
VERSIONS = {"easy": 1}


def gate(metric: str, limit: str, *more: str, name: str = "a gate") -> str:
    """The text of a gate."""
    lines = [f'name = "{name}"', f'metric = "{metric}"', limit, *more]
    return "\n".join(["", "[[gate]]", *lines, ""])


def file(folder: Path, *parts: str, run: str = RUN) -> GateFile:
    path = folder / "gates.toml"
    path.write_text(run + "".join(parts))
    return read(path)


def row(seed: int, **changes: object) -> Brief:
    fields: dict[str, Any] = {
        "model": "new",
        "contract": "stateless",
        "lost_errors": 0,
        "temperature": 0.2,
        "timing": {"isolation": "T1"},
        "transcript_digest": f"d{seed}",
    }
    return brief(make_row(seed, **{**fields, **changes}), {})


def broken(seed: int, **changes: object) -> Brief:
    nothing = dict.fromkeys(
        ("score", "floor_score", "reference_score", "relative_score", "solved", "ending", "turns",
         "lost_errors", "missing_variable_errors", "total_tokens", "transcript_chars"),
    )  # fmt: skip
    return row(seed, failure=BROKEN, **{**nothing, "timing": {}, **changes})


def cell(scores: Iterable[float] | None = None, **changes: object) -> list[Brief]:
    """A cell of N tasks, whose scores vary unless told otherwise."""
    chosen = scores if scores is not None else (0.8 + 0.01 * (task % 7) for task in range(N))
    return [row(task, score=score, **changes) for task, score in enumerate(chosen)]


def verdict(
    gates: GateFile,
    rows: Sequence[Brief],
    base: Sequence[Brief] | None = None,
    models: Sequence[str] = ("new",),
    run: dict[str, Any] | None = None,
) -> Decision:
    baseline = None if base is None else Baseline("old", {}, base, "d1")
    asked = Asked(tuple(models), ("stateless",))
    return decide(gates, asked, Run(run or {}, rows), baseline, VERSIONS)
