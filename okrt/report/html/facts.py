"""Episodes -> what the charts of a page show beyond rows: tokens and errors by turn."""

from __future__ import annotations

from dataclasses import dataclass

from okrt.analysis.missing import MissingVariable, missing_variables
from okrt.analysis.rewritten import rewritten_tokens
from okrt.analysis.rows import Row
from okrt.types import Episode, Turn

MISSING: dict[MissingVariable, str] = {
    "lost": "lost variable",
    "typo": "misspelt name",
    "undefined": "undefined name",
}
NO_BLOCK = "no block to run"
_STATUS = {"cap": "tool-call cap", "timeout": "timeout", "died": "process died"}


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one episode. None is "not measured"."""

    turn_tokens: tuple[int | None, ...]
    """Read and generated, by turn."""
    errors: tuple[tuple[int, str], ...]
    """Turns, from 1, that did not end well, and how."""
    rewritten_tokens: float | None
    redefinitions: int | None
    repeated_inspections: int | None


def facts(episode: Episode, row: Row) -> Facts:
    """Returns the facts of an episode; `row` is its row."""
    turns = () if episode.trajectory is None else episode.trajectory.turns
    missing = missing_variables(turns, episode.tools)
    found = ((n, _kind(*both)) for n, both in enumerate(zip(turns, missing, strict=True), 1))
    return Facts(
        tuple(_tokens(turn) for turn in turns),
        tuple((number, kind) for number, kind in found if kind is not None),
        rewritten_tokens(turns) if turns else None,
        row.redefinitions,
        row.repeated_inspections,
    )


def _tokens(turn: Turn) -> int | None:
    usage = turn.completion.usage
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens


def _kind(turn: Turn, missing: MissingVariable | None) -> str | None:
    if missing is not None:
        return MISSING[missing]
    execution = turn.execution
    if execution is None:
        return NO_BLOCK if turn.code is None and turn.reply_problem is not None else None
    if execution.status == "ok":
        return None
    return _STATUS.get(execution.status) or execution.error_type or execution.status
