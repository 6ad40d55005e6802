"""Runs and baselines made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from okrt.analysis.brief import Brief, brief
from okrt.baselines.held import Held
from okrt.types import Settings
from tests.analysis.test_cells import make

N = 30
SCORES = [0.6 + 0.01 * (7 * task % N) for task in range(N)]
TOKENS = [5_000 + 131 * (11 * task % N) for task in range(N)]
RUN: dict[str, Any] = {"settings": msgspec.to_builtins(Settings()), "complete": True}


def episode(seed: int, repeat: int = 0, **changes: Any) -> Brief:
    fields = {"model": "m", "model_spec": "dir", "transcript_digest": f"{seed}", **changes}
    return brief(make(seed, repeat, **fields), {})


def cell(
    scores: Sequence[float] = SCORES,
    tokens: Sequence[int] = TOKENS,
    repeat: int = 0,
    **changes: Any,
) -> list[Brief]:
    """One task a score. Unless it is said otherwise no task is solved, and no variable lost."""
    fields = {"solved": False, "lost_errors": 0, "missing_variable_errors": 0, **changes}
    return [
        episode(seed, repeat, **{"score": score, "total_tokens": spent, **fields})
        for seed, (score, spent) in enumerate(zip(scores, tokens, strict=True))
    ]


def held(rows: Iterable[Brief], name: str = "run", transcripts: bool = True, **run: Any) -> Held:
    return Held(Path(name), {**RUN, **run}, tuple(rows), "0" * 64, transcripts, ())
