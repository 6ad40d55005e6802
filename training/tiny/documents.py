"""What the tiny base model reads: copying, and nothing of any task or contract.

Two kinds of documents. Lines of random tokens, then the same lines in another order: once a line's
first token is known, the rest of it is copying. And chats in which a user shows what variables
hold, in Python's notation, and the assistant answers with a block: in half of them it refers to the
variables by name, in half it pastes what was shown last. No tool, no error and no runtime occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from okrt.models.rendering import ChatTokenizer, encode_conversation, template_options
from okrt.types import Message
from training.dataset import IGNORED, Encoded

LEVELS = ((24, 3, 6), (40, 4, 10), (80, 5, 20), (160, 8, 40), (300, 10, 100), (600, 10, 280))
"""Tokens of a row, and shortest and longest line in tokens."""
CHATS_FROM = 2
"""The level from which on half of the documents are chats."""

NAMES = (
    *("seen", "known", "worth", "ratios", "todo", "pending", "unseen", "ahead", "rest", "order"),
    *("queue", "others", "ids", "items", "names", "everything", "table", "stock", "found", "left"),
    *("results", "open", "marks", "scores", "group", "data", "first", "second", "third"),
)
SAYS = (
    "Here is what there is now.",
    "This is shown.",
    "The state is as follows.",
    "Now it holds this.",
    "Look at these.",
    "That is all so far.",
)
THINKS = (
    "I go on with it.",
    "I use what is there.",
    "Next step.",
    "I work on these.",
    "The next few.",
    "I sort them first.",
)
DOES = (
    "print(len({d}), {l}[:{k}])",
    "for item in {l}[:{k}]:\n    print(item)",
    "{l} = sorted({d}, key={d}.get, reverse=True) + {l}\nprint({l}[:{k}])",
    "{l} = {l}[{k}:]\nprint({l})",
    "print(max({d}.values()), {l}[{k}:])",
    "{d}.update(dict.fromkeys({l}[:{k}], 0.0))\nprint({d})",
)


def line_document(rng: Random, level: int, vocabulary: Sequence[int], newline: int) -> Encoded:
    """Returns distinct lines of random tokens, each met once more in another order.

    Loss is on the second half alone, but for the first token of each line, which nothing predicts.
    """
    length, shortest, longest = LEVELS[level]
    lines: list[list[int]] = []
    while 2 * sum(len(line) + 1 for line in lines) < length:
        count = min(rng.randint(shortest, longest), length // 2)
        lines.append(rng.choices(vocabulary, k=count))
    ids = [token for line in lines for token in (*line, newline)]
    labels = [IGNORED] * len(ids)
    for line in rng.sample(lines, len(lines)):
        labels += [IGNORED, *line[1:], newline]
        ids += [*line, newline]
    return Encoded(tuple(ids), tuple(labels))


def chat_document(rng: Random, tokenizer: ChatTokenizer, turns: int, pastes: bool) -> Encoded:
    """Returns a chat about a dict and a list that change from turn to turn."""
    of_dict, of_list = rng.sample(NAMES, 2)
    ids = [f"item_{rng.getrandbits(16):04x}" for _ in range(rng.randint(4, 14))]
    held: dict[str, float] = {}
    messages: list[Message] = []
    for _ in range(turns):
        shown = f"{of_dict} = {held}\n{of_list} = {ids}"
        messages.append(Message("user", shown if messages else f"{rng.choice(SAYS)}\n{shown}"))
        count = rng.randint(1, 6)
        does = rng.choice(DOES).format(d=of_dict, l=of_list, k=count)
        code = f"{shown}\n{does}" if pastes else does
        messages.append(Message("assistant", f"{rng.choice(THINKS)}\n```python\n{code}\n```"))
        held.update((item, rng.randint(5, 200) / 10) for item in ids[:count])
        ids = ids[count:]
        if not ids:  # all are held: list them, best first
            ids, held = sorted(held, key=lambda item: -held[item]), {}
    encoding = encode_conversation(
        tokenizer, messages, add_generation_prompt=False, template_kwargs=template_options("off")
    )
    labels = [IGNORED] * len(encoding.ids)
    for start, stop in encoding.replies or ():
        labels[start : stop + 1] = encoding.ids[start : stop + 1]
    return Encoded(encoding.ids, tuple(labels))
