"""`okrt report RUN` and `okrt show RUN EPISODE`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from okrt.errors import SpecError
from okrt.index import Place, places, plan_in, read_place
from okrt.plan import case_id, swept
from okrt.report.colour import painter
from okrt.report.directory import Derivation
from okrt.report.html.writing import write_page
from okrt.report.objects import report_object
from okrt.report.plain import one_line, plain_json
from okrt.report.reading import complain, rows_of
from okrt.report.transcript import transcript
from okrt.store import Problem, check_run, encode_episode, read_run

REPORT_HELP = "print a run's tables and write rows.jsonl and report.md anew"
REPORT_EXAMPLE = "okrt report okrt-runs/20260101-120000-ab12cd"
SHOW_HELP = "print the transcript of one episode"
SHOW_EXAMPLE = "okrt show okrt-runs/20260101-120000-ab12cd expert:persistent-stateless-easy-17"
LISTED = 10
"""Episodes that are named where several fit; the rest is counted."""


def configure_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--json", action="store_true", help="the tables as JSON, to be printed")
    parser.add_argument(
        "--html", nargs="?", const="", metavar="FILE",
        help="write the page of charts and transcripts, too (default: RUN/report.html)",
    )  # fmt: skip


def configure_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "episode", metavar="EPISODE",
        help="an episode id, or a case id: label-contract-tier-seed; or the start of one",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the episode as JSON")


def report(options: argparse.Namespace) -> int:
    """Returns 0, or 1 where a line of the run is damaged.

    Raises:
        okrt.errors.StoreError: it is no run directory, of an unknown schema, or cannot be written.
    """
    problems: list[Problem] = []
    check_run(options.run, read_run(options.run, manifest=False))
    with Derivation(options.run) as derivation:
        for one in rows_of(options.run, problems):
            derivation.add(one)
        run = read_run(options.run, manifest=False)  # anew: it may have gone on meanwhile
        if options.json:
            shown = _json(report_object(derivation.briefs, run, derivation.tables))
        else:
            width = shutil.get_terminal_size((100, 24)).columns
            shown = derivation.terminal(width, painter(sys.stdout))
        sys.stdout.write(shown)
        derivation.write(run)
        if options.html is not None:
            file = Path(options.html) if options.html else None
            page = write_page(options.run, file, derivation.tables, derivation.claims)
            sys.stderr.write(f"page: {page}\n")
    return 1 if any(problem.kind == "corrupt" for problem in problems) else 0


def show(options: argparse.Namespace) -> int:
    """Returns 0.

    Raises:
        okrt.errors.SpecError: no episode is meant, or several are.
        okrt.errors.StoreError: it is no run directory, of an unknown schema, or was changed
            meanwhile.
    """
    run = read_run(options.run, manifest=False)
    check_run(options.run, run)
    crossed = swept(plan_in(run) or ())
    episode = read_place(options.run, _meant(options.run, options.episode, crossed))
    if options.json:
        sys.stdout.write(_json(msgspec.Raw(encode_episode(episode))))
        return 0
    # What a terminal does not break need not be broken: lines in a file stay as they are.
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None
    sys.stdout.write(transcript(episode, width, painter(sys.stdout)))
    return 0


def _meant(run: Path, wanted: str, crossed: tuple[str, ...]) -> Place:
    """Returns the one episode of that id or case id, else the one whose id starts so."""
    exact: dict[str, Place] = {}
    begun: dict[str, Place] = {}
    for found in places(run):
        if isinstance(found, Problem):
            complain(found)
            continue
        names = (found.id, *(case_id(found.key, again, crossed) for again in (False, True)))
        if wanted in names:
            exact[found.id] = found
        elif any(name.startswith(wanted) for name in names):
            begun[found.id] = found
    meant = list((exact or begun).values())
    if not meant:
        raise SpecError(
            f"{run} has no episode {one_line(wanted)!r}: give an episode id of its rows.jsonl, or "
            "a case id like expert:persistent-stateless-easy-17"
        )
    if len(meant) > 1:
        how = "names" if exact else "is the start of"
        listed = _listed(meant, crossed)
        raise SpecError(f"{one_line(wanted)!r} {how} {len(meant)} episodes: {listed}")
    return meant[0]


def _listed(found: list[Place], crossed: tuple[str, ...]) -> str:
    """Case ids, and the ids, which alone are never the same for two."""
    repeated = any(place.key.repeat for place in found)
    ordered = sorted(found, key=lambda place: place.key)
    names = [
        f"{one_line(case_id(place.key, repeated, crossed), 80)} ({one_line(place.id, 40)})"
        for place in ordered[:LISTED]
    ]
    more = [f"{len(found) - LISTED} more"] if len(found) > LISTED else []
    return ", ".join(names + more)


def _json(value: Any) -> str:
    return plain_json(msgspec.json.format(msgspec.json.encode(value))) + "\n"
