"""Who runs which cases: chunks that are handed out, and what is missing when a worker is lost.

Pure: no worker, clock or network is known here.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from typing import Generic, TypeVar

from okrt.plan import Key

T = TypeVar("T")

SHARES = 4
"""Chunks for each worker at least, so that none is left alone with a large one at the end."""
LARGEST = 256
"""Cases of a chunk at most: several times what is in flight, because a model that answers many
conversations at once has fewer and fewer of them towards a chunk's end."""
TRIES = 3
"""Times that a case may be under way on a worker that is lost."""
SUSPECTS = 32
"""Cases that may have been under way when a worker was lost: as many as are in flight at most. A
chunk is worked through in its order, so that they are the first of the missing ones."""


def chunks(cases: Iterable[T], group: Callable[[T], Hashable], workers: int) -> list[tuple[T, ...]]:
    """Returns the cases in their order, in chunks of neighbours of one group (one model, say)."""
    all_of_them = list(cases)
    size = min(LARGEST, max(1, math.ceil(len(all_of_them) / (SHARES * workers))))
    found = []
    for _, some in groupby(all_of_them, group):
        same = tuple(some)
        found += [same[start : start + size] for start in range(0, len(same), size)]
    return found


class Work(Generic[T]):
    """Cases, each of which is waiting, with a worker, or settled."""

    def __init__(self, of: Iterable[Sequence[T]], key: Callable[[T], Key]) -> None:
        self._key = key
        self._waiting = deque({key(case): case for case in chunk} for chunk in of)
        self._with: dict[str, deque[dict[Key, T]]] = {}
        self._losses: Counter[Key] = Counter()

    @property
    def is_done(self) -> bool:
        """Whether every case is settled, and every chunk ended or lost."""
        return not self._waiting and not any(self._with.values())

    def draw(self, worker: str) -> tuple[T, ...]:
        """Returns the next chunk, which is with the worker from now on; none is left: nothing."""
        if not self._waiting:
            return ()
        chunk = self._waiting.popleft()
        self._with.setdefault(worker, deque()).append(chunk)
        return tuple(chunk.values())

    def settle(self, worker: str, key: Key) -> None:
        """Takes note of what a worker says of a case of its first chunk."""
        self._with[worker][0].pop(key, None)

    def end(self, worker: str) -> list[T]:
        """Takes note that a worker is through with its first chunk; what it said nothing of is
        missing. Returns the cases that are given up: see `lose`."""
        return self._again(self._with[worker].popleft())

    def lose(self, worker: str) -> list[T]:
        """Takes note that a worker is lost: what is missing of its chunks waits again.

        What may have been under way waits alone, so that a case that takes its worker down is found
        and takes no other with it. Returns the cases that were under way `TRIES` times, which are
        given up.
        """
        first, *later = self._with.pop(worker, None) or [{}]
        self._waiting.extendleft(reversed(later))
        return self._again(first)

    def _again(self, missing: dict[Key, T]) -> list[T]:
        suspects = list(missing.items())[:SUSPECTS]
        rest = dict(list(missing.items())[SUSPECTS:])
        self._losses.update(key for key, _ in suspects)
        if rest:
            self._waiting.appendleft(rest)
        alone = [{key: case} for key, case in suspects if self._losses[key] < TRIES]
        self._waiting.extendleft(reversed(alone))
        return [case for key, case in suspects if self._losses[key] >= TRIES]
