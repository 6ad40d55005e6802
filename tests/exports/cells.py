"""Rows of two models in two runtimes, for tables and cards."""

from __future__ import annotations

from typing import Any

from okrt.analysis.rows import Row
from okrt.types import Failure
from tests.report.test_tables import make

KINDS = ("persistent", "stateless")
FINE: dict[str, Any] = {
    "missing_variable_errors": 0, "lost_errors": 0, "ending": "finished", "model_kind": "local",
}  # fmt: skip
LOST: dict[str, Any] = {**FINE, "missing_variable_errors": 2, "lost_errors": 1}


def cell(model: str, contract: str, trained: str, n: int = 12, **changes: Any) -> list[Row]:
    """The rows of one cell; scores and tokens of its tasks differ a little."""
    away = trained in KINDS and trained != contract
    found = []
    for seed in range(n):
        plain = {
            **(LOST if away else FINE),
            "score": (0.7 - seed % 4 / 100) if away else (0.9 - seed % 5 / 100),
            "relative_score": 0.8 - seed % 5 / 25,
            "total_tokens": (2_000 if away else 1_000) + 10 * seed,
            "turns": 4 + seed % 3,
            "transcript_digest": f"{model}{contract}{seed}",
            "trained_under": trained,
            "model_spec": f"dir/{model}",
            "tool_calls": 5 + seed % 2,
        }
        found.append(make(model, contract, seed, **{**plain, **changes}))
    return found


def cross() -> list[Row]:
    """The study's four cells."""
    return [
        row for trained in KINDS for run in KINDS for row in cell(f"{trained}-8b", run, trained)
    ]


def broken(model: str, contract: str, n: int = 3) -> list[Row]:
    """Episodes that infrastructure broke off: nothing is known of them."""
    failure = Failure("model", "TimeoutError", "no answer")
    return [
        make(
            model, contract, seed, failure=failure, score=None, relative_score=None, solved=None,
            turns=None, tool_calls=None, total_tokens=None, missing_variable_errors=None,
            lost_errors=None, ending=None, model_spec=f"dir/{model}",
        )
        for seed in range(n)
    ]  # fmt: skip
