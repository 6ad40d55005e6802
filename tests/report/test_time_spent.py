"""One line says where the time went, of models that were not scripted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from okrt.analysis.rows import Row, row
from okrt.report.texts import time_spent
from tests.analysis.build import sample


def spent(timing: dict[str, Any], **changes: Any) -> Row:
    return replace(row(sample()), model_kind="local", timing=timing, **changes)


PARTS = {"model_s": 2.0, "sandbox_s": 0.25, "harness_s": 0.5}


def test_sums_tokens_a_second_and_what_was_cached() -> None:
    rows = [
        spent({**PARTS, "cached_tokens": 60}, prompt_tokens=100, completion_tokens=30),
        spent(PARTS, prompt_tokens=100, completion_tokens=50),
    ]
    assert time_spent(rows) == (
        "time in model 4.0 s, sandbox 0.5 s, harness 1.0 s; 20 tokens/s; 60% of prompts cached"
    )


def test_what_was_not_measured_is_not_said() -> None:
    assert "cached" not in time_spent([spent(PARTS)])
    assert time_spent([spent({"wall_s": 1.0})]) == ""
    assert time_spent([replace(spent(PARTS), model_kind="scripted")]) == ""
    assert time_spent([]) == ""
