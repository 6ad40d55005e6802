"""Messages of a chat -> the blocks of code in it, in whatever way the agent wrote them.

Differs from `okrt.parse`, which says what okrt itself would run: here a block that a stop sequence
cut before its end counts, and several blocks of one message are one block, as most agents run them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from okrt.audit.traces import TraceBlock, block

Arguments = str | dict[str, Any] | None


class Function(msgspec.Struct):
    name: str | None = None
    arguments: Arguments = None


class ToolCall(msgspec.Struct):
    """OpenAI's form, and the flat one without `function`."""

    function: Function | None = None
    name: str | None = None
    arguments: Arguments = None


class Part(msgspec.Struct):
    """A part of a message: text, or a tool's use in Anthropic's form."""

    text: str | None = None
    name: str | None = None
    input: Arguments = None
    content: Any = None


class ChatMessage(msgspec.Struct, rename={"sender": "from"}):
    """`role` and `content`, or ShareGPT's `from` and `value`."""

    role: str | None = None
    content: str | list[str | Part] | None = None
    sender: str | None = None
    value: str | None = None
    tool_calls: list[ToolCall] | None = None


ASSISTANTS = {"assistant", "gpt", "model", "ai", "bot"}
ARGUMENTS = ("code", "source", "script", "python_code", "python", "program", "cell", "code_block")
"""Names under which a tool call carries Python."""

_RUNS_PYTHON = re.compile(
    r"python|jupyter|interpreter|execute_code|run_code|notebook", re.IGNORECASE
)
_TAG = re.compile(
    r"^[ \t]*<(code|execute|execute_ipython|python)>[ \t]*\n?(.*?)(?:</\1>|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FENCE = re.compile(
    r"^ {0,3}(`{3,})[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^ {0,3}\1`*[ \t]*(?:<end_code>)?[ \t\r]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)|\A.*?</think>", re.DOTALL)
_PYTHON = {"python", "py", "python3", "py3", "ipython", "python-exec", "tool_code"}


def blocks(messages: Sequence[ChatMessage]) -> tuple[TraceBlock, ...]:
    """Returns the blocks of a chat, each with what the messages up to the next reply showed."""
    found: list[TraceBlock] = []
    for position, message in enumerate(messages):
        if (message.role or message.sender or "").lower() not in ASSISTANTS:
            continue
        code = "\n\n".join([*_in_text(_text(message)), *_in_calls(message)])
        if code.strip():
            found.append(block(code, _observation(messages[position + 1 :])))
    return tuple(found)


def _observation(later: Sequence[ChatMessage]) -> str | None:
    shown: list[str] = []
    for message in later:
        if (message.role or message.sender or "").lower() in ASSISTANTS:
            break
        shown.append(_text(message))
    return "\n".join(shown) if shown else None


def _text(message: ChatMessage) -> str:
    content = message.content if message.content is not None else message.value
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part if isinstance(part, str) else _part(part) for part in content)


def _part(part: Part) -> str:
    if part.text is not None:
        return part.text
    return part.content if isinstance(part.content, str) else ""


def _in_text(text: str) -> Iterator[str]:
    """Yields the code of a reply: in tags at the start of a line, else in fences that say Python,
    else in fences that say nothing. Code inside thinking never ran."""
    text = _THOUGHT.sub("", text)
    tagged = [match.group(2) for match in _TAG.finditer(text)]
    if tagged:
        yield from (_unfenced(code) for code in tagged)
        return
    fences = [match.group(2, 3) for match in _FENCE.finditer(text)]
    ours = [code for language, code in fences if language.lower() in _PYTHON]
    yield from ours or [code for language, code in fences if not language]


def _unfenced(code: str) -> str:
    inside = _FENCE.search(code)
    return inside.group(3) if inside and not code[: inside.start()].strip() else code


def _in_calls(message: ChatMessage) -> Iterator[str]:
    for call in message.tool_calls or ():
        function = call.function or Function(call.name, call.arguments)
        yield from _in_arguments(function.name or "", function.arguments)
    if isinstance(message.content, list):
        for part in message.content:
            if isinstance(part, Part) and part.input is not None:
                yield from _in_arguments(part.name or "", part.input)


def _in_arguments(tool: str, arguments: Arguments) -> Iterator[str]:
    """Yields the Python that a call carries: an argument of one of the `ARGUMENTS` names; else,
    where the tool's name says that it runs Python, its only text, or what is no JSON."""
    runs_python = bool(_RUNS_PYTHON.search(tool))
    if isinstance(arguments, str):
        try:
            decoded: Any = msgspec.json.decode(arguments)
        except (msgspec.MsgspecError, RecursionError):
            decoded = arguments
        if isinstance(decoded, str) and runs_python:
            yield decoded
        arguments = decoded if isinstance(decoded, dict) else None
    texts = {key: value for key, value in (arguments or {}).items() if isinstance(value, str)}
    named = next((texts[name] for name in ARGUMENTS if name in texts), None)
    if named is not None:
        yield named
    elif runs_python and len(texts) == 1:
        yield from texts.values()
