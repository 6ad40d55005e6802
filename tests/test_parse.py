"""Every reply has a defined answer, and the model is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.models.calls import spelled
from okrt.parse import CALL_PROBLEMS, CUT_SHORT, PROBLEMS, parse
from okrt.types import FinishReason, Format, Thinking, ToolRequest

BLOCK = "```python\nx = 1\n```"


def called(code: str, name: str = "python") -> str:
    return spelled(name, json.dumps({"code": code}))


CALL = called("x = 1")


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("Nothing to run.", None, "no_block"),
        ("", None, "no_block"),
        (f"I try.\n{BLOCK}", "x = 1\n", None),
        (f"{BLOCK}\n\n  ", "x = 1\n", None),
        ("```\nx = 1\n```", "x = 1\n", None),
        ("```py\nx = 1\n```", "x = 1\n", None),
        ("```Python title=a\nx = 1\n```", "x = 1\n", None),
        ("````python\nprint('''\n```\n''')\n````", "print('''\n```\n''')\n", None),
        ("```python\nx = 1", None, "unclosed"),
        ("```python", None, "unclosed"),
        ("```python\n\n```", None, "empty_block"),
        ("```bash\nls\n```", None, "other_language"),
        ("```json\n{}\n```\nso\n```python\ny = 2\n```", "y = 2\n", "skipped_block"),
        ("```python\n\n```\n```python\ny = 2\n```", "y = 2\n", "skipped_block"),
        ("T\r\n```python\r\nx = 1\r\n```\r\n", "x = 1\r\n", None),
        (f"{BLOCK}\n```python\ny = 2\n```", "x = 1\n", "two_blocks"),
        (f"{BLOCK}\nOutput: 1", "x = 1\n", "text_after"),
        (f"{BLOCK}\n```text\n1\n```", "x = 1\n", "text_after"),
        ("inline ```python x``` is no block", None, "no_block"),
    ],
)
def test_a_fenced_reply_has_one_answer(text: str, code: str | None, problem: str | None) -> None:
    reply = parse(text)
    assert (reply.code, reply.problem) == (code, problem)
    assert bool(reply.notes) == (problem is not None)


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("T\n<code>\nx = 1\n</code>", "x = 1\n", None),
        ("<code>x = 1</code>", "x = 1\n", None),
        ("<code>\nx = 1\n", None, "unclosed"),
        ("<code></code>", None, "empty_block"),
        ("<code>a</code> <code>b</code>", "a\n", "two_blocks"),
        ("<code>a</code>\nObservation: 3", "a\n", "text_after"),
        (BLOCK, None, "no_block"),
    ],
)
def test_a_tagged_reply_has_one_answer(text: str, code: str | None, problem: str | None) -> None:
    reply = parse(text, "code_tag")
    assert (reply.code, reply.problem) == (code, problem)


@pytest.mark.parametrize(
    ("text", "code", "problem", "name"),
    [
        (CALL, "x = 1", None, "python"),
        (f"I try.\n{CALL}\n", "x = 1", None, "python"),
        (called("print('</tool_call>')"), "print('</tool_call>')", None, "python"),
        (spelled("python", '{"code": "x", "timeout": 3}'), "x", None, "python"),
        (f"{CALL}\n{called('y')}", "x = 1", "two_blocks", "python"),
        (f"{CALL}\n{spelled('python', '{')}", "x = 1", "two_blocks", "python"),
        (f"{CALL} And it prints 1.", "x = 1", "text_after", "python"),
        (f"{called('1', 'finish')}\n{CALL}", "x = 1", "skipped_block", "python"),
        (f"{called('')}\n{CALL}", "x = 1", "skipped_block", "python"),
        ("Nothing to run.", None, "no_block", None),
        (BLOCK, None, "no_block", None),
        (called(" \n"), None, "empty_block", "python"),
        (called("1", "finish"), None, "unknown_function", "finish"),
        (f"{called('1', 'finish')}\nthen {called('2', 'add')}", None, "unknown_function", None),
        (CALL.removesuffix("</tool_call>"), None, "unclosed", None),
        ('<tool_call>\n{"name": "python", "argu', None, "unclosed", None),
        ("<tool_call>\nx = 1\n</tool_call>", None, "bad_call", None),
        ("<tool_call></tool_call>", None, "bad_call", None),
        (spelled("python", '{"code": "x'), None, "bad_call", None),
        (spelled("python", '{"code": "a\nb"}'), None, "bad_call", None),
        (spelled("python", '"x = 1"'), None, "bad_call", None),
        (spelled("python", ""), None, "bad_call", None),
        (spelled("python", '{"code": "\\ud800"}'), None, "bad_call", None),
        (spelled("python", '{"code": "x", "n": NaN}'), None, "bad_call", None),
        (spelled("python", '{"script": "x"}'), None, "bad_call", "python"),
        (spelled("python", '{"code": 1}'), None, "bad_call", "python"),
        ("<tool_call>[{}, 1]</tool_call>", None, "bad_call", None),
        ("<tool_call>" + "[" * 100_000, None, "unclosed", None),
    ],
)
def test_a_reply_of_calls_has_one_answer(
    text: str, code: str | None, problem: str | None, name: str | None
) -> None:
    reply = parse(text, "tool_call")
    assert (reply.code, reply.problem) == (code, problem)
    assert reply.notes == ((CALL_PROBLEMS[reply.problem],) if reply.problem else ())
    assert (reply.call and reply.call.name) == name


def test_a_call_is_where_it_is_said_to_be() -> None:
    text = f"<think>\n{CALL}\n</think>\n\nI try.\n{called('y', 'add')}\n"
    off, keep = (parse(text, "tool_call", thinking) for thinking in ("off", "keep"))
    assert off.call == ToolRequest("", "add", '{"code": "y"}', len("I try.\n"))
    assert off.kept == f"I try.\n{called('y', 'add')}\n"
    assert keep.call == ToolRequest("", "add", '{"code": "y"}', text.rindex("<tool_call>"))


@pytest.mark.parametrize("format", ["fenced", "code_tag"])
def test_the_notes_name_the_format_that_is_asked_for(format: Format) -> None:
    note = parse("hello", format).notes[0]
    assert ("```python" in note) == (format == "fenced")
    assert ("<code>" in note) == (format == "code_tag")


def test_invented_observations_leave_the_history_and_are_counted() -> None:
    reply = parse(f"Go.\n{BLOCK}\nOutput: 42")
    assert reply.kept == f"Go.\n{BLOCK}"
    assert reply.discarded_chars == len("\nOutput: 42")


def test_a_clean_reply_stays_as_it_was_generated() -> None:
    reply = parse(f"Go.\n{BLOCK}\n\n")
    assert (reply.kept, reply.discarded_chars) == (f"Go.\n{BLOCK}\n\n", 0)


@pytest.mark.parametrize(
    "text",
    [
        "<think>\n```python\nevil\n```\n</think>\n\n" + BLOCK,
        "<think>\n```python\nevil\n```\n</think>" + BLOCK,
        "```python\nevil\n```\n</think>\n" + BLOCK,
        "<think>a</think>\n<think>\n```python\nevil\n```\n</think>\n" + BLOCK,
    ],
)
@pytest.mark.parametrize("thinking", ["off", "strip", "keep"])
def test_code_inside_thinking_never_runs(text: str, thinking: Thinking) -> None:
    reply = parse(text, thinking=thinking)
    assert reply.code == "x = 1\n"
    assert ("evil" in reply.kept) == ("evil" in text and thinking == "keep")
    assert reply.discarded_chars == len(text) - len(reply.kept)


def test_a_model_that_loops_on_the_end_of_thinking_is_read() -> None:
    reply = parse("a</think>" * 5000 + BLOCK)
    assert (reply.code, reply.kept) == ("x = 1\n", BLOCK)
    assert parse("<think>" * 5000).code is None


def test_unclosed_thinking_reaches_to_the_end() -> None:
    reply = parse("<think>\n```python\nevil\n```")
    assert (reply.code, reply.problem, reply.kept) == (None, "no_block", "")


def test_a_reply_cut_by_the_length_limit_is_told_so() -> None:
    assert CUT_SHORT in parse("```python\nx = ", finish_reason="length").notes
    assert CUT_SHORT in parse(BLOCK, finish_reason="length").notes


pieces = st.sampled_from(
    ["```python\n", "```\n", "\n```", "```", "<code>", "</code>", "<think>", "</think>", "x = 1\n",
     "text ", "\n", "```bash\n", "````\n", "<tool_call>", "</tool_call>", CALL, '{"name": 1}',
     called("1", "add")]
)  # fmt: skip


@given(
    st.lists(pieces, max_size=12).map("".join) | st.text(max_size=80),
    st.sampled_from(["fenced", "code_tag", "tool_call"]),
    st.sampled_from(["off", "strip", "keep"]),
    st.sampled_from(["stop", "length"]),
)
def test_any_text_has_an_answer(
    text: str, format: Format, thinking: Thinking, finish_reason: FinishReason
) -> None:
    reply = parse(text, format, thinking, finish_reason)
    assert reply.discarded_chars == len(text) - len(reply.kept) >= 0
    known = CALL_PROBLEMS if format == "tool_call" else PROBLEMS
    assert reply.problem is None or reply.problem in known
    if reply.code is None:
        assert reply.problem not in (None, "two_blocks", "skipped_block", "text_after")
        assert reply.notes
    else:
        assert reply.code.strip()
        assert reply.code.strip() in text
    if reply.call is not None:
        again = parse(reply.kept[reply.call.start :], format, thinking)
        assert again.call == replace(reply.call, start=0)
        assert again.code == reply.code
    if thinking == "keep":
        assert text.startswith(reply.kept)
    if thinking != "keep" and reply.code is not None and "<think>" not in text:
        again = parse(reply.kept, format, thinking)
        assert again.code == reply.code
