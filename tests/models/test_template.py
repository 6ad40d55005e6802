"""The template of ours: what it writes, and what training libraries ask of a template."""

from itertools import pairwise
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from trl import chat_template_utils as trl

CHAT = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": " first\n"},
    {"role": "assistant", "content": "\nreply "},
    {"role": "tool", "content": "result"},
    {"role": "assistant", "content": "done"},
]


def test_writes_chatml_and_leaves_contents_as_they_are(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nS<|im_end|>\n"
        "<|im_start|>user\n first\n<|im_end|>\n"
        "<|im_start|>assistant\n\nreply <|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nresult\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\ndone<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_n_messages_are_a_prefix_of_more(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [
        str(tokenizer.apply_chat_template(CHAT[:length], tokenize=False))
        for length in range(1, len(CHAT) + 1)
    ]
    for shorter, longer in pairwise(texts):
        assert longer.startswith(shorter)


@pytest.mark.parametrize("thinking", [True, False])
def test_never_writes_a_think_block(tokenizer: PreTrainedTokenizerFast, thinking: bool) -> None:
    text = tokenizer.apply_chat_template(
        CHAT, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
    )
    assert "think" not in str(text)


def test_marks_replies_and_their_end_tokens_as_generated(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    marked: Any = tokenizer.apply_chat_template(
        CHAT, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(marked["input_ids"], marked["assistant_masks"], strict=True)
    assert tokenizer.decode([token for token, mask in pairs if mask]) == (
        "\nreply <|im_end|>done<|im_end|>"
    )


def test_ends_replies_with_the_end_token_of_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    text = str(tokenizer.apply_chat_template(CHAT, tokenize=False, eos_token="</s>"))
    assert "\nreply </s>\n" in text
    assert "<|im_end|>" not in text


def test_writes_tool_calls(tokenizer: PreTrainedTokenizerFast) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "x"}}}
    chat: Any = [{"role": "assistant", "content": "I look.", "tool_calls": [call]}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == (
        '<|im_start|>assistant\nI look.\n<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n'
        "</tool_call><|im_end|>\n"
    )


def test_trl_trains_on_it_as_it_is(tokenizer: PreTrainedTokenizerFast) -> None:
    assert trl.is_chat_template_prefix_preserving(tokenizer)
    assert trl.is_chat_template_stop_token_trained(tokenizer)
    assert trl.get_training_chat_template(tokenizer) is None
