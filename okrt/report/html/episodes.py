"""One episode as data for the transcript view of a page: JSON, small, and nothing escaped.

What the model and its blocks wrote stands in it unchanged; `assets/transcript.js` shows it as text
alone. A field that has nothing to say is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

from okrt.parse import thoughts, without
from okrt.report.html.marks import marks
from okrt.report.html.syntax import colours
from okrt.types import Episode, Execution, ToolCall, Trajectory, Turn, Usage

_OPENING = re.compile(r"(?:(?:^|\n) {0,3}`{3,}[^\n`]*|<code>)\Z")
"""What stands before a block, white space left out."""
_JSON = json.JSONEncoder(ensure_ascii=False).encode
LONGEST_ERROR = 300
"""Characters of an error's last line; the whole of it is in what was shown."""


def view(episode: Episode) -> dict[str, Any]:
    """Returns what the transcript view needs of an episode; pure, and JSON alone.

    `turns` are in order; a turn's number is its place, from 1. See `docs/format.md` for what the
    fields of an episode mean; `marks` are those of `okrt.report.html.marks`.
    """
    model, trajectory = episode.model, episode.trajectory
    return _lean(
        id=episode.id,
        task=episode.task.id,
        repeat=episode.repeat,
        model=model.label,
        trained_under=model.trained_under,
        contract=episode.contract,
        score=_finite(episode),
        solved=None if episode.outcome is None else episode.outcome.solved,
        failure=_failure(episode),
        ending=None if trajectory is None else trajectory.ending,
        tokens=None if trajectory is None else _lean(**_usage(trajectory.usage)),
        prompt=None if trajectory is None else trajectory.prompt,
        turns=[] if trajectory is None else _turns(trajectory, episode),
    )


def _finite(episode: Episode) -> float | None:
    score = None if episode.outcome is None else episode.outcome.score
    return score if score is not None and isfinite(score) else None


def _failure(episode: Episode) -> str | None:
    failure = episode.failure
    if failure is None:
        return None
    return f"{failure.boundary} failed, {failure.error_type}: {failure.message}"


def _turns(trajectory: Trajectory, episode: Episode) -> list[dict[str, Any]]:
    turns, made = trajectory.turns, []
    block, fed = 0, Usage(0, 0)
    alive: Sequence[str] = ()
    for turn, found in zip(turns, marks(turns, episode.tools), strict=True):
        execution, usage = turn.execution, turn.completion.usage
        block += execution is not None
        made.append(
            _lean(
                **_reply(turn),
                tokens=_lean(**_usage(usage), fresh=_fresh(usage, fed)),
                seconds={name: round(s, 6) for name, s in turn.timing.items() if isfinite(s)},
                observation=turn.observation,
                marks=found,
                **({} if execution is None else _execution(execution, block, alive)),
                **_code(turn, episode.tools),
                unseen="" if turn.observation else _unseen(execution),
            )
        )
        fed = usage
        if execution is not None:
            left = execution.bound_names
            alive = (execution.carried_names or ()) if left is None else left
    return made


def _reply(turn: Turn) -> dict[str, Any]:
    """What the model wrote, taken apart: thinking, text before the block, text that was dropped."""
    text, reply = turn.completion.text, turn.reply
    spans = thoughts(text)
    written = without(text, spans)
    kept = without(reply, thoughts(reply))
    dropped = written[len(kept) :].strip() if written.startswith(kept) else ""
    return {
        "thought": "\n".join(text[start:end].strip() for start, end in spans),
        "said": _said(turn, kept),
        "dropped": dropped,
        "dropped_chars": turn.discarded_chars or None,
        "problem": turn.reply_problem,
        "cut": turn.completion.finish_reason == "length" or None,
        "looped": turn.completion.looped or None,
    }


def _said(turn: Turn, kept: str) -> str:
    """What stands before the block; all of the reply where that cannot be told."""
    if turn.call is not None:
        before = turn.reply[: turn.call.start]
        return without(before, thoughts(before)).strip()
    start = kept.rfind(turn.code.strip("\n")) if turn.code is not None else -1
    if start < 0:
        return kept.strip()
    return _OPENING.sub("", kept[:start].rstrip()).strip()


def _code(turn: Turn, tools: tuple[str, ...]) -> dict[str, Any]:
    if turn.code is not None:
        code = turn.code.rstrip("\n")
        return {"code": code, "colours": colours(code, tools)}
    if turn.call is not None:
        return {"asked": f"{turn.call.name}({turn.call.arguments})"}
    return {}


def _execution(execution: Execution, block: int, alive: Sequence[str]) -> dict[str, Any]:
    return {
        "block": block,
        "status": execution.status,
        "error_type": execution.error_type,
        "error": _last_line(execution.error or ""),
        "calls": [_call(call) for call in execution.calls],
        "refused": execution.refused_calls or None,
        "names": _names(execution, alive),
        "restarted": execution.restarted or None,
        "cut_chars": execution.truncated_chars or None,
        "late_bytes": execution.late_output_bytes or None,
    }


def _call(call: ToolCall) -> list[str | None]:
    """Name, arguments and result as text; where the call failed, None and the error."""
    asked = [call.name, ", ".join(map(_JSON, call.args))]
    return [*asked, _JSON(call.result)] if call.error is None else [*asked, None, call.error]


def _names(execution: Execution, alive: Sequence[str]) -> dict[str, list[str]] | None:
    """Names before and after the block; None where the runtime did not tell.

    `lost` were alive when the block before had ended, and are not when this one begins.
    """
    if execution.carried_names is None:
        return None
    before = set(execution.carried_names)
    lost = sorted(set(alive) - before)
    if execution.bound_names is None:
        return {"lost": lost, "before": sorted(before)}
    after = set(execution.bound_names)
    return {
        "lost": lost,
        "kept": sorted(before & after),
        "new": sorted(after - before),
        "deleted": sorted(before - after),
    }


def _unseen(execution: Execution | None) -> str:
    """What the last block put out, which the model was not shown any more."""
    if execution is None:
        return ""
    return "\n".join(part for part in (execution.stdout.rstrip("\n"), execution.error) if part)


def _last_line(error: str) -> str:
    line = error.rstrip().rpartition("\n")[2].strip()
    return line if len(line) <= LONGEST_ERROR else line[:LONGEST_ERROR] + "..."


def _usage(usage: Usage) -> dict[str, int | None]:
    return {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "thinking": usage.reasoning_tokens,
        "cached": usage.cached_tokens,
    }


def _fresh(usage: Usage, fed: Usage) -> int | None:
    """Of the prompt's tokens those read for the first time: what `new_tokens` of a row counts."""
    if usage.prompt_tokens is None or fed.prompt_tokens is None or fed.completion_tokens is None:
        return None
    return max(0, usage.prompt_tokens - fed.prompt_tokens - fed.completion_tokens)


def _lean(**fields: Any) -> dict[str, Any]:
    """The fields that have something to say: 0 and False do, None and what is empty do not."""
    return {
        name: value for name, value in fields.items() if value is not None and value not in _EMPTY
    }


_EMPTY: tuple[Any, ...] = ("", [], {}, ())
