"""Which traces are good enough to learn from: pure functions of one episode.

A task enters a dataset only if its traces under both contracts pass the same filters.

Source: the teacher filters of "Evaluating Agents Across Runtime Contracts" (IAEval workshop,
NeurIPS 2026); each reason below says where ours differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from okrt.types import Episode, Turn

Reason = Literal["score", "finish", "loop", "errors", "window"]
"""Why a trace is refused.

`score`: below `Filters.min_score`.
`finish`: the task was not finished within the last turns. Source: `finish` in the last 3 turns;
    differs: an episode of ours ends with the turn that finishes it, so it must have ended so.
`loop`: some `LOOP_TURNS` turns in a row, each like the one before it (`alike`).
`errors`: too many turns whose block did not run to its end (`is_error`).
`window`: longer than the training window. Source: likewise; differs from arXiv 2603.01209, whose
    loader cuts later turns.
"""
REASONS: tuple[Reason, ...] = get_args(Reason)

LOOP_TURNS = 4
LOOP_SIMILARITY = 0.9


@dataclass(frozen=True, slots=True)
class Filters:
    """The thresholds; the same for both contracts."""

    min_score: float = 0.5
    max_error_share: float = 0.1
    """Of an episode's turns. Source: as above."""
    error_turns: int = 0
    """Turns with an error that pass in an episode of any length. Departure: 1 in the arms that hold
    a deliberate slip, which a tenth of a short episode would always refuse."""
    max_tokens: int = 16_384
    """The training window, in tokens of the whole conversation."""
    refuse_loops: bool = True
    """Departure: not where a family's right block is the same in each turn (`lookup_control`), so
    that repeating oneself is no sign of being stuck."""


def reasons(episode: Episode, tokens: int, filters: Filters) -> tuple[Reason, ...]:
    """Returns why the trace is refused, in the order of `REASONS`; empty where it passes.

    Args:
        episode: one that no infrastructure broke off.
        tokens: of its conversation.
        filters: the thresholds.

    Raises:
        ValueError: the episode has no trajectory or no outcome.
    """
    if episode.trajectory is None or episode.outcome is None:
        raise ValueError(f"episode {episode.id} was broken off; there is no trace to judge")
    turns = episode.trajectory.turns
    errors = sum(map(is_error, turns))
    refused: dict[Reason, bool] = {
        "score": episode.outcome.score < filters.min_score,
        "finish": episode.trajectory.ending != "finished",
        "loop": filters.refuse_loops and has_loop(turns),
        "errors": errors > max(filters.max_error_share * len(turns), filters.error_turns),
        "window": tokens > filters.max_tokens,
    }
    return tuple(reason for reason in REASONS if refused[reason])


def is_error(turn: Turn) -> bool:
    """Whether a turn ran no block, or its block ended otherwise than well, at the cap, or by an
    error of a tool. Source: as above; differs: a reply without a block counts."""
    execution = turn.execution
    if execution is None:
        return True
    return execution.status not in ("ok", "cap") and execution.error_type != "ToolError"


def has_loop(turns: Sequence[Turn]) -> bool:
    """Whether `LOOP_TURNS` turns in a row are each like the one before."""
    run = 1
    for before, after in pairwise(turns):
        run = run + 1 if alike(before, after) > LOOP_SIMILARITY else 1
        if run == LOOP_TURNS:
            return True
    return False


def alike(one: Turn, other: Turn) -> float:
    """Returns how alike two turns are, in [0, 1].

    Twice the words that they share over the words of both (a word counts as often as it stands in
    both; the coefficient of Dice, 1945), words being what white space parts in the reply and in the
    observation behind it. The observation is read too, because a block that walks a list in steps
    is no loop: it is shown something new each time.
    """
    left, right = _words(one), _words(other)
    return 2 * (left & right).total() / max(left.total() + right.total(), 1)


def _words(turn: Turn) -> Counter[str]:
    return Counter(turn.reply.split()) + Counter(turn.observation.split())
