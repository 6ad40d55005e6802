"""A/A: how often the same task, played again by greedy decoding, comes out otherwise.

Equal weights and prompts need not give equal answers: in bf16, on a GPU and on servers a sum is
rounded by the shape of its batch, and one flipped token makes another episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from okrt.analysis.brief import Brief
from okrt.analysis.stats import LEVEL, Estimate, rate_interval


@dataclass(frozen=True, slots=True)
class Flips:
    """Of the tasks of one cell that were played more than once."""

    tasks: int
    transcripts: Estimate
    """Share of the tasks whose plays do not all have the same messages."""
    scores: Estimate
    """Share of the tasks whose plays do not all have the same score."""


def flips(tasks: Sequence[Sequence[Brief]], level: float = LEVEL) -> Flips | None:
    """Returns the A/A rates of one cell, each task being its scored episodes.

    None where no task was played twice, or decoding was sampled: repeats then differ by design.
    """
    again = [[row for row in task if row.transcript_digest is not None] for task in tasks]
    again = [task for task in again if len(task) > 1 and all(row.temperature == 0 for row in task)]
    if not again:
        return None
    transcripts = sum(len({row.transcript_digest for row in task}) > 1 for task in again)
    scores = sum(len({row.score for row in task}) > 1 for task in again)
    return Flips(
        len(again),
        rate_interval(transcripts, len(again), level),
        rate_interval(scores, len(again), level),
    )
