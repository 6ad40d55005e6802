"""Conversations in token space: where a reply's ids are known, they are kept as they are.

Evaluation feeds what this module encodes, and training trains on it. The text is that of the
tokenizer's own chat template; the pieces between replies are tokenised one by one, so that a longer
history extends the ids of a shorter one wherever the template only appends. Needs neither torch nor
transformers: a tokenizer is passed in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from okrt.models.calls import schema, spelled
from okrt.types import Completion, FunctionTool, Message, Role, Thinking


class ChatTokenizer(Protocol):
    """What is asked of a tokenizer; `transformers.PreTrainedTokenizerBase` has it."""

    @property
    def all_special_ids(self) -> list[int]: ...

    def apply_chat_template(self, conversation: list[dict[str, Any]], **options: Any) -> Any: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: list[int]) -> Any: ...


_THOUGHT = re.compile(r"<think>(.*?)(?:</think>|\Z)|\A((?:(?!<think>).)*?)</think>", re.DOTALL)
"""Thinking, closed or cut off; a template may have opened it already, in the prompt."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A conversation as token ids."""

    ids: tuple[int, ...]
    replies: tuple[tuple[int, int], ...] | None
    """Start and end in `ids` of each assistant message's content; None where these are not to be
    had: the template rewrote a reply, or the tokenizer cannot read a text piece by piece, and `ids`
    are those of the whole text."""


def template_options(thinking: Thinking, function: FunctionTool | None = None) -> dict[str, Any]:
    """Returns what a chat template is told about thinking, and of a function to call."""
    tools = {} if function is None else {"tools": [schema(function)]}
    return {"enable_thinking": thinking != "off", **tools}


def encode_conversation(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message],
    completions: Sequence[Completion] = (),
    *,
    add_generation_prompt: bool,
    template_kwargs: Mapping[str, Any],
) -> Encoding:
    """Returns the ids of a chat, the ids of generated replies kept as they were generated.

    Args:
        tokenizer: with a chat template.
        messages: the chat; its roles as the template takes them.
        completions: those behind the assistant messages, in order; fewer is fine. The ids of one
            are used where its text is the whole content of its message.
        add_generation_prompt: whether the text ends where a reply is to begin.
        template_kwargs: further variables of the template.
    """
    options = {"add_generation_prompt": add_generation_prompt, **template_kwargs}
    text = _render(tokenizer, messages, options)
    contents = [message.content for message in messages if message.role == "assistant"]
    pieces = _pieces_between_replies(tokenizer, messages, options)
    if _interleave(pieces, contents) != text or not _reads_in_pieces(tokenizer):
        return Encoding(tuple(tokenizer.encode(text, add_special_tokens=False)), None)

    ids = tokenizer.encode(pieces[0], add_special_tokens=False)
    replies = []
    for index, (content, piece) in enumerate(zip(contents, pieces[1:], strict=True)):
        start = len(ids)
        completion = completions[index] if index < len(completions) else None
        if completion and completion.token_ids is not None and completion.text == content:
            ids += completion.token_ids
        else:
            ids += tokenizer.encode(content, add_special_tokens=False)
        replies.append((start, len(ids)))
        ids += tokenizer.encode(piece, add_special_tokens=False)
    return Encoding(tuple(ids), tuple(replies))


def offers(tokenizer: ChatTokenizer, function: FunctionTool) -> bool:
    """Whether the template says which functions there are, and has calls in the form that replies
    are read for."""
    chat: list[dict[str, Any]] = [{"role": "user", "content": "first"}]
    options = {"tokenize": False, "tools": [schema(function)]}
    told = str(tokenizer.apply_chat_template(chat, **options))
    arguments = {function.argument: "second"}
    said = {"name": function.name, "arguments": arguments}
    chat.append({"role": "assistant", "content": "", "tool_calls": [
        {"id": "call00000", "type": "function", "function": said}
    ]})  # fmt: skip
    form = spelled(function.name, json.dumps(arguments))
    return function.description in told and form in str(
        tokenizer.apply_chat_template(chat, **options)
    )


def appends_only(tokenizer: ChatTokenizer, template_kwargs: Mapping[str, Any]) -> bool:
    """Whether the template leaves a history as it was fed: prompt, reply, then what is new."""
    then: Role = "tool" if "tools" in template_kwargs else "user"
    chat = [Message("user", "first"), Message("assistant", "reply"), Message(then, "second")]
    fed = _render(tokenizer, chat[:1], {"add_generation_prompt": True, **template_kwargs})
    later = _render(tokenizer, chat, {"add_generation_prompt": True, **template_kwargs})
    return later.startswith(fed + "reply")


def end_of_turn_id(tokenizer: ChatTokenizer, template_kwargs: Mapping[str, Any]) -> int | None:
    """Returns the special token that the template puts right after a reply, or None."""
    chat = [Message("user", "first"), Message("assistant", "reply"), Message("user", "second")]
    options = {"add_generation_prompt": False, **template_kwargs}
    after = _pieces_between_replies(tokenizer, chat, options)[-1]
    ids = tokenizer.encode(after, add_special_tokens=False)
    return ids[0] if ids and ids[0] in tokenizer.all_special_ids else None


def reasoning_tokens(tokenizer: ChatTokenizer, text: str) -> int | None:
    """Returns the tokens of the thinking in `text`, tokenised by itself; None if there is none."""
    thoughts = [opened or unopened for opened, unopened in _THOUGHT.findall(text)]
    if not thoughts:
        return None
    return sum(len(tokenizer.encode(thought, add_special_tokens=False)) for thought in thoughts)


def _render(
    tokenizer: ChatTokenizer, messages: Sequence[Message], options: Mapping[str, Any]
) -> str:
    chat = [{"role": message.role, "content": message.content} for message in messages]
    return str(tokenizer.apply_chat_template(chat, tokenize=False, **options))


def _pieces_between_replies(
    tokenizer: ChatTokenizer, messages: Sequence[Message], options: Mapping[str, Any]
) -> list[str]:
    """Returns the template's text before, between and after the replies.

    The places are found by rendering a mark in each reply's stead: a reply may itself occur in the
    text before it, so that a search for it could find the wrong place.
    """
    mark = next(
        mark
        for mark in (f"\ue000{number}\ue001" for number in count())
        if not any(mark in message.content for message in messages)
    )
    marked = [Message(m.role, mark if m.role == "assistant" else m.content) for m in messages]
    return _render(tokenizer, marked, options).split(mark)


def _interleave(pieces: Sequence[str], contents: Sequence[str]) -> str | None:
    if len(pieces) != len(contents) + 1:
        return None
    joined = [text for pair in zip(pieces, contents, strict=False) for text in pair]
    return "".join([*joined, pieces[-1]])


def _reads_in_pieces(tokenizer: ChatTokenizer) -> bool:
    """Whether the ids of two texts one after the other are ids of the joined text.

    Not so for vocabularies that put a space before what they read (SentencePiece's dummy prefix).
    """
    ids = [i for text in ("a", "b") for i in tokenizer.encode(text, add_special_tokens=False)]
    return bool(tokenizer.decode(ids) == "ab")
