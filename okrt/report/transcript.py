"""One episode as readable text.

What the model or its code wrote stands behind a bar and with its control characters escaped, so
that it can neither steer a terminal nor pass for a line of the transcript. A terminal would break
long lines without a bar: for one, lines are broken here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from okrt.analysis.missing import MissingVariable, missing_variables
from okrt.analysis.rows import Row, row
from okrt.report.colour import Paint, Style, unpainted
from okrt.report.plain import one_line, pieces, plain
from okrt.types import Episode, Execution, ToolCall, Turn

UNKNOWN = "not measured"
BAR, BROKEN = "  | ", "  : "
"""Before a line of what was said, and before the rest of one that was too long for the terminal."""
_NARROWEST = 20
"""Columns; below it lines are broken as if there were so many."""
_Line = tuple[Style | None, str]
"""A line, and how it is painted."""


def transcript(episode: Episode, width: int | None = None, paint: Paint = unpainted) -> str:
    """Returns the episode as text that ends in a newline.

    Args:
        episode: any; one that was broken off has no turns.
        width: columns after which lines are broken; None: they are as long as they are.
        paint: puts colour to a line.
    """
    return "".join(
        f"{text if style is None else paint(style, text)}\n"
        for line in _lines(episode)
        for style, text in _fitted(line, width)
    )


def _lines(episode: Episode) -> Iterator[_Line]:
    yield from _header(episode, row(episode))
    yield None, ""
    if episode.trajectory is None:
        yield "bad", "no trajectory: the episode was broken off"
        return
    yield "heading", "prompt"
    yield from _quoted(episode.trajectory.prompt)
    turns = episode.trajectory.turns
    for number, (turn, missing) in enumerate(
        zip(turns, missing_variables(turns, episode.tools), strict=True), start=1
    ):
        yield None, ""
        yield from _turn(number, turn, missing)
    ending = episode.trajectory.ending
    yield None, ""
    yield None if ending == "finished" else "bad", f"ending: {ending}"


def _fitted(line: _Line, width: int | None) -> Iterator[_Line]:
    style, text = line
    if width is None:
        yield line
        return
    first, *rest = pieces(text, max(width, _NARROWEST))
    yield style, first
    for piece in pieces("".join(rest), max(width, _NARROWEST) - len(BROKEN)) if rest else ():
        yield style, f"{BROKEN if text.startswith(BAR) else ' ' * len(BROKEN)}{piece}"


def _header(episode: Episode, derived: Row) -> list[_Line]:
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
    styles: dict[str, Style] = {"episode": "heading"}
    if episode.failure is not None:
        styles["outcome"] = "bad"
    return [(styles.get(name), f"{name:<10}{one_line(t, 500)}") for name, t in fields.items()]


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


def _turn(number: int, turn: Turn, missing: MissingVariable | None) -> Iterator[_Line]:
    usage = turn.completion.usage
    read, generated = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    yield "heading", f"turn {number}: {read} tokens read, {generated} generated"
    cut = " (cut by the length limit)" if turn.completion.finish_reason == "length" else ""
    yield "faint", f"reply{cut}"
    said = turn.reply if turn.call is None else turn.reply[: turn.call.start].rstrip()
    yield from _quoted(said, turn.code)
    if turn.call is not None:  # its code is hard to read as JSON
        written = turn.call.arguments if turn.code is None else turn.code.rstrip("\n")
        yield "faint", f"call: {one_line(turn.call.name)}"
        yield from _quoted(written, turn.code)
    if turn.discarded_chars:
        yield None, f"{turn.discarded_chars} more characters were dropped from the history"
    if turn.reply_problem is not None:
        yield "bad", f"problem: {turn.reply_problem}"
    if turn.execution is None:
        yield None, "block: none was run"
    else:
        yield None if turn.execution.status == "ok" else "bad", _block(turn.execution)
    if missing is not None and turn.execution is not None:
        name = turn.execution.missing_name or "its name is not known"
        yield "lost", f"missing variable: {missing} ({one_line(name)})"
    if turn.observation:
        yield "faint", "observation"
        yield from _quoted(turn.observation)
    else:
        yield from _unseen(turn.execution)


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


def _unseen(execution: Execution | None) -> Iterator[_Line]:
    """What the last block put out, which the model was not shown any more."""
    parts = () if execution is None else (execution.stdout.rstrip("\n"), execution.error)
    if shown := "\n".join(part for part in parts if part):
        yield "faint", "output (not shown to the model)"
        yield from _quoted(shown)


def _quoted(text: str, code: str | None = None) -> Iterator[_Line]:
    """The text behind a bar; the lines of `code`, where the text holds it, as such."""
    block = (code or "").strip("\n")
    at = text.find(block) if block else -1
    first = text.count("\n", 0, at) if at >= 0 else 0
    end = first + block.count("\n") + 1 if at >= 0 else 0
    for number, line in enumerate(plain(text).split("\n")):
        yield "code" if first <= number < end else None, f"{BAR}{line}".rstrip()


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else f"{tokens:,}"
