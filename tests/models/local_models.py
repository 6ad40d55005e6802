"""Short ways to load and ask a local model in tests."""

import json
from collections.abc import Sequence
from pathlib import Path

from okrt.models.local import LocalModel
from okrt.types import Completion, Conversation, Message, Thinking


def ask(*prompts: str, seed: int = 0) -> list[Conversation]:
    return [
        Conversation((Message("user", prompt),), seed=seed + place)
        for place, prompt in enumerate(prompts)
    ]


def load(
    path: Path,
    *,
    temperature: float = 0.0,
    max_new_tokens: int = 24,
    thinking: Thinking = "off",
    batch_size: int = 16,
) -> LocalModel:
    return LocalModel(
        path,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        thinking=thinking,
        batch_size=batch_size,
    )


def changed(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def texts(completions: Sequence[Completion]) -> list[str]:
    return [completion.text for completion in completions]
