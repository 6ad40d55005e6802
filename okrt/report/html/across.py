"""What a page shows over tool caps, and over cue and names: places for the figures, the same as
text, and the data that the figures are drawn from. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from okrt.analysis.caps import Sweep, sweeps
from okrt.analysis.cells import Table
from okrt.report import contrasts
from okrt.report.html.claimed import claimed
from okrt.report.html.data import letter, shown
from okrt.report.html.gates import grid
from okrt.report.html.markup import Markup, element
from okrt.report.plain import one_line
from okrt.report.sweeps import OVER, Section, grid_rows, sections, sweep_objects
from okrt.report.texts import names

_DOSES = {
    "score": "score",
    "tokens": "total_tokens",
    "missing": "missing_variable_rate",
    "exposure": "exposure",
}
"""What the figure calls the estimates of a dose."""


def articles(tables: Sequence[Table]) -> list[Markup]:
    """Returns an article for each sweep of caps, then for each ablation of cue and names."""
    return [_article(number, one) for number, one in enumerate(sections(tables))]


def _article(number: int, one: Section) -> Markup:
    kinds = ("doses", "gaps") if one.caps else ()
    charts = [
        Markup(f'<div class="chart" data-okrt-chart="{kind}" data-okrt-sweep="{number}"></div>')
        for kind in kinds
    ]
    name = one_line(one.title, 400)
    return element(
        "article",
        element("h3", name, id=f"across-{number}"),
        *charts[:1],
        _figures(one),
        *charts[1:],
        claimed(one.said, "What differs between these", name, OVER),
        claimed(one.checks, contrasts.SELF_CHECK, name, OVER),
        aria_labelledby=f"across-{number}",
    )


def _figures(one: Section) -> Markup:
    told = element("ul", *(element("li", note) for note in one.notes), class_="muted")
    rows = grid_rows(one)
    if not rows:
        return told
    table = grid("Figures by cell and cap", rows[0], rows[1:], one_line(one.title, 200))
    return element("details", element("summary", "All figures by cap"), told, table)


def swept(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Returns what the figures of each sweep show; in the order of the articles, which begin with
    sweeps."""
    both = zip(sweeps(tables), sweep_objects(tables), strict=True)
    return [_data(sweep, made) for sweep, made in both]


def _data(sweep: Sweep, made: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, str] = {}
    for table in sweep.tables.values():
        named |= names(table)
    return {
        "title": one_line(made["title"], 200),
        "caps": made["caps"],
        "mixed": any(len(table.tokenizers) > 1 for table in sweep.tables.values()),
        "cells": [
            {
                "letter": letter(place),
                "model": shown(model),
                "label": shown(named[model]),
                "runtime": shown(contract),
            }
            for place, (model, contract) in enumerate(sweep.cells)
        ],
        "doses": [
            {
                "cell": sweep.cells.index((one["model"], one["contract"])),
                "cap": one["tool_cap"],
                **{name: _estimate(one[field]) for name, field in _DOSES.items()},
            }
            for one in made["doses"]
        ],
        "gaps": [
            {
                "name": one["name"],
                "whom": shown(one["whom"]),
                "cap": one["tool_cap"],
                "estimate": _estimate(one["estimate"]),
            }
            for one in made["responses"]
            if one["slack"] is None
        ],
    }


def _estimate(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An estimate as the charts take it; None where there is nothing to show."""
    if found is None or found["value"] is None or not math.isfinite(found["value"]):
        return None
    ends = {end: found[end] for end in ("low", "high")}
    return {"value": found["value"], **ends, "at_least": found["side"] == "at least"}
