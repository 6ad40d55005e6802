"""The scripted model and its counter."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.errors import ModelFailure
from okrt.models.counter import count_tokens, first_tokens
from okrt.models.scripted import ScriptedModel
from okrt.types import Conversation, FunctionTool, Message, Model


def _conversation(*contents: str) -> Conversation:
    return Conversation(tuple(Message("user", content) for content in contents))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" \n\t", 0),
        ("take_item", 3),
        ("12345", 2),
        ("a1b22", 4),
        ("Größe, naïve", 3),
        ("x = {'a': 1}", 9),
        ("`" * 3, 3),
    ],
)
def test_counts_words_digit_groups_and_signs(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(st.text(), st.integers(0, 20))
def test_a_cut_text_is_a_prefix_with_at_most_that_many_tokens(text: str, limit: int) -> None:
    cut = first_tokens(text, limit)
    assert text.startswith(cut)
    assert count_tokens(cut) == min(limit, count_tokens(text))


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3)])
def test_whatever_the_function_raises_is_a_failure_of_the_model(error: BaseException) -> None:
    def respond(conversation: Conversation) -> str:
        raise error

    with pytest.raises(ModelFailure, match=f"m: the function raised {type(error).__name__}: "):
        ScriptedModel("m", respond).generate([_conversation("one")])


def test_answers_in_order_and_counts_every_message_of_the_history() -> None:
    model: Model = ScriptedModel("echo", lambda conversation: conversation.messages[-1].content)
    first, second = model.generate([_conversation("one two"), _conversation("a b c", "d")])
    assert (first.text, second.text) == ("one two", "d")
    assert second.finish_reason == "stop"
    assert (second.usage.prompt_tokens, second.usage.completion_tokens) == (4, 1)
    assert second.usage.reasoning_tokens is None
    assert second.usage.cached_tokens is None
    assert second.token_ids is None


def test_blocks_become_calls_where_a_function_is_to_be_called() -> None:
    text = 'I look.\n```python\nprint("é")\n```\nand\n```\nnone\n```'
    asked = replace(_conversation("go"), function=FunctionTool("runs", "code", "run", "source"))
    model = ScriptedModel("m", lambda _: text)
    plain, called = model.generate([_conversation("go"), asked])
    assert plain.text == text
    assert called.text == (
        'I look.\n<tool_call>\n{"name": "run", "arguments": {"source": "print(\\"é\\")\\n"}}\n'
        "</tool_call>\nand\n```\nnone\n```"
    )
    assert called.usage.completion_tokens == count_tokens(called.text)


def test_a_reply_beyond_the_limit_is_cut_there() -> None:
    model = ScriptedModel("long", lambda _: "one two, three", max_new_tokens=3)
    (completion,) = model.generate([_conversation("go")])
    assert (completion.text, completion.finish_reason) == ("one two,", "length")
    assert completion.usage.completion_tokens == 3


def test_a_reply_as_long_as_the_limit_is_whole() -> None:
    model = ScriptedModel("exact", lambda _: "one two \n", max_new_tokens=2)
    (completion,) = model.generate([_conversation("go")])
    assert (completion.text, completion.finish_reason) == ("one two \n", "stop")


def test_a_function_that_raises_is_a_model_failure() -> None:
    def respond(conversation: Conversation) -> str:
        raise KeyError("state")

    with pytest.raises(ModelFailure, match=r"^broken: the function raised KeyError: 'state'$"):
        ScriptedModel("broken", respond).generate([_conversation("go")])


def test_an_answer_that_is_no_text_is_a_model_failure() -> None:
    model = ScriptedModel("none", lambda _: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelFailure, match="returned NoneType; return a str"):
        model.generate([_conversation("go")])
