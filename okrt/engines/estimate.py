"""What a whole run would take, from three tasks a cell."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Sequence

from okrt.analysis.rows import Row, row
from okrt.engines.runner import Ahead, Runner
from okrt.errors import InfrastructureError, OkrtError
from okrt.redact import without_secrets
from okrt.selection.cases import CaseSpec
from okrt.types import Episode

SAMPLE = 3
"""Tasks run in each cell."""


def estimate(runner: Runner, wanted: list[CaseSpec]) -> int:
    """Runs the first tasks of each cell and prints episodes, tokens and hours with a range.

    The range is from every episode like the sample's cheapest to every one like its dearest; the
    hours are those of one process running one batch after another. Returns how many cells could not
    be run; they are said, and are in no sum.
    """
    cells: dict[tuple[str, ...], list[CaseSpec]] = defaultdict(list)
    for spec in {spec.key: spec for spec in wanted}.values():
        cells[spec.cell].append(spec)
    ahead = Ahead(runner, [s for specs in cells.values() for s in specs[:SAMPLE]], lambda _: None)
    episodes, failed = 0, 0
    totals = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    for cell, specs in cells.items():
        try:
            rows = [_whole(ahead.take(spec)) for spec in specs[:SAMPLE]]
        except OkrtError as error:
            failed += 1
            _print(f"{' '.join(cell)}: cannot be run: {without_secrets(str(error))}")
            continue
        tokens = _scaled([_tokens(row) for row in rows], len(specs))
        seconds = _scaled([_seconds(row) for row in rows], len(specs))
        _print(f"{' '.join(cell)}: {_line(len(specs), tokens, seconds)}")
        episodes += len(specs)
        for total, part in zip(totals, (tokens, seconds), strict=True):
            total[:] = [a + b for a, b in zip(total, part, strict=True)]
    ahead.close()
    but = f", {failed} cells left out" if failed else ""
    _print(f"all: {_line(episodes, totals[0], totals[1])} (from {SAMPLE} tasks a cell{but})")
    return failed


def _print(line: str) -> None:
    sys.stdout.write(f"\n{line}")


def _whole(episode: Episode) -> Row:
    if episode.failure is not None:
        raise InfrastructureError(episode.failure.message)
    return row(episode)


def _scaled(values: Sequence[float], n: int) -> list[float]:
    """Returns n times the mean, the lowest and the highest."""
    return [n * sum(values) / len(values), n * min(values), n * max(values)]


def _tokens(row: Row) -> float:
    return math.nan if row.total_tokens is None else row.total_tokens


def _seconds(row: Row) -> float:
    return float(row.timing.get("model_s", 0.0)) + float(row.timing.get("sandbox_s", 0.0))


def _line(episodes: int, tokens: list[float], seconds: list[float]) -> str:
    mean, low, high = (value / 3600 for value in seconds)
    counted = f"{tokens[0]:,.0f} tokens ({tokens[1]:,.0f} to {tokens[2]:,.0f})"
    if math.isnan(tokens[0]):
        counted = "tokens not measured"
    return f"{episodes} episodes, {counted}, {mean:.4f} h ({low:.4f} to {high:.4f})"
