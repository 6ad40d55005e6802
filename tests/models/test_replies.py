"""What servers send, wherever they put it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from okrt.models.calls import spelled
from okrt.models.patience import Patience
from okrt.models.replies import (
    Listed,
    Unanswered,
    completion,
    facts,
    models,
    refusal,
    retry_after,
    room_left,
)
from okrt.parse import parse
from okrt.types import Completion, ServerFacts, Usage


def read(message: dict[str, Any], usage: Any = None, finish: str | None = "stop") -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return completion(json.dumps({"choices": [choice], "usage": usage}).encode())


def test_usage_that_is_missing_is_not_measured() -> None:
    assert read({"content": "hi"}).usage == Usage(None, None, None, None)
    assert read({"content": "hi"}, {"prompt_tokens": 3}).usage == Usage(3, None, None, None)


@pytest.mark.parametrize(
    "usage",
    [
        {"completion_tokens_details": {"reasoning_tokens": 7}},
        {"reasoning_tokens": 7},
        {"completion_tokens_details": None, "reasoning_tokens": 7},
    ],
)
def test_reasoning_tokens_count_wherever_they_stand(usage: dict[str, Any]) -> None:
    counted = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12, **usage}
    assert read({"content": "hi"}, counted).usage == Usage(3, 9, 7, None)


def test_cached_tokens_are_read_and_reasoning_that_is_not_told_apart_is_not_measured() -> None:
    counted = {"prompt_tokens": 3, "completion_tokens": 9, "reasoning_tokens": 0,
               "prompt_tokens_details": {"cached_tokens": 2}}  # fmt: skip
    assert read({"content": "hi"}, counted).usage == Usage(3, 9, None, 2)


@pytest.mark.parametrize("place", ["reasoning_content", "reasoning"])
def test_reasoning_is_put_back_in_front_of_the_reply(place: str) -> None:
    block = "```python\nfinish()\n```"
    found = read({"content": block, place: "I could run ```python\nexit()\n```"})
    reply = parse(found.text, thinking="strip")
    assert reply.code == "finish()\n"
    assert reply.kept == block
    assert "I could run" in found.text


def test_reasoning_that_was_cut_short_stays_open_and_nothing_runs() -> None:
    found = read({"content": None, "reasoning_content": "```python\nexit()\n```"}, finish="length")
    assert found.finish_reason == "length"
    assert parse(found.text).code is None


def call(arguments: Any, name: str = "python", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


CODE = '{"code": "x = 1"}'


@pytest.mark.parametrize(
    ("message", "code", "problem", "kept"),
    [
        ({"content": None, "tool_calls": [call(CODE, id="a")]}, "x = 1", None, 1),
        ({"content": "Go.", "tool_calls": [call(CODE, id="a")]}, "x = 1", None, 1),
        ({"content": "Go.", "tool_calls": [call({"code": "x = 1"}, id="a")]}, "x = 1", None, 1),
        ({"tool_calls": [call(CODE, id="a"), call("{}", id="b")]}, "x = 1", "two_blocks", 1),
        ({"tool_calls": [call('{"code": "x', id="a")]}, None, "bad_call", 0),
        ({"tool_calls": [call(None, id="a")]}, None, "bad_call", 0),
        ({"tool_calls": [call("{}", id="a")]}, None, "bad_call", 1),
        ({"tool_calls": [call("{}", 'fi"nish', id="a")]}, None, "unknown_function", 1),
        ({"tool_calls": [{"id": "a", "function": None}]}, None, "bad_call", 0),
        ({"content": spelled("python", CODE), "tool_calls": None}, "x = 1", None, 1),
        ({"content": "I am done.", "tool_calls": []}, None, "no_block", 0),
    ],
)
def test_calls_are_put_back_behind_the_reply(
    message: dict[str, Any], code: str | None, problem: str | None, kept: int
) -> None:
    found = read(message, finish="tool_calls")
    reply = parse(found.text, "tool_call")
    assert (reply.code, reply.problem, reply.call is not None) == (code, problem, bool(kept))
    assert found.text.startswith(message.get("content") or "")
    assert found.call_id == ("a" if message.get("tool_calls") else None)


def test_a_call_without_an_id_has_none() -> None:
    assert read({"tool_calls": [call(CODE)]}).call_id is None
    assert read({"tool_calls": [call(CODE, id="")]}).call_id is None


@pytest.mark.parametrize(
    ("finish", "expected"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), (None, "stop")],
)
def test_finish_reasons(finish: str | None, expected: str) -> None:
    assert read({"content": "hi"}, finish=finish).finish_reason == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"<html>", b"\xff\xfe", b"[]", b'{"choices": []}', b'{"choices": null}',
     b'{"choices": [{"message": {"content": 3}}]}', b'{"error": {"message": "x"}}',
     b"[" * 100_000,
     b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "abort"}]}'],
)  # fmt: skip
def test_what_is_no_completion_may_be_tried_again(body: bytes) -> None:
    with pytest.raises(Unanswered) as found:
        completion(body)
    assert found.value.passing
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "no\\nway", "code": 400}}', "no way"),
        (b'{"message": "no way", "object": "error"}', "no way"),
        (b'{"detail": "no way"}', "no way"),
        (b'{"error": "no way"}', "no way"),
        (b"<html> no\n way", "<html> no way"),
        (b"", "nothing"),
    ],
)
def test_a_refusal_is_read_from_every_form(body: bytes, expected: str) -> None:
    assert refusal(body) == expected


@pytest.mark.parametrize(
    ("status", "passing"),
    [(400, False), (401, False), (404, False), (408, True), (422, False), (429, True),
     (500, True), (503, True), (None, True)],
)  # fmt: skip
def test_which_refusals_may_pass(status: int | None, passing: bool) -> None:
    assert Unanswered("x", status).passing == passing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), ("3", 3.0), ("0", 0.0), ("0.5", 0.5), ("-1", None), ("soon", None),
        ("nan", None), ("inf", None),
        ("Sat, 21 Nov 2026 10:00:30 GMT", 30.0), ("Sat, 21 Nov 2026 09:00:00 GMT", None),
    ],
)  # fmt: skip
def test_a_server_says_how_long_to_wait(value: str | None, expected: float | None) -> None:
    headers = {} if value is None else {"retry-after": value}
    assert retry_after(headers, datetime(2026, 11, 21, 10, tzinfo=UTC)) == expected


def test_pauses_grow_are_bounded_and_no_shorter_than_asked() -> None:
    patience = Patience(first_s=1, longest_s=8, retry_after_s=20)
    assert [patience.delay_s(n, None, 0.0) for n in (1, 2, 3, 4, 5, 50)] == [0.5, 1, 2, 4, 4, 4]
    assert 7.9 < patience.delay_s(9, None, 0.999) < 8
    assert patience.delay_s(1, 12, 0.0) == 12
    assert patience.delay_s(1, 3600, 0.0) == 20
    assert patience.delay_s(5, 0, 0.0) == 4


VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested 5048 tokens (3000 "
    "in the messages, 2048 in the completion). Please reduce the length of the messages."
)
VLLM_AT_LEAST = (
    "This model's maximum context length is 4096 tokens. However, you requested 2048 output tokens "
    "and your prompt contains at least 2049 input tokens, for a total of at least 4097 tokens."
)
SGLANG = (
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You "
    "requested a total of 5048 tokens: 3000 tokens from the input messages and 2048 tokens for the "
    "completion."
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (VLLM, 1096),
        (VLLM.replace("3000", "4096"), 0),
        (VLLM_AT_LEAST, 1024),
        (VLLM_AT_LEAST.replace("2049", "4097"), 0),
        (SGLANG, 1096),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", 0),
        ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 0),
        ("context_length_exceeded", 0),
        ("temperature must be at least 0", None),
    ],
)
def test_a_refusal_for_length_says_what_room_is_left(message: str, expected: int | None) -> None:
    assert room_left(Unanswered(message, 400), 2048) == expected
    assert room_left(Unanswered(message, 500), 2048) is None


def test_the_room_shrinks_each_time_it_is_refused() -> None:
    asked, tries = 2048, 0
    while asked:
        asked = room_left(Unanswered(VLLM_AT_LEAST, 400), asked) or 0
        tries += 1
    assert tries == 12


def test_facts_are_what_servers_say_and_nothing_else() -> None:
    vllm = facts(
        "http://h/v1", Listed("a", 40960, "base"), b'{"version": "0.11.0"}', b'{"detail": "no"}',
        b'x 1\nvllm:cache_config_info{block_size="16",enable_prefix_caching="True"} 1.0\n',
    )  # fmt: skip
    assert vllm == ServerFacts(
        "http://h/v1", version="0.11.0", context=40960, prefix_caching=True, base="base"
    )
    told = {"version": "0.5.4", "dtype": "bfloat16", "context_length": 8192,
            "reasoning_parser": "qwen3", "disable_radix_cache": False, "api_key": "k"}  # fmt: skip
    sglang = facts("http://h/v1", Listed("a"), b"", json.dumps(told).encode(), b"")
    assert sglang == ServerFacts("http://h/v1", "0.5.4", 8192, "bfloat16", True, "qwen3")
    assert facts("http://h/v1", None, b"\xff", b"[]", b"\xff") == ServerFacts("http://h/v1")


def test_a_list_of_models_is_one_or_is_none() -> None:
    found = models(b'{"object": "list", "data": [{"id": "a", "max_model_len": 5}, {"id": "b"}]}')
    assert found == {"a": Listed("a", 5), "b": Listed("b")}
    assert models(b"<html>") is None
    assert models(b'{"detail": "Not Found"}') is None
