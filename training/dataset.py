"""Trajectories as training examples: the very ids that evaluation feeds and generates.

Both go through `Trajectory.messages()` and `okrt.models.rendering`; where a completion's ids are
known, they are what is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

from okrt.models.rendering import (
    ChatTokenizer,
    encode_conversation,
    end_of_turn_id,
    template_options,
)
from okrt.types import Thinking, Trajectory

IGNORED = -100
"""The label of a token that carries no loss (PyTorch's `ignore_index`)."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training example; both tuples have the same length."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The ids of the replies and of the tokens that end them; `IGNORED` elsewhere."""


def encode(
    trajectory: Trajectory,
    tokenizer: ChatTokenizer,
    *,
    thinking: Thinking = "off",
    max_length: int | None = None,
) -> Encoded:
    """Returns the example of one trajectory, whole.

    Args:
        trajectory: with at least one turn.
        tokenizer: with the chat template that the checkpoint will carry.
        thinking: as evaluation is told.
        max_length: the longest example that is taken, in tokens. None: any.

    Raises:
        ValueError: longer than `max_length`; or the template rewrites replies, or ends them with no
            token of its own.
    """
    options = template_options(thinking)
    encoding = encode_conversation(
        tokenizer,
        trajectory.messages(),
        [turn.completion for turn in trajectory.turns],
        add_generation_prompt=False,
        template_kwargs=options,
    )
    end = end_of_turn_id(tokenizer, options)
    replies = encoding.replies
    if replies is None or any(encoding.ids[stop : stop + 1] != (end,) for _, stop in replies):
        raise ValueError(
            "the tokenizer's chat template does not keep each reply as it is, with an end token "
            "behind it; train with okrt.models.template.chat_template()"
        )
    length = len(encoding.ids)
    if max_length is not None and length > max_length:
        raise ValueError(f"the trajectory has {length} tokens, the limit is {max_length}; not cut")
    labels = [IGNORED] * length
    for start, stop in replies:
        labels[start : stop + 1] = encoding.ids[start : stop + 1]
    return Encoded(encoding.ids, tuple(labels))
