"""`okrt gate RUN --gates FILE`: may this model be released, by what a run shows?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Table, tables
from okrt.baselines import held
from okrt.baselines.saved import find as find_baseline
from okrt.errors import StoreError, UsageError
from okrt.gates import file as files
from okrt.gates.deciding import asked_in, decided, words_in, write
from okrt.gates.decision import EXIT, Decision, Run
from okrt.gates.file import Asked
from okrt.gates.words import as_json, lines
from okrt.report import github
from okrt.report.contrasts import Claims, claims
from okrt.report.html.writing import PAGE, write_page
from okrt.report.plain import one_line
from okrt.store import EPISODES, GATES

HELP = "decide by a run whether gates pass: exit with 0 pass, 1 fail, 3 inconclusive, 4 incomplete"
EXAMPLE = "okrt gate okrt-runs/20260101-120000-ab12cd --gates release --baseline last"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--gates", required=True, metavar="FILE",
        help="TOML; `release` names the gates that ship (docs/gates.md)",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="X", help="a run directory, or the name of a saved baseline"
    )
    parser.add_argument(
        "--model", action="append", metavar="LABEL",
        help="judge this model; may be repeated (default: those that the run was given)",
    )  # fmt: skip
    parser.add_argument(
        "--runtime", action="append", metavar="NAME",
        help="of a file that states no runtimes: judge this one; may be repeated (default: those "
        "that the run was given)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print gates.json in place of text")


def run(options: argparse.Namespace) -> int:
    """Decides, prints, writes `gates.json`; returns the exit status of the verdict.

    Raises:
        okrt.errors.UsageError: there is no such run, gate file or baseline, or one is wrong.
    """
    here = Path.cwd()
    file = files.read(files.find(options.gates, here))
    if options.runtime and file.runtimes:
        raise UsageError(f"--runtime: {file.name} states its runtimes; leave it out")
    if not (options.run / EPISODES).is_file():
        raise StoreError(f"{options.run} is no run directory: it has no {EPISODES}")
    found = held.read(options.run)
    baseline = None if options.baseline is None else find_baseline(options.baseline, here)
    if baseline is not None and baseline.resolve() == options.run.resolve():
        raise UsageError(f"--baseline {options.baseline}: a run cannot be its own baseline")
    told = asked_in(found.run)
    asked = Asked(tuple(options.model or told.models), tuple(options.runtime or told.contracts))
    decision = decided(file, asked, Run(found.run, found.rows, found.problems), baseline)
    if options.json:
        out = msgspec.json.format(msgspec.json.encode(as_json(decision))).decode()
    else:
        out = "\n".join(lines(decision))
    noted = github.tell(as_json(decision), lambda: _results(found.rows), str(options.run))
    sys.stdout.write("\n".join([out, *([] if options.json else noted)]) + "\n")
    try:
        _keep(options.run, decision)
    except StoreError as error:
        sys.stderr.write(f"okrt: {error}\n")
    return EXIT[decision.verdict]


def _keep(run: Path, decision: Decision) -> None:
    """Writes `gates.json`, and anew the page where there is one, which shows it.

    Raises:
        StoreError: one of them cannot be written.
    """
    before = words_in(run)
    write(run, decision)
    if before is not None and before != decision.words:
        sys.stderr.write(f"okrt: {run / GATES} said before: {one_line(before, 500)}\n")
    if (run / PAGE).is_file():
        write_page(run)


def _results(rows: Sequence[Brief]) -> tuple[Sequence[Table], Sequence[Claims]]:
    made = tables(rows)
    return made, claims(made)
