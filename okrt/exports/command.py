"""`okrt export RUN --to FORMAT`: a run as files that other tools read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path

from okrt.errors import UsageError
from okrt.exports.place import beside, check_free
from okrt.exports.source import Entry, Source, Write, open_source
from okrt.progress import Line
from okrt.store import EPISODES, Problem

HELP = "write a run as Parquet, a datasets folder, Inspect AI logs or CSV"
EXAMPLE = "okrt export okrt-runs/20260101-120000-ab12cd --to parquet --out run.parquet"


@dataclass(frozen=True, slots=True)
class _Format:
    module: str
    """Its `write` is an `okrt.exports.source.Write`. Loaded when asked for: pyarrow is an extra."""
    ending: str
    """Of the name, where none was given."""
    folder: bool = True
    messages: bool = True
    """Whether it has room for them."""
    rows_do: bool = True
    """Whether rows without their episodes are enough."""


FORMATS = {
    "parquet": _Format("okrt.exports.parquet", ".parquet", folder=False),
    "hf": _Format("okrt.exports.hf", "-hf"),
    "inspect": _Format("okrt.exports.inspect", "-inspect", rows_do=False),
    "csv": _Format("okrt.exports.csv", ".csv", folder=False, messages=False),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory or saved baseline")
    parser.add_argument(
        "--to", required=True, choices=FORMATS, metavar="FORMAT",
        help="parquet: one file of rows and messages; hf: a folder that datasets.load_dataset "
        "reads, with its card; inspect: a folder of Inspect AI logs, one a cell; csv: rows alone",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="PATH",
        help="the file (parquet, csv) or folder (hf, inspect) to be written; nothing is "
        "overwritten; else named like the run, in this folder",
    )  # fmt: skip
    parser.add_argument(
        "--messages", action=argparse.BooleanOptionalAction, default=None,
        help="with or without the transcripts; else with, where the format has room for them",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Writes the export; returns 1 where damaged episodes were left out, else 0.

    Raises:
        UsageError: the run cannot be read or holds nothing, the format lacks what it needs, or the
            place is not free or cannot be written.
    """
    wanted = FORMATS[options.to]
    source = open_source(options.run)
    messages = _messages(options.messages, options.to, source)
    target: Path = options.out or Path(f"{source.name}{wanted.ending}")
    check_free(target, wanted.folder)
    write = _write(wanted)
    damaged: list[Problem] = []
    tally = _Tally()
    entries = tally.of(source.entries(lambda problem: _tell(problem, damaged)))
    first = next(entries, None)
    if first is None:
        raise UsageError(f"{options.run} holds no episode: there is nothing to export")
    with beside(target, wanted.folder) as part:
        write(chain([first], entries), part, source, messages)
    sys.stdout.write(f"{target}: {tally.count:,} episode{'' if tally.count == 1 else 's'}\n")
    return 1 if any(problem.kind == "corrupt" for problem in damaged) else 0


def _messages(asked: bool | None, name: str, source: Source) -> bool:
    """Raises UsageError where messages are asked for and cannot be had."""
    wanted = FORMATS[name]
    if asked and not wanted.messages:
        raise UsageError(f"--to {name} has no room for messages: take parquet, hf or inspect")
    if not source.transcripts and (asked or not wanted.rows_do):
        raise UsageError(
            f"{source.path} has no {EPISODES}, so no transcripts: export its rows with --to "
            "parquet, hf or csv, without --messages"
        )
    return source.transcripts and wanted.messages and asked is not False


def _write(wanted: _Format) -> Write:
    try:
        write: Write = import_module(wanted.module).write
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise UsageError(
            "Parquet files are written by pyarrow, which is not installed: "
            "pip install 'okrt[export]'"
        ) from None
    return write


def _tell(problem: Problem, damaged: list[Problem]) -> None:
    damaged.append(problem)
    sys.stderr.write(f"okrt: {problem.message}\n")


class _Tally:
    """Counts what passes; at a terminal, says now and then how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        with closing(Line(sys.stderr)) as line:
            for entry in entries:
                self.count += 1
                yield entry
                line.tell(f"{self.count:,} episodes exported")
