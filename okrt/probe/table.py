"""A report as a table for the terminal."""

from __future__ import annotations

import textwrap

from okrt.probe.report import Report
from okrt.report.plain import one_line

_DETAIL = 110
"""Characters of a detail."""


def table(report: Report, width: int = 100) -> str:
    """Returns the findings by group, and the verdict. Ends in a newline."""
    laws = max(len(finding.law) for finding in report.findings)
    states = max(len(finding.found) for finding in report.findings)
    lines = [one_line(report.target)]
    group = ""
    for finding in report.findings:
        if finding.group != group:
            group = finding.group
            lines += ["", group]
        start = f"  {finding.law:<{laws}}  {finding.found:<{states}}  "
        detail = one_line(finding.detail, _DETAIL)
        room = max(20, width - len(start))
        first, *rest = textwrap.wrap(detail, room) or [""]
        lines.append((start + first).rstrip())
        lines += [" " * len(start) + line for line in rest]
    verdict = f"verdict: {report.verdict}: {report.sentence}"
    lines += ["", *textwrap.wrap(verdict, max(40, width), break_on_hyphens=False)]
    lines.append(f"{report.blocks} blocks in {report.wall_s:.1f} s")
    return "\n".join(lines) + "\n"
