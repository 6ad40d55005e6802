"""The base stage: a model that has learnt to copy, and has seen no task and no contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from training.dataset import Encoded
from training.tiny.documents import CHATS_FROM, LEVELS, chat_document, line_document
from training.tiny.loop import OFFSET, SPREAD, Batch, Recipe, Step, batch_of, make_model, train

RECIPE = Recipe(looking_back=0.5)
MOST, LAST = 2000, 450
"""Steps in all, at the most; and at the last level, over which the rate falls to a tenth. When that
level begins differs by some hundred steps from seed to seed, so that what comes after is fixed."""
AT_TOP = 0.6
"""Share of the batches of lines that are of the present level; the others of any level up to it."""
PASSED = 0.9
"""Running accuracy at which the next level begins."""
SHORT_BATCH, LONG_BATCH = 1024, 2048
"""Tokens of a batch, up to the level of `CHATS_FROM` and above it."""


class Curriculum:
    """Batches whose rows grow as copying them is learnt; they end `last` steps after the last level
    began."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: Random, last: int = LAST) -> None:
        self.level = 0
        self.running = 0.0
        self.left = last
        self._last = last
        self._tokenizer, self._rng = tokenizer, rng
        self._at: int | None = None
        (self._newline,) = tokenizer.encode("\n", add_special_tokens=False)
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        self._words = [
            number
            for token, number in vocabulary
            if number != self._newline and not token.startswith("<")  # bytes and marks
        ]

    def __iter__(self) -> Iterator[Batch]:
        while self.left > 0:
            self.left -= self._is_top
            yield self._chats() if self._is_chat() else self._lines()

    def share(self) -> float:
        """Returns the learning rate as a share of its peak."""
        return 1.0 - 0.9 * (1 - self.left / self._last)

    def learn(self, accuracy: float) -> bool:
        """Notes the accuracy on the last batch. Returns whether a new level begins."""
        if self._at != self.level:
            return False
        self.running += 0.1 * (accuracy - self.running)
        if self.running < PASSED or self._is_top:
            return False
        self.level, self.running = self.level + 1, 0.0
        return True

    def _is_chat(self) -> bool:
        return self.level >= CHATS_FROM and self._rng.random() < 0.5

    @property
    def _is_top(self) -> bool:
        return self.level == len(LEVELS) - 1

    @property
    def _size(self) -> int:
        return SHORT_BATCH if self.level <= CHATS_FROM else LONG_BATCH

    def _chats(self) -> Batch:
        self._at = None
        documents: list[Encoded] = []
        longest = 0
        while longest * (len(documents) + 1) <= self._size:
            turns = self._rng.randint(1, 2 + min(self.level, 4))
            pastes = self._rng.random() < 0.5
            documents.append(chat_document(self._rng, self._tokenizer, turns, pastes))
            longest = max(longest, len(documents[-1].input_ids))
        return batch_of(documents, self._padding)

    def _lines(self) -> Batch:
        rng, top = self._rng, self.level
        self._at = top if rng.random() < AT_TOP else rng.randrange(top + 1)
        rows = max(1, self._size // LEVELS[self._at][0])
        documents = [line_document(rng, self._at, self._words, self._newline) for _ in range(rows)]
        return batch_of(documents, self._padding)

    @property
    def _padding(self) -> int:
        return int(self._tokenizer.pad_token_id)


def make_base(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    on_step: Callable[[Step, int], None],
    *,
    most: int = MOST,
    last: int = LAST,
    recipe: Recipe = RECIPE,
    offset: float = OFFSET,
    spread: float = SPREAD,
) -> Qwen3ForCausalLM:
    """Returns the base model of a seed, after `most` steps at the most.

    `on_step` is told each step and the curriculum's level.
    """
    curriculum = Curriculum(tokenizer, Random(f"base/{seed}"), last)
    model = make_model(tokenizer, seed, offset, spread)

    def after(step: Step) -> None:
        curriculum.learn(step.accuracy)
        on_step(step, curriculum.level)

    train(model, curriculum, most, recipe, after, curriculum.share)
    return model
