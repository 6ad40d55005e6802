"""Contrasts and what may be said of them, as HTML that is opened by whoever wants it. Pure."""

from __future__ import annotations

from okrt.report import contrasts
from okrt.report.contrasts import REPORT, Claims
from okrt.report.html.gates import grid
from okrt.report.html.markup import Markup, element


def claimed(said: Claims, summary: str, title: str, of: str = REPORT) -> Markup:
    """Returns the contrasts beneath a summary that ends in their number, or nothing where there are
    none; `title` is that of the section, `of` says what the claims are corrected for."""
    rows = contrasts.cells(said)
    if not rows:
        return Markup("")
    lines = (element("li", note) for note in contrasts.notes(said, of))
    told = element("ul", *lines, class_="muted")
    head = element("summary", f"{summary} ({len(rows)} contrasts)")
    return element("details", head, told, grid(summary, contrasts.COLUMNS, rows, title))
