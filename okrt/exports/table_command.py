"""`okrt table RUN`."""

from __future__ import annotations

import argparse
from pathlib import Path

from okrt.analysis.cells import tables
from okrt.errors import UsageError
from okrt.exports.table import csv, latex, markdown
from okrt.exports.writing import check_run_of, write
from okrt.report.plain import one_line
from okrt.report.reading import read_briefs

HELP = "print the study's main table: train x runtime, with intervals"
EXAMPLE = "okrt table okrt-runs/20260101-120000-ab12cd --format latex --out table.tex"
FORMATS = {"latex": latex, "markdown": markdown, "csv": csv}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, or a baseline's")
    parser.add_argument("--format", choices=FORMATS, default="markdown", help="(default: markdown)")
    parser.add_argument("--tier", action="append", metavar="TIER", help="this tier; repeatable")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it")


def run(options: argparse.Namespace) -> int:
    """Returns 0, or 1 where a line of the run is damaged.

    Raises:
        okrt.errors.StoreError: it is no run directory.
        okrt.errors.UsageError: the run has no such tier, or the file cannot be written.
    """
    check_run_of(options.run)
    rows, damaged = read_briefs(options.run)
    found = {row.tier for row in rows}
    for tier in options.tier or ():
        if tier not in found:
            there = ", ".join(sorted(found)) or "no episodes"
            raise UsageError(
                f"{options.run} has nothing of tier {one_line(tier, 40)!r}: it has "
                f"{one_line(there)}"
            )
    chosen = [row for row in rows if not options.tier or row.tier in options.tier]
    write(FORMATS[options.format](tables(chosen)), options.out)
    return int(damaged)
