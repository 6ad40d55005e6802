"""What an OpenAI-compatible server sends -> nouns: completions, refusals, facts. Pure.

Servers differ in where they put reasoning and in what they count, so every field but the reply
itself may be missing; what is missing is None, never 0. Wordings of refusals are those of vLLM,
SGLang and OpenAI.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from okrt.models.calls import spelled
from okrt.types import Completion, FinishReason, ServerFacts, Usage

PASSING = frozenset({408, 409, 425, 429})
"""Client errors that may be gone a moment later, as all server errors (500 and up) may.
Source: the retries of the openai package; differs: 425 too."""


class Unanswered(Exception):
    """A request that brought no completion. Its cause is what the client raised."""

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        """
        Args:
            message: what the server or the client says, one line.
            status: of HTTP; None where there was no answer, or none that can be read.
            retry_after: seconds that the server asks to wait.
        """
        super().__init__(message)
        self.message, self.status, self.retry_after = message, status, retry_after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status in PASSING or self.status >= 500

    def __str__(self) -> str:
        return self.message if self.status is None else f"{self.status}: {self.message}"


class _Function(Struct):
    name: str | None = None
    arguments: Any = None


class _Call(Struct):
    function: _Function | None = None
    id: str | None = None


class _Message(Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class _PromptDetails(Struct):
    cached_tokens: int | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Reply(Struct):
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: _Usage | None = None


class _Refusal(Struct):
    error: Any = None
    message: str | None = None
    detail: Any = None


def completion(body: bytes) -> Completion:
    """Returns the completion of an answer of `/chat/completions`.

    Reasoning that the server took out of the reply is put back in front of it, between think tags,
    so that every mode of thinking means what it means with a checkpoint; reasoning that was cut
    short stays open. Tool calls are put back behind it, as a checkpoint spells them.

    Raises:
        Unanswered: the answer is no completion, or the server broke it off.
    """
    reply = _decode(body)
    choice = reply.choices[0]
    if choice.finish_reason in ("abort", "error"):
        raise Unanswered(f"the server broke the reply off ({choice.finish_reason})")
    calls = choice.message.tool_calls or []
    text = "\n".join(filter(None, [choice.message.content, *map(_spelled, calls)]))
    if thought := choice.message.reasoning_content or choice.message.reasoning:
        cut = choice.finish_reason == "length" and not text
        text = f"<think>\n{thought}" if cut else f"<think>\n{thought}\n</think>\n\n{text}"
    finish: FinishReason = "length" if choice.finish_reason == "length" else "stop"
    first = calls[0].id if calls else None
    return Completion(text, finish, _usage(reply.usage), call_id=first or None)


def _spelled(call: _Call) -> str:
    """Returns a call as text. Its arguments should be text themselves; some servers give JSON."""
    function = call.function or _Function()
    given = function.arguments
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return spelled(function.name or "", arguments)


def logprobs(body: bytes) -> object:
    """Returns the log-probabilities of an answer as the server gives them; None if it gives none.

    Raises:
        Unanswered: the answer is no completion.
    """
    return _decode(body).choices[0].logprobs


def _decode(body: bytes) -> _Reply:
    try:
        return msgspec.json.decode(body, type=_Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = refusal(body)
        raise Unanswered(f"the answer is no chat completion ({error}): {said}") from error


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    inner = usage.completion_tokens_details
    thought = (inner and inner.reasoning_tokens) or usage.reasoning_tokens
    details = usage.prompt_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=thought or None,  # servers that do not tell reasoning apart say 0
        cached_tokens=details.cached_tokens if details else None,
    )


def refusal(body: bytes) -> str:
    """Returns what an answer that is no completion says, in one line."""
    text = body.decode("utf-8", "replace")
    try:
        found = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _Refusal()
    said = found.error or found.message or found.detail or text
    if isinstance(said, dict):
        said = said.get("message") or said
    return " ".join(str(said).split()) or "nothing"


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Returns the seconds that an answer asks to wait: a number or a date. Source: RFC 9110."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return None
    return seconds if 0 <= seconds < float("inf") else None


# -- a request that is too long -------------------------------------------------------------------

_TOO_LONG = re.compile(
    r"context[ _]length|context[ _]window|maximum model length|max_model_len", re.IGNORECASE
)
_CONTEXT = re.compile(
    r"(?:context length(?: is| of)?|maximum model length of|context window of)\s*\(?(\d+)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(at least )?\b(\d+) (?:input tokens|tokens from the input|in the messages|in the input)"
    r"|input \((\d+) tokens",
    re.IGNORECASE,
)


def room_left(refused: Unanswered, asked: int) -> int | None:
    """Returns how many tokens a reply may have where `asked` were too many; 0 where none fits, None
    where the request was refused for something else than its length.

    A checkpoint's reply may have what is left of the context; servers refuse in its stead, and
    mostly say the numbers. vLLM stops counting a prompt early (`at least`): half is tried then.
    """
    if refused.status not in (400, 413, 422) or not _TOO_LONG.search(refused.message):
        return None
    context, prompt = _CONTEXT.search(refused.message), _PROMPT.search(refused.message)
    if context is None or prompt is None:
        return 0
    left = int(context[1]) - int(prompt[2] or prompt[3])
    if prompt[1]:
        left = min(left, asked // 2)
    return max(0, min(left, asked - 1))


# -- what a server says of itself -----------------------------------------------------------------


class Listed(Struct):
    """An entry of `/models`."""

    id: str
    max_model_len: int | None = None
    parent: str | None = None
    """The model that an adapter belongs to (vLLM, SGLang)."""


class _Models(Struct):
    data: list[Listed]


class _Version(Struct):
    version: str | None = None


class _ServerInfo(Struct):
    """Of SGLang: its arguments and its version."""

    version: str | None = None
    dtype: str | None = None
    context_length: int | None = None
    reasoning_parser: str | None = None
    disable_radix_cache: bool | None = None


_PREFIX_CACHING = re.compile(r'enable_prefix_caching="(True|False)"', re.IGNORECASE)


def models(body: bytes) -> dict[str, Listed] | None:
    """Returns the models of an answer of `/models` by name; None if it is no such answer."""
    try:
        return {one.id: one for one in msgspec.json.decode(body, type=_Models).data}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def facts(
    url: str, listed: Listed | None, version: bytes, info: bytes, metrics: bytes
) -> ServerFacts:
    """Returns what is known of a server from its answers, each empty where there was none.

    Args:
        url: its address, without credentials.
        listed: the model's entry of `/models`.
        version: of `/version` (vLLM).
        info: of `/server_info` (SGLang).
        metrics: of `/metrics` (vLLM).
    """
    told = _lenient(info, _ServerInfo)
    caching = _PREFIX_CACHING.search(metrics.decode("utf-8", "replace"))
    cached = None if caching is None else caching[1].lower() == "true"
    if told.disable_radix_cache is not None:
        cached = not told.disable_radix_cache
    context = listed.max_model_len if listed else None
    return ServerFacts(
        url=url,
        version=_lenient(version, _Version).version or told.version,
        context=context or told.context_length,
        dtype=told.dtype,
        prefix_caching=cached,
        reasoning_parser=told.reasoning_parser,
        base=listed.parent if listed else None,
    )


def _lenient(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return kind()
