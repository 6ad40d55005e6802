"""Completion text -> the one block of code that will run, and what the model is told of the rest.

Every reply has a defined answer: the first Python block runs; everything behind it (invented
observations, a second block) leaves the history; code inside thinking never runs; a block that is
empty, unclosed or in another language does not run. A tool call holds a block as its argument; one
that cannot be read, or calls another function, does not run. This module runs nothing and knows no
contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from okrt.types import ARGUMENT, FUNCTION, FinishReason, Format, Thinking, ToolRequest

Problem = Literal[
    "no_block",
    "empty_block",
    "unclosed",
    "other_language",
    "two_blocks",
    "skipped_block",
    "text_after",
    "bad_call",
    "unknown_function",
]

PROBLEMS: dict[Problem, str] = {
    "no_block": "No block was found in your reply, so nothing was run. Write one block: {opening}.",
    "empty_block": "Your block was empty, so nothing was run. Write code between {opening}.",
    "unclosed": "Your block was not closed, so it was not run. Close it: {opening}.",
    "other_language": "Only Python runs here; your block was in another language and was not run.",
    "two_blocks": "Your reply held more than one block. Only the first was run, the rest dropped.",
    "skipped_block": "Only your first Python block with code was run, not what stood before it.",
    "text_after": "What you wrote after the block was dropped; only real output appears here.",
}
CALL_PROBLEMS: dict[Problem, str] = {
    "no_block": "You called no function, so nothing was run. Call python with your code.",
    "empty_block": "The code of your call was empty, so nothing was run.",
    "unclosed": "Your call was not closed, so nothing was run.",
    "bad_call": "Your call could not be read, so nothing was run. Its arguments must be a JSON "
    'object with your code as text: {"code": "..."}.',
    "unknown_function": "There is no such function, so nothing was run. Call python with your "
    "code; the tools of the task are functions for that code.",
    "two_blocks": "Your reply held more than one call. Only the first was run, the rest dropped.",
    "skipped_block": "Only your first call of python with code was run, not what stood before it.",
    "text_after": "What you wrote after the call was dropped; only real output appears here.",
}
"""What is told in the format `tool_call`."""
CUT_SHORT = "Your reply reached the length limit and was cut there."

_PYTHON = {"", "python", "python3", "py", "py3"}
_FENCE = re.compile(r"^ {0,3}(`{3,})[ \t]*([^\s`]*)[^`\n]*$", re.MULTILINE)
_THOUGHT = re.compile(r"^[ \t]*<think>.*?(?:</think>|\Z)", re.MULTILINE | re.DOTALL)
_TAG = re.compile(r"<code>(.*?)</code>", re.DOTALL)
_OPENINGS: dict[Format, str] = {
    "fenced": "a line ```python, the code, a line ```",
    "code_tag": "<code>, the code, </code>",
}
_CALL, _END_CALL = "<tool_call>", "</tool_call>"
_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Reply:
    """A completion taken apart."""

    code: str | None
    """What will run, or None."""
    kept: str
    """What stays in the history: everything up to the end of the block that runs, and white space
    behind it, so that a clean reply stays as it was generated."""
    discarded_chars: int
    problem: Problem | None
    notes: tuple[str, ...]
    """What the model is told."""
    call: ToolRequest | None = None
    """The tool call that `kept` ends with, without an id; None where it cannot be read, or is not
    alone."""


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    code: str
    fault: Problem | None
    """Why it cannot run."""
    call: ToolRequest | None = None
    """Of a call that can be read."""


def parse(
    text: str,
    format: Format = "fenced",
    thinking: Thinking = "off",
    finish_reason: FinishReason = "stop",
) -> Reply:
    """Returns the block of a reply and the text that stays in the history.

    Thinking is what stands between `<think>` at the start of a line and `</think>` (or before a
    lone `</think>`, as some templates open it in the prompt). It stays in the history under `keep`
    alone; unclosed, it reaches to the end.
    """
    spans = thoughts(text)
    visible = _blanked(text, spans)
    blocks = list(_FINDERS[format](visible))
    runs = next((block for block in blocks if block.fault is None), None)
    if runs is None:
        problem: Problem | None = _why_none(blocks)
        end = len(text)
    else:
        place = blocks.index(runs)
        problem = _what_follows(visible[runs.end :], blocks[place + 1 :])
        if problem is None and place:
            problem = "skipped_block"
        end = runs.end if visible[runs.end :].strip() else len(text)
    notes = [_note(problem, format)] if problem else []
    if finish_reason == "length":
        notes.append(CUT_SHORT)
    kept = text[:end] if thinking == "keep" else without(text[:end], spans)
    call = _last_call(runs, blocks, visible)
    if call is not None and thinking != "keep":
        call = replace(call, start=len(without(text[: call.start], spans)))
    return Reply(
        runs.code if runs else None, kept, len(text) - len(kept), problem, tuple(notes), call
    )


def thoughts(text: str) -> list[tuple[int, int]]:
    """Returns where thinking stands in a completion, in order, the tags included."""
    spans: list[tuple[int, int]] = []
    head = 0
    opening = text.find("<think>")
    while (close := text.find("</think>", head)) >= 0 and not head <= opening < close:
        head = close + len("</think>")
    if head:
        spans.append((0, head))
    return spans + [match.span() for match in _THOUGHT.finditer(text, head)]


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """Returns the text with the spans as empty lines, so that positions stay and fences show."""
    parts, position = [], 0
    for start, end in spans:
        parts += [text[position:start], "\n" * (end - start)]
        position = end
    return "".join([*parts, text[position:]])


def without(text: str, spans: list[tuple[int, int]]) -> str:
    """Returns the text without these spans and the empty lines behind them."""
    parts, position = [], 0
    for start, end in spans:
        if start >= len(text):
            break
        parts.append(text[position:start])
        position = min(end, len(text))
        while position < len(text) and text[position] == "\n":
            position += 1
    return "".join([*parts, text[position:]])


def _fenced(text: str) -> Iterator[_Block]:
    position = 0
    while opening := _FENCE.search(text, position):
        ticks, language = opening.group(1), opening.group(2).lower()
        closing = re.compile(rf"^ {{0,3}}`{{{len(ticks)},}}[ \t\r]*$", re.MULTILINE)
        begin = min(opening.end() + 1, len(text))
        close = closing.search(text, begin)
        end = close.end() if close else len(text)
        code = text[begin : close.start() if close else end]
        fault = _fault(code, close is not None)
        yield _Block(opening.start(), end, code, fault if language in _PYTHON else "other_language")
        position = end


def _tagged(text: str) -> Iterator[_Block]:
    position = 0
    for match in _TAG.finditer(text):
        code = match.group(1).strip("\n") + "\n"
        yield _Block(match.start(), match.end(), code, _fault(code, True))
        position = match.end()
    rest = text.find("<code>", position)
    if rest >= 0:
        yield _Block(rest, len(text), text[rest + len("<code>") :], "unclosed")


def _called(text: str) -> Iterator[_Block]:
    """Yields the calls of a text: `<tool_call>`, a JSON object, `</tool_call>`.

    JSON is read as such, so that code may hold the closing tag. Source: the form of Hermes and
    Qwen's chat templates; as strict as the parsers of servers, but that a call must be closed.
    """
    end = 0
    while (start := text.find(_CALL, end)) >= 0:
        begin = start + len(_CALL)
        while begin < len(text) and text[begin].isspace():
            begin += 1
        try:
            found, behind = _JSON.raw_decode(text, begin)
        except (ValueError, RecursionError):
            found, behind = None, begin
        close = text.find(_END_CALL, behind)
        whole = not text[behind : max(close, behind)].strip()
        end = close + len(_END_CALL) if close >= 0 else len(text)
        yield _call(found if whole else None, start, end, close >= 0)


def _call(found: Any, start: int, end: int, closed: bool) -> _Block:
    """Returns the block of one call; `found` is what its JSON holds."""
    call = _request(found, start)
    if not closed:
        return _Block(start, end, "", "unclosed")
    if call is None:
        return _Block(start, end, "", "bad_call")
    if call.name != FUNCTION:
        return _Block(start, end, "", "unknown_function", call)
    code = found["arguments"].get(ARGUMENT)
    if not isinstance(code, str):
        return _Block(start, end, "", "bad_call", call)
    return _Block(start, end, code, _fault(code, True), call)


def _request(found: Any, start: int) -> ToolRequest | None:
    """Returns a call that others can read too: a name and an object, in valid Unicode."""
    match found:
        case {"name": str(name), "arguments": dict(arguments)}:
            try:
                written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
                (name + written).encode()
            except (ValueError, RecursionError):  # half a character, NaN: Python alone reads them
                return None
            return ToolRequest("", name, written, start)
    return None


def _fault(code: str, closed: bool) -> Problem | None:
    if not closed:
        return "unclosed"
    return None if code.strip() else "empty_block"


def _why_none(blocks: list[_Block]) -> Problem:
    """Returns the fault of the first block that is meant for us."""
    faults = [block.fault for block in blocks if block.fault]
    ours = [fault for fault in faults if fault != "other_language"]
    return next(iter([*ours, *faults]), "no_block")


def _what_follows(rest: str, later: list[_Block]) -> Problem | None:
    if any(block.fault != "other_language" for block in later):
        return "two_blocks"
    return "text_after" if rest.strip() else None


def _last_call(runs: _Block | None, blocks: list[_Block], text: str) -> ToolRequest | None:
    """Returns the call that ends what is kept: the one that runs, or the only one and the last."""
    if runs is not None:
        return runs.call
    alone = len(blocks) == 1 and not text[blocks[0].end :].strip()
    return blocks[0].call if alone else None


def _note(problem: Problem, format: Format) -> str:
    if format == "tool_call":
        return CALL_PROBLEMS[problem]
    return PROBLEMS[problem].format(opening=_OPENINGS[format])


_FINDERS: dict[Format, Callable[[str], Iterator[_Block]]] = {
    "fenced": _fenced,
    "code_tag": _tagged,
    "tool_call": _called,
}
