"""The episodes that earlier sessions of a run finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from okrt.errors import StoreError
from okrt.index import Place, places, read_place
from okrt.plan import Key
from okrt.types import Episode


class Finished:
    """Where they lie in a run directory, by key. They are read when asked for."""

    def __init__(self, path: Path, places: Mapping[Key, Place]) -> None:
        self._path, self._places = path, places

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def read(self, key: Key) -> Episode:
        """Returns an episode. Raises StoreError: the run directory went away or was changed."""
        return read_place(self._path, self._places[key])


NOTHING = Finished(Path(), {})
"""What a run has that begins."""


def finished(path: Path) -> Finished:
    """Returns the episodes in a run directory that no infrastructure broke off; passes over a last
    line that is half written.

    Raises:
        StoreError: another line is no episode; the message names it.
    """
    found: dict[Key, Place] = {}
    for place in places(path):
        if not isinstance(place, Place):
            if place.kind == "corrupt":
                raise StoreError(place.message)
        elif not place.failed:
            found[place.key] = place
    return Finished(path, found)
