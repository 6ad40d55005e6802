"""Briefs: of a row, what tables and reports are made from, small enough to keep for every episode.

Of 100,000 rows most memory is text that is the same in many of them, and fields that only readers
of `rows.jsonl` ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from okrt.analysis.rows import Row
from okrt.types import Cue, Ending, Failure, Format, ModelKind, Split, Thinking, TrainedUnder


@dataclass(frozen=True, slots=True)
class Brief:
    """One episode. Fields are those of the row; the last ones are taken from its `timing`."""

    episode_id: str
    task_id: str
    family: str
    tier: str
    split: Split
    seed: int
    salt: str | None
    repeat: int
    contract: str
    model: str
    model_spec: str
    model_digest: str | None
    model_kind: ModelKind
    trained_under: TrainedUnder
    trained_on_tier: bool | None
    prompt_set: str
    prompt_digest: str
    cue: Cue
    names: bool
    format: Format
    thinking: Thinking
    tokenizer: str
    tool_cap: int
    max_turns: int
    temperature: float
    packages: Sequence[str]
    ending: Ending | None
    failure: Failure | None
    score: float | None
    floor_score: float | None
    reference_score: float | None
    relative_score: float | None
    solved: bool | None
    turns: int | None
    tool_calls: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    new_tokens: int | None
    total_tokens: int | None
    transcript_chars: int | None
    missing_variable_errors: int | None
    lost_errors: int | None
    transcript_digest: str | None
    cap_hits: int | None
    blocks: int | None
    max_demand: int | None
    isolation: str
    model_s: float | None
    sandbox_s: float | None
    harness_s: float | None
    cached_tokens: float | None


def brief(row: Row, texts: dict[str, str]) -> Brief:
    """Returns the brief of a row. `texts` holds those met before: equal ones become one object."""
    values: list[Any] = [
        texts.setdefault(value, value) if name in _REPEATED and type(value) is str else value
        for name, value in zip(_OF_THE_ROW, _values(row), strict=True)
    ]
    isolation = str(row.timing.get("isolation", "not recorded"))
    values.append(texts.setdefault(isolation, isolation))
    spent = (row.timing.get(name) for name in _SPENT)
    values += (None if value is None else float(value) for value in spent)
    return Brief(*values)


def briefs(rows: Iterable[Row | Brief]) -> Iterator[Brief]:
    """Yields the briefs of rows, one by one; those that are briefs already, as they are."""
    texts: dict[str, str] = {}
    for row in rows:
        yield row if isinstance(row, Brief) else brief(row, texts)


def is_expert(row: Brief) -> bool:
    """Returns whether a scripted expert played: it follows an idiom, nothing trained it."""
    return row.model_spec.startswith("expert:")


_SPENT = ("model_s", "sandbox_s", "harness_s", "cached_tokens")
_OF_THE_ROW = tuple(f.name for f in fields(Brief) if f.name not in ("isolation", *_SPENT))
_REPEATED = {*_OF_THE_ROW} - {"episode_id", "transcript_digest"}
_values = attrgetter(*_OF_THE_ROW)
