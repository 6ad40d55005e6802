"""Conversations in token space."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from okrt.models.rendering import (
    Encoding,
    appends_only,
    encode_conversation,
    end_of_turn_id,
    reasoning_tokens,
    template_options,
)
from okrt.types import Completion, Message, Usage
from tests.checkpoints import QWEN_LIKE, make_tokenizer

OFF = template_options("off")
TRIMMING = (
    "{% for m in messages %}"
    "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OURS = make_tokenizer()
END = OURS.convert_tokens_to_ids("<|im_end|>")

contents = st.text(max_size=30) | st.sampled_from(
    ["", " ", "\n", "user", "assistant", "a", "\ue000", "\ue0000\ue001", "<|im_end|>\n", "</think>"]
)
replies = st.lists(
    st.integers(0, len(OURS) - 1).filter(lambda token: token != END), max_size=12
).map(tuple)


def _generated(ids: tuple[int, ...]) -> Completion:
    return Completion(str(OURS.decode(list(ids))), "stop", Usage(), ids)


def _encode(
    tokenizer: PreTrainedTokenizerFast,
    messages: Sequence[Message],
    completions: Sequence[Completion] = (),
    *,
    generate: bool = True,
) -> Encoding:
    return encode_conversation(
        tokenizer, messages, completions, add_generation_prompt=generate, template_kwargs=OFF
    )


@settings(deadline=None, max_examples=150)
@given(contents, st.lists(st.tuples(replies, contents), min_size=1, max_size=4))
def test_a_later_turn_extends_what_was_fed_and_generated(
    prompt: str, turns: list[tuple[tuple[int, ...], str]]
) -> None:
    messages = [Message("user", prompt)]
    completions: list[Completion] = []
    for ids, observation in turns:
        fed = _encode(OURS, messages, completions).ids
        completions.append(_generated(ids))
        messages += [
            Message("assistant", completions[-1].text),
            Message("user", observation),
        ]
        later = _encode(OURS, messages, completions)
        assert later.ids[: len(fed) + len(ids) + 1] == (*fed, *ids, END)
        assert later.replies is not None
        assert later.replies[-1] == (len(fed), len(fed) + len(ids))


@settings(deadline=None, max_examples=150)
@given(st.lists(contents, min_size=1, max_size=6))
def test_ids_read_as_the_text_of_the_template(texts: list[str]) -> None:
    messages = [
        Message("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)
    ]
    chat = [{"role": message.role, "content": message.content} for message in messages]
    whole = OURS.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert OURS.decode(list(_encode(OURS, messages).ids)) == whole


def test_ids_are_taken_only_for_the_very_text_they_gave() -> None:
    generated = _generated(tuple(OURS.encode("a", add_special_tokens=False)) * 3)
    asked = Message("user", "go")
    kept = _encode(OURS, [asked, Message("assistant", "aaa")], [generated])
    cut = _encode(OURS, [asked, Message("assistant", "aa")], [generated])
    assert kept.replies is not None
    assert cut.replies is not None
    assert kept.ids[slice(*kept.replies[0])] == generated.token_ids
    assert cut.ids[slice(*cut.replies[0])] == tuple(OURS.encode("aa", add_special_tokens=False))


def test_a_template_that_rewrites_a_reply_is_tokenised_whole() -> None:
    tokenizer = make_tokenizer(template=TRIMMING)
    chat = [Message("user", "go"), Message("assistant", "reply\n"), Message("user", "on")]
    assert _encode(tokenizer, chat).replies is None
    assert tokenizer.decode(list(_encode(tokenizer, chat).ids)) == (
        "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\nreply<|im_end|>\n"
        "<|im_start|>user\non<|im_end|>\n<|im_start|>assistant\n"
    )
    chat[1] = Message("assistant", "reply")
    assert _encode(tokenizer, chat).replies is not None


def test_a_template_that_drops_thinking_is_tokenised_whole() -> None:
    tokenizer = make_tokenizer(template=QWEN_LIKE)
    chat = [Message("user", "go"), Message("assistant", "<think>hm</think>reply")]
    assert _encode(tokenizer, chat).replies is None


def test_a_tokenizer_that_puts_spaces_before_texts_is_fed_whole_texts() -> None:
    pieces = {"\u2581", *"\u2581ab:go"}
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(sorted(pieces))}, []))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template="{% for m in messages %}{{ m.content }}:{% endfor %}",
    )
    encoding = _encode(tokenizer, [Message("user", "go"), Message("assistant", "ab")])
    assert encoding.replies is None
    assert tokenizer.decode(list(encoding.ids)) == "go:ab:"


@pytest.mark.parametrize(
    ("template", "thinking", "appends"),
    [(None, "off", True), (QWEN_LIKE, "off", False), (QWEN_LIKE, "strip", True)],
)
def test_tells_a_template_that_rewrites_the_past(
    template: str | None, thinking: str, appends: bool
) -> None:
    options = {"enable_thinking": thinking != "off"}
    assert appends_only(make_tokenizer(template=template), options) is appends


def test_thinking_is_told_to_the_template() -> None:
    assert template_options("off") == {"enable_thinking": False}
    assert template_options("strip") == template_options("keep") == {"enable_thinking": True}


def test_the_token_that_ends_a_reply() -> None:
    assert end_of_turn_id(OURS, OFF) == END
    plain = make_tokenizer(template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    assert end_of_turn_id(plain, OFF) is None


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        ("no thinking", None),
        ("<think>ab</think>c", "ab"),
        ("c <think>ab", "ab"),
        ("opened in the prompt</think>c", "opened in the prompt"),
        ("<think></think>c", ""),
        ("x <think>ab</think> y <think>cd", "abcd"),
    ],
)
def test_counts_thinking(text: str, thought: str | None) -> None:
    expected = None if thought is None else len(OURS.encode(thought, add_special_tokens=False))
    assert reasoning_tokens(OURS, text) == expected


def test_needs_no_torch() -> None:
    names = ["checkpoint", "counter", "rendering", "scripted", "template"]
    lines = "; ".join(f"import okrt.models.{name}" for name in names)
    code = f"import sys; {lines}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
