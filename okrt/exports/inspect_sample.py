"""An episode as a sample of an Inspect AI log.

Source: the log format of inspect_ai 0.3, version 2 (`EvalSample`, `EvalSampleSummary`, which
`inspect log schema` prints). What is not known is left out: its reader takes 0 for a number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from okrt.analysis.brief import Brief
from okrt.analysis.rows import Row
from okrt.exports.columns import clean, values
from okrt.exports.messages import chat
from okrt.models.calls import schema
from okrt.report.plain import plain
from okrt.types import Completion, Episode, Trajectory, Usage

SCORES = ("score", "relative_score", "solved", "lost", "missing_variable", "finished")
"""Scores of a sample, of which those that are not known are left out; the last four are 0 or 1."""
_SUMMARY_CHARS = 1_024
"""Of a text in a summary. Source: `thin_text` of inspect_ai."""
_STOPS = {"stop": "stop", "length": "max_tokens", "context": "model_length"}
_DEEPEST = 64
"""Lists and objects within one another that a call's arguments are shown as; a model may write more
than readers, and we, can walk."""
_LIMITS = {"max_turns": "turn", "token_budget": "token", "context": "context"}


def sample(row: Row, episode: Episode, run: str, began: str, messages: bool) -> dict[str, Any]:
    """Returns the sample as JSON data. `run` names the run that its uuid is to differ by, which
    began then."""
    trajectory = episode.trajectory
    flat = values(row)
    made: dict[str, Any] = {
        "id": sample_id(row),
        "epoch": row.repeat + 1,
        "input": episode.task.prompt if trajectory is None else trajectory.prompt,
        "target": "",
        "uuid": digest(run, row.episode_id),
        "metadata": {name: value for name, value in flat.items() if value is not None},
        "model_usage": {},
    }
    made["metadata"] |= {name: getattr(row, name) for name in ("errors", "timing", "packages")}
    made["scores"] = {
        name: {"value": value} for name, value in scores(row).items() if value is not None
    }
    wall_s = row.timing.get("wall_s")
    if isinstance(wall_s, int | float):
        made["total_time"] = wall_s
    if episode.failure is not None:
        said = f"{episode.failure.error_type} ({episode.failure.boundary}): "
        said = said + episode.failure.message
        made["error"] = {"message": said, "traceback": said, "traceback_ansi": said}
    if trajectory is None:
        return made
    made["turn_count"] = len(trajectory.turns)
    if used := usage(trajectory.usage):
        made["model_usage"] = {row.model: used}
    if limit := _limit(episode):
        made["limit"] = limit
    if messages:
        made["messages"] = _messages(episode)
        made["events"] = _events(trajectory, made["messages"], row, began)
        made["events_data"] = {"messages": made["messages"], "calls": []}
        if trajectory.turns:
            made["output"] = made["events"][-1]["output"]
    return made


def sample_id(row: Row | Brief) -> str:
    """Returns the task's id, control characters (which cut names in an archive) as escapes."""
    return plain(clean(row.task_id)).replace("\n", "\\n").replace("\t", "\\t")


def scores(row: Row) -> dict[str, float | None]:
    """Returns each of `SCORES`."""
    found = (
        clean(row.score),
        clean(row.relative_score),
        _flag(row.solved),
        _flag(row.lost_errors),
        _flag(row.missing_variable_errors),
        None if row.ending is None else float(row.ending == "finished"),
    )
    return dict(zip(SCORES, found, strict=True))


