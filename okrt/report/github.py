"""What a job of GitHub Actions shows of a run: a summary in Markdown, and annotations.

Source: GitHub's documentation, "Workflow commands for GitHub Actions": the summary is what a step
appends to the file that GITHUB_STEP_SUMMARY names, 1 MiB at most; an annotation is a line
`::error title=...::...` on stdout, its text percent-encoded where a line would end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from okrt.analysis.cells import Table
from okrt.report.contrasts import Claims
from okrt.report.plain import plain
from okrt.report.tables import pipe, results, unmarked

SUMMARY = "GITHUB_STEP_SUMMARY"
ACTIONS = "GITHUB_ACTIONS"
LARGEST = 900_000
"""Bytes of a summary, below what GitHub takes of all a step writes."""
_SIGNS = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "incomplete": "⚠️"}
_LEVELS = {"fail": "error", "incomplete": "error", "inconclusive": "warning"}


def summary(
    decision: Mapping[str, Any] | None, tables: Sequence[Table], said: Sequence[Claims], run: str
) -> str:
    """Returns Markdown: the verdict and its gates, then the tables with what is claimed of each.
    `decision` is `gates.json`."""
    lines = ["## okrt: no gates, nothing was decided", ""]
    if decision is not None:
        verdict = decision["verdict"]
        lines = [f"## {_SIGNS[verdict]} okrt: {verdict}", "", unmarked(decision["words"]), ""]
        lines += [f"- {unmarked(line)}" for line in decision["incomplete"]]
        lines += ["", *_gates(decision), ""]
    lines += [f"Run: {unmarked(run)}", ""]
    for table, its in zip(tables, said, strict=True):
        lines += results(table, its)
    return _cut("\n".join(lines).rstrip("\n") + "\n\n")


def annotated(decision: Mapping[str, Any]) -> list[str]:
    """Returns a line for each gate and condition that did not pass, and for what is missing."""
    judged = [*decision["conditions"], *decision["gates"]]
    lines = [
        _annotation(one["verdict"], f"okrt gate {one['name']}", one["reason"])
        for one in judged
        if one["verdict"] in _LEVELS
    ]
    missing = decision["incomplete"]
    if missing:
        lines.append(_annotation("incomplete", "okrt: incomplete", "\n".join(missing)))
    return lines


def tell(
    decision: Mapping[str, Any] | None,
    found: Callable[[], tuple[Sequence[Table], Sequence[Claims]]],
    run: str,
) -> list[str]:
    """Appends to the summary of a job and returns the lines of its log that annotate it; elsewhere
    nothing happens. No run is lost for a summary: that it could not be written is a line too.
    """
    said = annotated(decision) if decision is not None and ACTIONS in os.environ else []
    file = os.environ.get(SUMMARY)
    if file:
        try:
            with Path(file).open("a", encoding="utf-8") as job:
                job.write(summary(decision, *found(), run))
        except OSError as error:
            said.insert(0, f"{SUMMARY} {file} was not written: {error.strerror}")
    return said


def _gates(decision: Mapping[str, Any]) -> list[str]:
    lines = [pipe(["", "gate", "model", "runtime", "tier", "what was found"]), pipe(["---"] * 6)]
    for one in [*decision["conditions"], *decision["gates"]]:
        cell = [str(one.get(field) or "") for field in ("model", "runtime", "tier")]
        lines.append(pipe([_SIGNS[one["verdict"]], one["name"], *cell, one["reason"]]))
    return lines


def _annotation(verdict: str, title: str, text: str) -> str:
    named = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{_LEVELS[verdict]} title={named}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return plain(text).replace("%", "%25").replace("\n", "%0A")


def _cut(text: str) -> str:
    kept = text.encode()
    if len(kept) <= LARGEST:
        return text
    shown = kept[:LARGEST].decode(errors="ignore").rpartition("\n")[0]
    return f"{shown}\n\n(cut here: the whole is in report.md of the run)\n\n"
