"""Decoding of many conversations together, each token fed once.

Every conversation has a row of the cache, filled from the left, which stays between its turns: a
later turn feeds what is new. Rows are of any length, each token at its own position, so that they
join and leave whenever they like and nothing is padded but the attention's width. A row that is
new copies the longest beginning it shares with another. Where a budget is full, the rows that came
last give up what is cached, wait, and are fed again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from okrt.models.kv import Layer, Place
from okrt.models.repetition import is_due, repeats

AHEAD = 64
"""Tokens that a row must have room for within the budget when it is taken in."""


@dataclass(slots=True)
class Reply:
    """One reply in the making."""

    owner: Hashable
    """Whose row of the cache is gone on with: the same one in each turn of an episode."""
    prompt: tuple[int, ...]
    room: int
    """Tokens that the reply may have; 0 or less where the context is full."""
    generator: torch.Generator
    window: int | None = None
    """Tokens that must repeat themselves before the reply is stopped for it; None: it never is."""
    generated: list[int] = field(default_factory=list)
    """Up to and with the first stop token."""
    stopped: bool = False
    looped: bool = False
    """Stopped for repeating itself."""
    cached: int | None = None
    """Of the prompt, tokens that were fed in earlier turns of the same owner; None: not known."""

    @property
    def left(self) -> int:
        return 0 if self.stopped or self.looped else self.room - len(self.generated)

    @property
    def ids(self) -> list[int]:
        return [*self.prompt, *self.generated]

    def add(self, token: int, stop_ids: frozenset[int]) -> None:
        """Takes up the next token; what ends the reply is looked at."""
        self.generated.append(token)
        self.stopped = token in stop_ids
        if self.window and is_due(len(self.generated)) and not self.stopped:
            self.looped = repeats(self.generated, self.window)


@dataclass(slots=True)
class Fed:
    """Tokens that went through the model."""

    prefilled: int = 0
    """Of prompts, new to the cache."""
    decoded: int = 0
    copied: int = 0
    """Taken from another row's beginning in their stead."""
    rewritten: int = 0
    """Given up because the episode's history was no longer an extension of what was fed."""
    evicted: int = 0
    """Given up to the budget by episodes that then waited."""


@dataclass(slots=True)
class _Row:
    """A row of the cache: whose it is, and the tokens whose keys and values it holds."""

    owner: Hashable
    since: int
    """Owners that had come before."""
    ids: list[int] = field(default_factory=list)
    reply: Reply | None = None
    """The reply that is being decoded on it."""


