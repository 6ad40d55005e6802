"""Reading a run directory and writing its page. The only module here that touches a disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec

from okrt.analysis.brief import Brief, brief
from okrt.analysis.cells import Table, tables
from okrt.analysis.rows import Row, row
from okrt.errors import StoreError
from okrt.report.contrasts import Claims, claims
from okrt.report.html.episodes import view
from okrt.report.html.facts import Facts, facts
from okrt.report.html.page import Content, parts
from okrt.report.html.transcripts import Packer
from okrt.store import GATES, Problem, check_run, read_episodes, read_run, replace_file
from okrt.types import Episode

PAGE = "report.html"
INSIDE_BYTES = 32 * 2**20
"""Of transcripts within the page; more lie in files beside it, loaded when they are read."""
FILE_BYTES = 8 * 2**20
"""Of such a file."""
BY_ITSELF = 500
"""Episodes up to which a session writes the page when it ends; see docs/reports.md for the time."""


class PageWriter:
    """A page whose episodes come one by one; a context manager."""

    def __init__(self, run: Path, file: Path | None = None) -> None:
        """Raises StoreError: `run.json` is damaged or of an unknown schema."""
        self.file = run / PAGE if file is None else file
        self._path = run
        self._run = read_run(run, manifest=False)
        check_run(run, self._run)
        self._facts: dict[str, Facts] = {}
        self._packer = Packer()

    def add(self, episode: Episode, one: Row) -> None:
        """Takes up an episode and its row. Raises StoreError: the disk is full."""
        try:
            self._packer.add(episode.id, view(episode))
        except OSError as error:
            raise StoreError(f"cannot keep the transcripts: {error.strerror}") from None
        self._facts[episode.id] = facts(episode, one)

    def write(
        self,
        briefs: Sequence[Brief],
        made: Sequence[Table] | None = None,
        said: Sequence[Claims] | None = None,
        problems: Sequence[str] = (),
    ) -> Path:
        """Writes the page, in one step; returns where it lies.

        Args:
            briefs: of the episodes' rows.
            made: the tables of these, where they were made before.
            said: what is claimed of the models of each table, likewise.
            problems: what could not be read, in lines.

        Raises:
            StoreError: it cannot be written.
        """
        gates, unread = _gates(self._path / GATES)
        made = tables(briefs) if made is None else made
        content = Content(
            self._path.absolute().name,
            self._run,
            gates,
            made,
            claims(made) if said is None else said,
            briefs,
            self._facts,
            self._packer.places,
            (*problems, *unread),
        )
        pieces = list(self._packer.pieces()) if self._packer.size <= INSIDE_BYTES else []
        beside = [] if pieces or not self._facts else self._write_beside()
        replace_file(self.file, parts(content, pieces, beside))
        return self.file

    def _write_beside(self) -> list[str]:
        """Writes the transcripts into files that the page loads as scripts: a page from a disk may
        fetch nothing. Returns their paths, each as often as it holds pieces."""
        folder = self.file.with_name(f"{self.file.stem}_files")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {folder}: {error.strerror}") from None
        named: list[str] = []
        for number, group in enumerate(_grouped(self._packer.pieces())):
            name = f"transcripts-{number}.js"
            lines = (
                b'okrtPiece(%d, "%b");\n' % (len(named) + place, piece)
                for place, piece in enumerate(group)
            )
            replace_file(folder / name, lines)
            named += [f"{quote(folder.name)}/{name}"] * len(group)
        return named

    def __enter__(self) -> PageWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._packer.__exit__(kind, error, trace)


def write_page(
    run: Path,
    file: Path | None = None,
    made: Sequence[Table] | None = None,
    said: Sequence[Claims] | None = None,
) -> Path:
    """Writes the page of a run directory from its episodes; returns where it lies.

    `made` are the tables of the run and `said` the claims of their models, where they were made
    before.

    Raises:
        StoreError: it is no run directory, of an unknown schema, or cannot be written.
    """
    problems: list[str] = []
    kept: list[Brief] = []
    texts: dict[str, str] = {}
    with PageWriter(run, file) as writer:
        for episode in _episodes(run, problems):
            one = row(episode)
            writer.add(episode, one)
            kept.append(brief(one, texts))
        return writer.write(kept, made, said, problems)


def _episodes(run: Path, problems: list[str]) -> Iterator[Episode]:
    for found in read_episodes(run):
        if isinstance(found, Problem):
            problems.append(found.message)
        else:
            yield found


def _grouped(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yields the pieces of one file each."""
    group: list[bytes] = []
    for piece in pieces:
        group.append(piece)
        if sum(map(len, group)) >= FILE_BYTES:
            yield group
            group = []
    if group:
        yield group


def _gates(file: Path) -> tuple[Mapping[str, Any] | None, list[str]]:
    """What was decided, and why that cannot be told."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]), []
    except FileNotFoundError:
        return None, []
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        return None, [f"{GATES} cannot be read, the verdict is not shown: {error}"]
