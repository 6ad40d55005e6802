"""Decoding of many conversations together, each token fed once.

Every conversation has a row of the cache, filled from the left, which stays between its turns: a
later turn feeds what is new. Rows are of any length, each token at its own position, so that they
join and leave whenever they like and nothing is padded but the attention's width. A row that is
new copies the longest beginning it shares with another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

ROOM = 512
"""Tokens a row of the cache begins with; doubled when they are used up."""


@dataclass(slots=True)
class Reply:
    """One reply in the making."""

    owner: Hashable
    """Whose row of the cache is gone on with: the same one in each turn of an episode."""
    prompt: tuple[int, ...]
    room: int
    """Tokens that the reply may have; 0 or less where the context is full."""
    generator: torch.Generator
    generated: list[int] = field(default_factory=list)
    """Up to and with the first stop token."""
    stopped: bool = False

    @property
    def left(self) -> int:
        return 0 if self.stopped else self.room - len(self.generated)


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


@dataclass(slots=True)
class _Place:
    """Where a forward pass writes: one row's many tokens, or the next token of the first rows."""

    rows: slice = field(default_factory=lambda: slice(0))
    start: int = 0
    """Of one row's many tokens."""
    positions: Tensor | None = None
    """int64 [rows]: of one token a row."""
    width: int = 0
    """Positions that are looked at."""


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, each [rows, heads, positions, dimension]."""

    is_sliding = False

    def __init__(self, place: _Place) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._place = place
        self._held: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        for states in (key_states, value_states):
            _, heads, _, size = states.shape
            self._held.append(states.new_zeros((0, heads, ROOM, size)))
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self._place
        self._reserve(place.rows.stop, place.width)
        for held, new in zip(self._held, (key_states, value_states), strict=True):
            if place.positions is None:
                held[place.rows, :, place.start : place.width] = new
            else:
                numbers = torch.arange(place.rows.stop, device=new.device)
                held[numbers, :, place.positions] = new[:, :, 0]
        keys, values = (held[place.rows, :, : place.width] for held in self._held)
        return keys, values

    def copy(self, source: int, target: int, length: int) -> None:
        self._reserve(target + 1, length)
        for held in self._held:
            held[target, :, :length] = held[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._place.width, 0

    def get_seq_length(self) -> int:
        return self._place.start

    def get_max_length(self) -> int:
        return -1

    def _reserve(self, rows: int, width: int) -> None:
        for number, held in enumerate(self._held):
            have, heads, room, size = held.shape
            if rows <= have and width <= room:
                continue
            wider = room
            while wider < width:
                wider *= 2
            grown = held.new_zeros((max(rows, have), heads, wider, size))
            grown[:have, :, :room] = held
            self._held[number] = grown


@dataclass(slots=True)
class _Row:
    """A row of the cache: whose it is, and the tokens whose keys and values it holds."""

    owner: Hashable
    ids: list[int] = field(default_factory=list)
    reply: Reply | None = None
    """The reply that is being decoded on it."""


class Engine:
    """A model with a cache of its own."""

    def __init__(
        self, model: Any, stop_ids: frozenset[int], temperature: float, limit: int
    ) -> None:
        """
        Args:
            model: a causal language model for which `can_serve`, or a PEFT model of one.
            stop_ids: any of them ends a reply.
            temperature: 0 is greedy.
            limit: replies that are decoded together; the others wait.
        """
        self.fed = Fed()
        self._model, self._stop_ids, self._temperature = model, stop_ids, temperature
        self._limit = limit
        self._device = model.device
        self._place = _Place()
        count = model.config.get_text_config().num_hidden_layers
        self._layers = [_Layer(self._place) for _ in range(count)]
        self._cache = Cache(layers=list(self._layers))
        self._rows: list[_Row] = []

    def advance(self, replies: Sequence[Reply]) -> None:
        """Decodes until at least one of the replies is done, unless all are.

        A row of the cache whose owner has no unfinished reply here is given up.

        Raises:
            RuntimeError: out of memory, or the model failed. What is cached is given up then.
        """
        replies = [reply for reply in replies if reply.left > 0]
        try:
            with torch.inference_mode():
                self._seat(replies)
                while replies and all(row.reply and row.reply.left > 0 for row in self._rows):
                    self._step()
        except BaseException:
            self._rows.clear()
            raise

    def _seat(self, replies: Sequence[Reply]) -> None:
        """Sees to it that the rows are those of the replies, as many as the limit allows, each with
        all but the last token fed."""
        wanted = {reply.owner: reply for reply in replies}
        free = [number for number, row in enumerate(self._rows) if row.owner not in wanted]
        seated = {row.owner for row in self._rows}
        for owner in wanted:
            if owner not in seated and (free or len(self._rows) < self._limit):
                if free:  # its beginning, the prompt's, is likely to be of use
                    self._rows[free.pop()].owner = owner
                else:
                    self._rows.append(_Row(owner))
        for number in reversed(free):
            last = self._rows.pop()
            if number < len(self._rows):
                self._copy(len(self._rows), number, len(last.ids))
                self._rows[number] = last
        for number, row in enumerate(self._rows):
            if row.reply is not wanted[row.owner]:
                self._join(number, wanted[row.owner])

    def _join(self, number: int, reply: Reply) -> None:
        """Feeds what a row lacks of a reply's prompt, and makes the reply's first token."""
        row = self._rows[number]
        ids = [*reply.prompt, *reply.generated]
        kept = min(_shared(row.ids, ids), len(ids) - 1)
        if row.reply and row.reply.owner == reply.owner:
            self.fed.rewritten += len(row.ids) - kept
        else:
            others = (other for other in range(len(self._rows)) if other != number)
            most = max(((_shared(self._rows[o].ids, ids), o) for o in others), default=(0, 0))
            copied = min(most[0], len(ids) - 1)
            if copied > kept:
                self._copy(most[1], number, copied)
                self.fed.copied += copied - kept
                kept = copied
        place = self._place
        place.rows, place.positions = slice(number, number + 1), None
        place.start, place.width = kept, len(ids)
        positions = torch.arange(kept, len(ids), device=self._device)
        (logits,) = self._forward([ids[kept:]], positions[None], positions[None, :, None])
        self.fed.prefilled += len(ids) - kept
        row.ids, row.reply = ids, reply
        self._add(reply, logits)

    def _step(self) -> None:
        """Adds one token to the reply of each row."""
        lengths = [len(row.ids) for row in self._rows]
        tokens = [row.reply.generated[-1] for row in self._rows if row.reply]
        place = self._place
        place.rows, place.start, place.width = slice(0, len(self._rows)), 0, max(lengths) + 1
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
        seen = torch.arange(self._place.width, device=self._device) <= upto
        output = self._model(
            input_ids=torch.tensor(tokens, device=self._device),
            position_ids=positions,
            attention_mask=seen[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _add(self, reply: Reply, logits: Tensor) -> None:
        if self._temperature > 0:
            logits = seeded_noise(logits, reply.generator, self._temperature)
        reply.generated.append(int(logits.argmax()))
        reply.stopped = reply.generated[-1] in self._stop_ids

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
