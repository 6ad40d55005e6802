"""What is exported: a run's episodes with their rows, or the rows alone of a baseline without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from okrt.analysis.reading import read_rows
from okrt.analysis.rows import Row, row
from okrt.errors import StoreError
from okrt.store import EPISODES, ROWS, Problem, check_run, read_episodes, read_row_lines, read_run
from okrt.types import Episode


class Entry(NamedTuple):
    row: Row
    episode: Episode | None
    """None: only the row was kept."""


@dataclass(frozen=True, slots=True)
class Source:
    """A run directory or saved baseline."""

    path: Path
    run: Mapping[str, Any]
    """Its `run.json`, of which any part may lack."""
    transcripts: bool
    """Whether the episodes themselves are there."""

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def entries(self, damaged: Callable[[Problem], None]) -> Iterator[Entry]:
        """Yields what the directory holds in the order of its file; tells of damaged lines.

        Where episodes are there, their rows are derived from them anew.

        Raises:
            StoreError: a line of `rows.jsonl` is no row.
        """
        if not self.transcripts:
            yield from (Entry(one, None) for one in read_rows(read_row_lines(self.path)))
            return
        for found in read_episodes(self.path):
            if isinstance(found, Problem):
                damaged(found)
            else:
                yield Entry(row(found), found)


class Write(Protocol):
    """Writes entries as the file, or into the empty folder, at `path`; not all may fit memory."""

    def __call__(
        self, entries: Iterable[Entry], path: Path, source: Source, messages: bool
    ) -> None: ...


def open_source(path: Path) -> Source:
    """Returns the run directory at a path.

    Raises:
        StoreError: it is none, or its `run.json` is damaged or of an unknown schema.
    """
    run = read_run(path)
    check_run(path, run)
    transcripts = (path / EPISODES).is_file()
    if not transcripts and not (path / ROWS).is_file():
        raise StoreError(f"{path} is no run directory: it has neither {EPISODES} nor {ROWS}")
    return Source(path, run, transcripts)
