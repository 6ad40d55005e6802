"""Briefs -> the columns of the page's table of episodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Table
from okrt.report.html.data import Found, letter, shown
from okrt.report.plain import one_line

Places = Mapping[str, tuple[int, int]]

_AS_THEY_ARE = {
    "score": "score",
    "relative": "relative_score",
    "solved": "solved",
    "turns": "turns",
    "tokens": "total_tokens",
    "new": "new_tokens",
    "lost": "lost_errors",
    "missing": "missing_variable_errors",
    "repeat": "repeat",
}
"""Columns, and the fields that fill them."""
_NAMED = {"task": "task_id", "model": "model", "runtime": "contract", "tier": "tier"}


def columns(tables: Sequence[Table], found: Found, places: Places) -> dict[str, Any]:
    """Returns the episodes of all tables, a list for each column; `names` spells what is numbered.

    `axes` are the settings of which a tier holds several values, as headings have them. `section`
    and `letter` say where an episode stands in the charts, `piece` and `place` where its transcript
    lies (None: nowhere).
    """
    apart = [_axes(table) for table in tables]
    ordered = [(number, row) for number, table in enumerate(tables) for row in _sorted(table)]
    rows = [row for _, row in ordered]
    letters = [{key: letter(place) for place, key in enumerate(table.cells)} for table in tables]
    spelled = {
        name: sorted({getattr(row, field) for row in rows}) for name, field in _NAMED.items()
    }
    spelled["axes"] = sorted({*apart})
    index = {name: {text: at for at, text in enumerate(texts)} for name, texts in spelled.items()}
    lying = [places.get(row.episode_id, (None, None)) for row in rows]
    return {
        "names": {name: list(map(shown, texts)) for name, texts in spelled.items()},
        "id": [row.episode_id for row in rows],
        **{name: [index[name][getattr(r, field)] for r in rows] for name, field in _NAMED.items()},
        "axes": [index["axes"][apart[number]] for number, _ in ordered],
        **{name: [getattr(row, field) for row in rows] for name, field in _AS_THEY_ARE.items()},
        "ending": [_ending(row) for row in rows],
        "errors": [_errors(row, found) for row in rows],
        "section": [number for number, _ in ordered],
        "letter": [letters[number][row.model, row.contract] for number, row in ordered],
        "piece": [piece for piece, _ in lying],
        "place": [place for _, place in lying],
    }


def _axes(table: Table) -> str:
    """What keeps the episodes of a table apart from those of the same tasks in another."""
    return ", ".join(f"{axis}={value}" for axis, value in table.axes.items())


def _sorted(table: Table) -> list[Brief]:
    return sorted(table.rows, key=lambda row: (row.seed, row.repeat, row.model, row.contract))


def _ending(row: Brief) -> str:
    if row.failure is not None:
        return one_line(f"infrastructure ({row.failure.boundary})")
    return row.ending or "unknown"


def _errors(row: Brief, found: Found) -> int | None:
    facts = found.get(row.episode_id)
    return None if facts is None or row.turns is None else len(facts.errors)