class Engine:
    """A model with a cache of its own."""

    def __init__(
        self,
        model: Any,
        stop_ids: frozenset[int],
        temperature: float,
        limit: int,
        budget: int | None = None,
    ) -> None:
        """
        Args:
            model: a causal language model for which `can_serve`, or a PEFT model of one.
            stop_ids: any of them ends a reply.
            temperature: 0 is greedy.
            limit: replies that are decoded together; the others wait.
            budget: tokens that the cache holds at most, counted as rows times the longest; one
                reply that needs more is decoded alone.
        """
        self.fed = Fed()
        self._model, self._stop_ids, self._temperature = model, stop_ids, temperature
        self._limit, self._budget = limit, budget
        self._device = model.device
        self._came = 0
        self.clear()

    def clear(self) -> None:
        """Forgets every episode and frees the memory that their tokens took."""
        self._place = Place(self._budget)
        count = self._model.config.get_text_config().num_hidden_layers
        self._layers = [Layer(self._place) for _ in range(count)]
        self._cache = Cache(layers=list(self._layers))
        self._rows: list[_Row] = []

    @property
    def held(self) -> int:
        """Tokens that memory is taken for in each layer."""
        rows, positions = self._layers[0].held
        return rows * positions

    def advance(self, replies: Sequence[Reply]) -> None:
        """Decodes until at least one of the replies is done, unless all are.

        A row of the cache whose owner has no unfinished reply here is given up.

        Raises:
            RuntimeError: out of memory, or the model failed. What is cached is given up then.
        """
        replies = [reply for reply in replies if reply.left > 0]
        try:
            with torch.inference_mode():
                self._seat(self._chosen({reply.owner: reply for reply in replies}))
                while replies and all(row.reply and row.reply.left > 0 for row in self._rows):
                    self._step()
        except BaseException:
            self._rows.clear()
            raise

    def _chosen(self, wanted: dict[Hashable, Reply]) -> dict[Hashable, Reply]:
        """Returns the replies that have rows or get them now: who came first goes first."""
        came = {row.owner: row.since for row in self._rows}
        known = sorted((owner for owner in wanted if owner in came), key=lambda owner: came[owner])
        chosen: dict[Hashable, Reply] = {}
        width = 0
        for owner in [*known, *(owner for owner in wanted if owner not in came)]:
            reply = wanted[owner]
            ahead = 1 if owner in came else min(AHEAD, reply.left)
            width = max(width, len(reply.prompt) + len(reply.generated) + ahead)
            if len(chosen) == self._limit or (chosen and self._is_over(len(chosen) + 1, width)):
                break
            chosen[owner] = reply
        self.fed.evicted += sum(
            len(row.ids) for row in self._rows if row.owner in wanted and row.owner not in chosen
        )
        return chosen

    def _is_over(self, rows: int, width: int) -> bool:
        return self._budget is not None and rows * width > self._budget

    def _seat(self, chosen: dict[Hashable, Reply]) -> None:
        """Sees to it that the rows are those of the chosen replies, each with all but the last
        token fed."""
        free = [number for number, row in enumerate(self._rows) if row.owner not in chosen]
        seated = {row.owner for row in self._rows}
        for owner, reply in chosen.items():
            if owner not in seated:
                new = _Row(owner, self._came)
                self._came += 1
                if free:  # its beginning, the prompt's, is likely to be of use
                    place = free.pop()
                    held = self._rows[place].ids
                    new.ids = held[: _shared(held, reply.ids)]
                    self._rows[place] = new
                else:
                    self._rows.append(new)
        for number in reversed(free):
            self._leave(number)
        self._place.count = len(self._rows)
        for number, row in enumerate(self._rows):
            if row.reply is not chosen[row.owner]:
                self._join(number, chosen[row.owner])

    def _leave(self, number: int) -> None:
        """Gives up a row; the last one takes its place."""
        last = self._rows.pop()
        if number < len(self._rows):
            self._copy(len(self._rows), number, len(last.ids))
            self._rows[number] = last

    def _join(self, number: int, reply: Reply) -> None:
        """Feeds what a row lacks of a reply's prompt, and makes the reply's first token."""
        row = self._rows[number]
        ids = reply.ids
        kept = min(_shared(row.ids, ids), len(ids) - 1)
        own = kept if row.reply else 0
        if row.reply:
            self.fed.rewritten += len(row.ids) - kept
        else:
            others = (other for other in range(len(self._rows)) if other != number)
            most = max(((_shared(self._rows[o].ids, ids), o) for o in others), default=(0, 0))
            copied = min(most[0], len(ids) - 1)
            if copied > kept:
                self._copy(most[1], number, copied)
                self.fed.copied += copied - kept
                kept = copied
        if reply.cached is None:
            reply.cached = own
        place = self._place
        place.rows, place.positions = slice(number, number + 1), None
        place.start, place.width = kept, len(ids)
        positions = torch.arange(kept, len(ids), device=self._device)
        (logits,) = self._forward([ids[kept:]], positions[None], positions[None, :, None])
        self.fed.prefilled += len(ids) - kept
        row.ids, row.reply = ids, reply
        self._add(reply, logits)

    def _step(self) -> None:
        """Adds one token to the reply of each row; the rows that came last make room for it."""
        while len(self._rows) > 1 and self._is_over(
            len(self._rows), max(len(row.ids) for row in self._rows) + 1
        ):
            last = max(range(len(self._rows)), key=lambda number: self._rows[number].since)
            self.fed.evicted += len(self._rows[last].ids)
            self._leave(last)
        lengths = [len(row.ids) for row in self._rows]
        tokens = [row.reply.generated[-1] for row in self._rows if row.reply]
        place = self._place
        place.count, place.rows = len(self._rows), slice(0, len(self._rows))
        place.start, place.width = 0, max(lengths) + 1
        place.positions = torch.tensor(lengths, device=self._device)
        positions = place.positions[:, None]
        logits = self._forward([[token] for token in tokens], positions, positions[:, :, None])
        self.fed.decoded += len(tokens)
        for row, token, scores in zip(self._rows, tokens, logits, strict=True):
            row.ids.append(token)
            if row.reply:
                self._add(row.reply, scores)

    def _forward(self, tokens: list[list[int]], positions: Tensor, upto: Tensor) -> Tensor:
        """Returns the logits after the last token of each row: [rows, vocabulary].

        Args:
            tokens: [rows, length], as lists.
            positions: int64 [rows, length].
            upto: int64 [rows, length, 1]: the last position that each token looks at.
        """
        self._place.longest = max(len(row.ids) for row in self._rows)
        seen = torch.arange(self._place.width, device=self._device) <= upto
        output = self._model(
            input_ids=torch.tensor(tokens, device=self._device),
            position_ids=positions,
            attention_mask=seen[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].to(self._device)  # of a model on several GPUs
        return logits

    def _add(self, reply: Reply, logits: Tensor) -> None:
        if self._temperature > 0:
            logits = seeded_noise(logits, reply.generator, self._temperature)
        reply.add(int(logits.argmax()), self._stop_ids)

    def _copy(self, source: int, target: int, length: int) -> None:
        for layer in self._layers:
            layer.copy(source, target, length)


def seeded_noise(logits: Tensor, generator: torch.Generator, temperature: float) -> Tensor:
    """Returns scores of which the greatest is a sample: logits / temperature + Gumbel noise.

    A reply draws from a generator of its own, so that it does not depend on its neighbours.
    Source: the Gumbel-max trick (Maddison, Tarlow, Minka, arXiv 1411.0030, section 2).
    """
    noise = torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator)
    return logits.float() / temperature - noise.log()


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns the length of the beginning that both have."""
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect_left(lengths, True, key=lambda length: one[:length] != other[:length])


def can_serve(model: Any) -> bool:
    """Whether the model keeps plain keys and values in every layer, as the engine does."""
    layers = DynamicCache(config=model.config).layers
    return all(type(layer) is DynamicLayer for layer in layers)
