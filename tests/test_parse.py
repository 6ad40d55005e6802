"""Every reply has a defined answer, and the model is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.parse import CUT_SHORT, PROBLEMS, parse
from okrt.types import FinishReason, Format, Thinking

BLOCK = "```python\nx = 1\n```"


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
     "text ", "\n", "```bash\n", "````\n"]
)  # fmt: skip


@given(
    st.lists(pieces, max_size=12).map("".join) | st.text(max_size=80),
    st.sampled_from(["fenced", "code_tag"]),
    st.sampled_from(["off", "strip", "keep"]),
    st.sampled_from(["stop", "length"]),
)
def test_any_text_has_an_answer(
    text: str, format: Format, thinking: Thinking, finish_reason: FinishReason
) -> None:
    reply = parse(text, format, thinking, finish_reason)
    assert reply.discarded_chars == len(text) - len(reply.kept) >= 0
    assert reply.problem is None or reply.problem in PROBLEMS
    if reply.code is None:
        assert reply.problem in ("no_block", "empty_block", "unclosed", "other_language")
        assert reply.notes
    else:
        assert reply.code.strip()
        assert reply.code.strip() in text
    if thinking == "keep":
        assert text.startswith(reply.kept)
    if thinking != "keep" and reply.code is not None and "<think>" not in text:
        again = parse(reply.kept, format, thinking)
        assert again.code == reply.code
