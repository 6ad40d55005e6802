"""What a whole run would take, from three tasks a cell."""

from __future__ import annotations

from collections import defaultdict

import pytest

from okrt.analysis.rows import Row, row
from okrt.errors import OkrtError
from pytest_okrt.cases import CaseSpec
from pytest_okrt.runner import Ahead, Runner

SAMPLE = 3
"""Tasks run in each cell."""


def estimate(runner: Runner, wanted: list[CaseSpec], config: pytest.Config) -> None:
    """Runs the first tasks of each cell and prints episodes, tokens and hours with a range.

    The range is from every episode like the sample's cheapest to every one like its dearest; the
    hours are those of one process running one batch after another.
    """
    cells: dict[tuple[str, ...], list[CaseSpec]] = defaultdict(list)
    for spec in {spec.key: spec for spec in wanted}.values():
        cells[spec.cell].append(spec)
    print_line = config.get_terminal_writer().line
    print_line()
    totals = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    sample = [spec for specs in cells.values() for spec in specs[:SAMPLE]]
    ahead = Ahead(runner, sample, lambda episode: None)
    for cell, specs in cells.items():
        try:
            rows = [row(ahead.take(spec)) for spec in specs[:SAMPLE]]
        except OkrtError as error:
            print_line(f"{' '.join(cell)}: {error}")
            continue
        tokens = _scaled([r.total_tokens for r in rows], len(specs))
        seconds = _scaled([_seconds(r) for r in rows], len(specs))
        print_line(f"{' '.join(cell)}: {_line(len(specs), tokens, seconds)}")
        for total, part in zip(totals, (tokens, seconds), strict=True):
            total[:] = [a + b for a, b in zip(total, part, strict=True)]
    ahead.close()
    episodes = sum(len(specs) for specs in cells.values())
    print_line(f"all: {_line(episodes, totals[0], totals[1])} (from {SAMPLE} tasks a cell)")


def _seconds(row: Row) -> float:
    return float(row.timing.get("model_s", 0.0)) + float(row.timing.get("sandbox_s", 0.0))


def _scaled(
    values: list[int | float | None] | list[float] | list[int | None], n: int
) -> list[float]:
    """Returns n times the mean, the lowest and the highest of what was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return [float("nan")] * 3
    return [n * sum(known) / len(known), n * min(known), n * max(known)]


def _line(episodes: int, tokens: list[float], seconds: list[float]) -> str:
    mean, low, high = (value / 3600 for value in seconds)
    return (
        f"{episodes} episodes, {tokens[0]:,.0f} tokens ({tokens[1]:,.0f} to {tokens[2]:,.0f}), "
        f"{mean:.4f} h ({low:.4f} to {high:.4f})"
    )