def summary(made: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a log lists of a sample beside it."""
    kept = ("id", "epoch", "target", "uuid", "model_usage", "scores", "total_time", "turn_count")
    thin = {
        name: _cut(value)
        for name, value in made["metadata"].items()
        if isinstance(value, str | int | float)
    }
    listed = {name: made[name] for name in kept if name in made}
    listed |= {"input": _cut(made["input"]), "metadata": thin, "completed": True}
    listed["message_count"] = len(made.get("messages", ()))
    if "error" in made:
        listed["error"] = made["error"]["message"]
    if "limit" in made:
        listed["limit"] = made["limit"]["type"]
    return listed


def usage(used: Usage) -> dict[str, Any]:
    """Returns the tokens as Inspect counts them, input without what a cache held; or nothing where
    they were not measured."""
    if used.prompt_tokens is None or used.completion_tokens is None:
        return {}
    found = {
        "input_tokens": max(0, used.prompt_tokens - (used.cached_tokens or 0)),
        "output_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
    if used.cached_tokens is not None:
        found["input_tokens_cache_read"] = used.cached_tokens
    if used.reasoning_tokens is not None:
        found["reasoning_tokens"] = used.reasoning_tokens
    return found


def digest(*parts: str) -> str:
    """Returns 22 hexadecimal digits, as long as the ids that Inspect draws."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "backslashreplace")
        whole.update(b"%d:%b" % (len(data), data))
    return whole.hexdigest()[:22]


def _messages(episode: Episode) -> list[dict[str, Any]]:
    found = []
    names: dict[str, str] = {}
    for number, one in enumerate(chat(episode) or ()):
        message = {"id": f"{episode.id}-{number}", **one}
        calls = [_call(call) for call in one.get("tool_calls", ())]
        names |= {call["id"]: call["function"] for call in calls}
        if calls:
            message["tool_calls"] = calls
        if one["role"] == "assistant":
            message |= {"source": "generate", "model": episode.model.label}
        elif one["role"] == "tool":
            message["function"] = names.get(one["tool_call_id"])
        else:
            message["source"] = "input"
        found.append(message)
    return found


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call whose arguments are no JSON object keeps them as they were written."""
    named = {"id": call["id"], "function": call["function"]["name"], "type": "function"}
    written = call["function"]["arguments"]
    try:
        arguments = msgspec.json.decode(written, type=dict[str, Any])
        if _is_deeper(arguments, _DEEPEST):
            raise RecursionError("nested too deeply")
        return {**named, "arguments": arguments}
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return {**named, "arguments": {"raw": written}, "parse_error": str(error)}


def _is_deeper(value: Any, left: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(_is_deeper(one, left - 1) for one in inner)


def _events(
    trajectory: Trajectory, messages: list[dict[str, Any]], row: Row, began: str
) -> list[dict[str, Any]]:
    """One an answer of the model: what it was shown, as a range of the messages, and what it said.

    When it was said is not known: the time is that of the run's beginning.
    """
    replies = [place for place, one in enumerate(messages) if one["role"] == "assistant"]
    function = trajectory.function
    return [
        {
            "event": "model",
            "uuid": digest(messages[place]["id"]),
            "timestamp": began,
            "working_start": 0,
            "model": row.model,
            "input": [],
            "input_refs": [[0, place]],
            "tools": [] if function is None else [schema(function)["function"]],
            "tool_choice": "none" if function is None else "auto",
            "config": {"temperature": row.temperature},
            "output": _output(row.model, messages[place], turn.completion),
        }
        for place, turn in zip(replies, trajectory.turns, strict=True)
    ]


def _output(model: str, message: dict[str, Any], completion: Completion) -> dict[str, Any]:
    choice = {"message": message, "stop_reason": _STOPS[completion.finish_reason]}
    said = {"model": model, "choices": [choice], "completion": message["content"]}
    used = usage(completion.usage)
    return {**said, "usage": used} if used else said


def _limit(episode: Episode) -> dict[str, Any] | None:
    """The limit that ended an episode; its size is 0 where the context's is not known."""
    ending = None if episode.trajectory is None else episode.trajectory.ending
    if ending is None or ending == "finished":
        return None
    server = episode.model.server
    sizes = {
        "max_turns": episode.settings.max_turns,
        "token_budget": episode.settings.token_budget,
        "context": None if server is None else server.context,
    }
    return {"type": _LIMITS[ending], "limit": sizes[ending] or 0}


def _flag(count: int | None) -> float | None:
    return None if count is None else float(count > 0)


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _SUMMARY_CHARS:
        return value[: _SUMMARY_CHARS - 3] + "..."
    return value
