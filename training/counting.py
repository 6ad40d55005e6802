"""How many tokens a trace has: by the simple counter, or by a tokenizer with our chat template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from okrt.errors import SpecError
from okrt.models.checkpoint import tokenizer_digest
from okrt.models.counter import COUNTER, count_tokens
from okrt.models.template import chat_template
from okrt.types import Trajectory
from training.dataset import TrainableTokenizer, encode

Count = Callable[[Trajectory], int]
"""Returns the tokens of the whole conversation."""


def simple_count(trajectory: Trajectory) -> int:
    return sum(count_tokens(message.content) for message in trajectory.messages())


def counter(folder: Path | None) -> tuple[str, Count]:
    """Returns a counter and its name: the tokenizer's digest, or the simple counter's name.

    Args:
        folder: a directory with a tokenizer; None: the simple counter.

    Raises:
        SpecError: the directory holds no tokenizer.
    """
    if folder is None:
        return COUNTER, simple_count
    tokenizer = load_tokenizer(folder)
    return tokenizer_digest(folder), lambda trajectory: len(encode(trajectory, tokenizer).input_ids)


def load_tokenizer(folder: Path) -> TrainableTokenizer:
    """Returns the tokenizer of a directory, with the chat template that training gives it.

    Raises:
        SpecError: there is none.
    """
    from transformers import AutoTokenizer  # takes seconds: loaded for a tokenizer alone

    if not folder.is_dir():
        raise SpecError(f"{folder}: no such directory; give one that holds a tokenizer")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a damaged file makes transformers raise
        reason = " ".join(str(error).split())[:200]
        raise SpecError(f"{folder}: no tokenizer can be loaded from it: {reason}") from None
    tokenizer.chat_template = chat_template()
    return tokenizer
