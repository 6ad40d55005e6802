"""The metrics by name, as they are measured on one episode: what a gate, a plan or a comparison can
be about. How they are inferred of cells is in `okrt.analysis.metrics`; reading names needs no more
than this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from okrt.analysis.brief import Brief

Measure = Callable[[Brief], float | None]
Kind = Literal["mean", "rate", "ratio"]
Unit = Literal[
    "score", "relative score", "share", "turns", "tokens", "characters", "score per 1k tokens"
]


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric."""

    name: str
    kind: Kind
    """`mean` over tasks; `rate`, a share of episodes; `ratio` of sums over tasks."""
    unit: Unit
    more_is_better: bool
    measure: Measure
    """Of one episode, None where it was not measured."""
    needs: tuple[str, ...]
    """Fields of an episode without which it says nothing of the metric."""
    differs: bool = True
    """Whether a difference of two cells makes sense."""
    divides: bool = False
    """Whether a ratio of two cells does."""
    worst: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the worst episode there can be; empty where there is no worst."""
    best: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_tokenizer(self) -> bool:
        """Whether it compares only where the same tokenizer counted."""
        return self.unit in ("tokens", "score per 1k tokens")


def _any(count: int | None) -> float | None:
    return None if count is None else float(count > 0)


def _score_per_1k(row: Brief) -> float | None:
    if row.score is None or not row.total_tokens:
        return None
    return 1_000 * row.score / row.total_tokens


def _quality(name: str, unit: Unit, measure: Measure, *needs: str) -> Measured:
    worst, best = {"score": 0.0}, {"score": 1.0}
    kind: Kind = "mean" if unit == "score" else "ratio"
    return Measured(name, kind, unit, True, measure, needs, worst=worst, best=best)


def _rate(name: str, more: bool, measure: Measure, needs: str, worst: Any, best: Any) -> Measured:
    ends: tuple[dict[str, Any], ...] = ({needs: worst}, {needs: best})
    return Measured(name, "rate", "share", more, measure, (needs,), worst=ends[0], best=ends[1])


def _amount(name: str, unit: Unit, measure: Measure) -> Measured:
    return Measured(name, "mean", unit, False, measure, (name,), divides=True)


MEASURED: Mapping[str, Measured] = {
    one.name: one
    for one in (
        _quality("score", "score", lambda row: row.score, "score"),
        _quality(
            "relative_score", "relative score", lambda row: row.relative_score,
            "score", "floor_score", "reference_score",
        ),
        _rate("solved_rate", True, lambda row: _any(row.solved), "solved", False, True),
        _rate("lost_rate", False, lambda row: _any(row.lost_errors), "lost_errors", 1, 0),
        _rate(
            "missing_variable_rate", False, lambda row: _any(row.missing_variable_errors),
            "missing_variable_errors", 1, 0,
        ),
        _rate(
            "finished_rate", True,
            lambda row: None if row.ending is None else float(row.ending == "finished"),
            "ending", "max_turns", "finished",
        ),
        _amount("turns", "turns", lambda row: row.turns),
        _amount("total_tokens", "tokens", lambda row: row.total_tokens),
        _amount("completion_tokens", "tokens", lambda row: row.completion_tokens),
        _amount("new_tokens", "tokens", lambda row: row.new_tokens),
        _amount("transcript_chars", "characters", lambda row: row.transcript_chars),
        Measured(
            "score_per_1k", "ratio", "score per 1k tokens", True, _score_per_1k,
            ("score", "total_tokens"), differs=False, divides=True,
        ),
    )
}  # fmt: skip
"""By name."""
