"""The cache of `engine`: for each row, keys and values filled from the left.

All rows have one width. Both are taken as they are needed: rows at once, positions by doubling, no
more than the budget allows beyond what is in use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, arange
from transformers.cache_utils import CacheLayerMixin

ROOM = 512
"""Positions a row begins with; doubled when they are used up."""


@dataclass(slots=True)
class Place:
    """Where a forward pass writes: one row's many tokens, or the next token of the first rows."""

    budget: int | None = None
    """Positions of all rows together that may be held, unless more are in use."""
    count: int = 0
    """Rows in use."""
    longest: int = 0
    """Positions in use of the longest row."""
    rows: slice = field(default_factory=lambda: slice(0))
    start: int = 0
    """Of one row's many tokens."""
    positions: Tensor | None = None
    """int64 [rows]: of one token a row."""
    width: int = 0
    """Positions that are looked at."""

    def size(self, rows: int, width: int, room: int) -> tuple[int, int]:
        """Returns how many rows and positions to hold where so many rows and positions are written
        to and the rows have `room`."""
        rows, needed = max(rows, self.count), max(width, self.longest)
        wider = room
        while wider < needed:
            wider *= 2
        if self.budget is not None:
            wider = max(needed, min(wider, self.budget // rows))
        return rows, wider


class Layer(CacheLayerMixin):
    """Keys and values of one layer, each [rows, heads, positions, dimension]."""

    is_sliding = False

    def __init__(self, place: Place) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._place = place
        self._held: list[Tensor] = []

    @property
    def held(self) -> tuple[int, int]:
        """Rows and positions that memory is taken for."""
        return (self._held[0].shape[0], self._held[0].shape[2]) if self._held else (0, 0)

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
                numbers = arange(place.rows.stop, device=new.device)
                held[numbers, :, place.positions.to(new.device)] = new[:, :, 0]
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
        have, room = self.held
        if rows <= have and width <= room:
            return
        rows, wider = self._place.size(rows, width, room)
        for number, held in enumerate(self._held):
            kept = held[:rows, :, :wider]
            grown = held.new_zeros((rows, held.shape[1], wider, held.shape[3]))
            grown[: kept.shape[0], :, : kept.shape[2]] = kept
            self._held[number] = grown
