"""One episode as readable text.

What the model or its code wrote stands behind a bar and with its control characters escaped, so
that it can neither steer a terminal nor pass for a line of the transcript.
"""

from __future__ import annotations

from collections import Counter

from okrt.analysis.missing import MissingVariable, missing_variables
from okrt.analysis.rows import Row, row
from okrt.report.plain import one_line, plain
from okrt.types import Episode, Execution, ToolCall, Turn

UNKNOWN = "not measured"


def transcript(episode: Episode) -> str:
    """Returns the episode as text that ends in a newline."""
    lines = [*_header(episode, row(episode))]
    if episode.trajectory is None:
        return "\n".join([*lines, "", "no trajectory: the episode was broken off"]) + "\n"
    lines += ["", "prompt", *_quoted(episode.trajectory.prompt)]
    turns = episode.trajectory.turns
    for number, (turn, missing) in enumerate(
        zip(turns, missing_variables(turns, episode.tools), strict=True), start=1
    ):
        lines += ["", *_turn(number, turn, missing)]
    return "\n".join([*lines, "", f"ending: {episode.trajectory.ending}"]) + "\n"


def _header(episode: Episode, derived: Row) -> list[str]:
    settings, model = episode.settings, episode.model
    fields = {
        "episode": episode.id,
        "task": f"{derived.task_id}, repeat {derived.repeat}",
        "model": f"{model.label} ({model.spec}, trained under {model.trained_under})",
        "contract": derived.contract,
        "prompts": f"{settings.prompt_set}, cue {settings.cue}, names "
        f"{'on' if settings.names else 'off'}, format {settings.format}, "
        f"thinking {settings.thinking}",
        "limits": f"{derived.tool_cap} tool calls a turn, {derived.max_turns} turns, "
        f"{settings.max_new_tokens} new tokens a reply",
        "outcome": _outcome(episode),
        "tokens": f"{_count(derived.total_tokens)} in all, {_count(derived.new_tokens)} new, "
        f"{_count(derived.completion_tokens)} generated",
    }
    return [f"{name:<10}{one_line(text, 500)}" for name, text in fields.items()]


def _outcome(episode: Episode) -> str:
    if episode.failure is not None:
        failure = episode.failure
        return f"none: {failure.boundary} failed, {failure.error_type}: {failure.message}"
    if episode.outcome is None:
        return "none"
    outcome = episode.outcome
    metrics = "".join(
        f", {name} {value:.4g}"
        for name, value in sorted(outcome.metrics.items())
        if value is not None
    )
    return f"score {outcome.score:.3f}, {'solved' if outcome.solved else 'not solved'}{metrics}"


def _turn(number: int, turn: Turn, missing: MissingVariable | None) -> list[str]:
    usage = turn.completion.usage
    cut = " (cut by the length limit)" if turn.completion.finish_reason == "length" else ""
    lines = [
        f"turn {number}: {_count(usage.prompt_tokens)} tokens read, "
        f"{_count(usage.completion_tokens)} generated",
        f"reply{cut}",
        *_quoted(turn.reply if turn.call is None else turn.reply[: turn.call.start].rstrip()),
    ]
    if turn.call is not None:  # its code is hard to read as JSON
        written = turn.call.arguments if turn.code is None else turn.code.rstrip("\n")
        lines += [f"call: {one_line(turn.call.name)}", *_quoted(written)]
    if turn.discarded_chars:
        lines.append(f"{turn.discarded_chars} more characters were dropped from the history")
    if turn.reply_problem is not None:
        lines.append(f"problem: {turn.reply_problem}")
    lines.append("block: none was run" if turn.execution is None else _block(turn.execution))
    if missing is not None and turn.execution is not None:
        name = turn.execution.missing_name or "its name is not known"
        lines.append(f"missing variable: {missing} ({one_line(name)})")
    if turn.observation:
        return [*lines, "observation", *_quoted(turn.observation)]
    return [*lines, *_unseen(turn.execution)]


def _block(execution: Execution) -> str:
    parts = [f"block: {execution.status}"]
    if execution.error_type is not None:
        parts[0] += f" ({one_line(execution.error_type)})"
    parts.append(_calls(execution.calls))
    if execution.refused_calls:
        parts.append(f"{execution.refused_calls} refused beyond the cap")
    if execution.restarted:
        parts.append("the session starts empty")
    return "; ".join(parts)


def _calls(calls: tuple[ToolCall, ...]) -> str:
    served = Counter(call.name for call in calls)
    errors = Counter(call.name for call in calls if call.error is not None)
    texts = [
        f"{one_line(name)} x{count}" + (f" ({errors[name]} with an error)" if errors[name] else "")
        for name, count in served.items()
    ]
    return "tool calls: " + (", ".join(texts) or "none")


def _unseen(execution: Execution | None) -> list[str]:
    """What the last block put out, which the model was not shown any more."""
    if execution is None:
        return []
    shown = "\n".join(part for part in (execution.stdout.rstrip("\n"), execution.error) if part)
    return ["output (not shown to the model)", *_quoted(shown)] if shown else []


def _quoted(text: str) -> list[str]:
    return [f"  | {line}".rstrip() for line in plain(text).split("\n")]


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else f"{tokens:,}"
