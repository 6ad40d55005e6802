"""Completion text -> the one block of code that will run, and what the model is told of the rest.

Every reply has a defined answer: the first Python block runs; everything behind it (invented
observations, a second block) leaves the history; code inside thinking never runs; a block that is
empty, unclosed or in another language does not run. This module runs nothing and knows no contract.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from okrt.types import FinishReason, Format, Thinking

Problem = Literal[
    "no_block",
    "empty_block",
    "unclosed",
    "other_language",
    "two_blocks",
    "skipped_block",
    "text_after",
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
CUT_SHORT = "Your reply reached the length limit and was cut there."

_PYTHON = {"", "python", "python3", "py", "py3"}
_FENCE = re.compile(r"^ {0,3}(`{3,})[ \t]*([^\s`]*)[^`\n]*$", re.MULTILINE)
_THOUGHT = re.compile(r"^[ \t]*<think>.*?(?:</think>|\Z)", re.MULTILINE | re.DOTALL)
_TAG = re.compile(r"<code>(.*?)</code>", re.DOTALL)
_OPENINGS: dict[Format, str] = {
    "fenced": "a line ```python, the code, a line ```",
    "code_tag": "<code>, the code, </code>",
}


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


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    language: str
    code: str
    closed: bool


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
    thoughts = _thoughts(text)
    visible = _blanked(text, thoughts)
    blocks = list(_fenced(visible) if format == "fenced" else _tagged(visible))
    runs = next((b for b in blocks if b.language in _PYTHON and b.closed and b.code.strip()), None)
    if runs is None:
        problem: Problem | None = _why_none(blocks)
        end = len(text)
    else:
        place = blocks.index(runs)
        problem = _what_follows(visible[runs.end :], blocks[place + 1 :])
        if problem is None and place:
            problem = "skipped_block"
        end = runs.end if visible[runs.end :].strip() else len(text)
    notes = [PROBLEMS[problem].format(opening=_OPENINGS[format])] if problem else []
    if finish_reason == "length":
        notes.append(CUT_SHORT)
    kept = text[:end] if thinking == "keep" else _without(text[:end], thoughts)
    return Reply(runs.code if runs else None, kept, len(text) - len(kept), problem, tuple(notes))


def _thoughts(text: str) -> list[tuple[int, int]]:
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


def _without(text: str, spans: list[tuple[int, int]]) -> str:
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
        yield _Block(opening.start(), end, language, code, close is not None)
        position = end


def _tagged(text: str) -> Iterator[_Block]:
    position = 0
    for match in _TAG.finditer(text):
        yield _Block(match.start(), match.end(), "", match.group(1).strip("\n") + "\n", True)
        position = match.end()
    rest = text.find("<code>", position)
    if rest >= 0:
        yield _Block(rest, len(text), "", text[rest + len("<code>") :], False)


def _why_none(blocks: list[_Block]) -> Problem:
    ours = [block for block in blocks if block.language in _PYTHON]
    if not blocks:
        return "no_block"
    if not ours:
        return "other_language"
    return "empty_block" if ours[0].closed else "unclosed"


def _what_follows(rest: str, later: list[_Block]) -> Problem | None:
    if any(block.language in _PYTHON for block in later):
        return "two_blocks"
    return "text_after" if rest.strip() else None
