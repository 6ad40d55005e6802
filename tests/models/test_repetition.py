"""A reply is stopped for a verbatim cycle that fills the window, and for nothing less."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.models.repetition import ROUNDS, repeats

WINDOW = 64


@given(
    before=st.lists(st.integers(0, 5), max_size=30),
    piece=st.lists(st.integers(0, 5), min_size=1, max_size=WINDOW // ROUNDS),
)
def test_a_piece_over_and_over_is_found(before: list[int], piece: list[int]) -> None:
    assert repeats([*before, *piece * WINDOW][: len(before) + WINDOW + 5], WINDOW)


@given(st.lists(st.integers(0, 1), max_size=3 * WINDOW))
def test_what_is_found_is_a_cycle(ids: list[int]) -> None:
    """By a plain count: the tail is made of its own last tokens, at least `ROUNDS` times."""
    tail = ids[-WINDOW:]
    cycles = [
        period
        for period in range(1, WINDOW // ROUNDS + 1)
        if all(tail[place] == tail[place - period] for place in range(period, len(tail)))
    ]
    assert repeats(ids, WINDOW) == (len(tail) == WINDOW and bool(cycles))


@pytest.mark.parametrize(
    "ids",
    [
        [7] * (WINDOW - 1),
        [*[7] * WINDOW, 8],
        [*range(WINDOW // ROUNDS + 1)] * 20,
        [token for number in range(40) for token in (1, 2, number)],
    ],
    ids=["too short", "got out of it", "too long a piece", "counts on"],
)
def test_less_is_left_alone(ids: Sequence[int]) -> None:
    assert not repeats(ids, WINDOW)
