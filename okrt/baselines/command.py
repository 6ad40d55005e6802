"""`okrt baseline save|list` and `okrt compare`."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from okrt.baselines import saved
from okrt.baselines.alike import cells_of
from okrt.baselines.compare import Asked, compare
from okrt.baselines.figures import MARGINS, checked_margins
from okrt.baselines.held import Held, read, several
from okrt.baselines.saving import save
from okrt.baselines.text import as_json, refusal, terminal
from okrt.errors import UsageError
from okrt.progress import Line
from okrt.report.plain import one_line

HELP = "save a run as a baseline for later ones, or list those that were saved"
EXAMPLE = "okrt baseline save okrt-runs/20260101-120000-ab12cd release-1"
COMPARE_HELP = (
    "compare a run with a baseline: differences, claims, the worst tasks; exit with 4 where they "
    "cannot be compared"
)
COMPARE_EXAMPLE = "okrt compare okrt-runs/20260101-120000-ab12cd release-1 --margin score=0.03"
INCOMPARABLE = 4
"""Exit status: other tasks or settings. The same as a gate's "incomplete"."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `okrt baseline`."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    keep = actions.add_parser("save", help="save a run", description="Saves a run as a baseline.")
    keep.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    keep.add_argument("name", metavar="NAME", help=f"its name in {saved.FOLDER}")
    _folder(keep)
    keep.add_argument(
        "--transcripts", action="store_true", help="save the episodes too, some 30 KB each"
    )
    keep.add_argument("--replace", action="store_true", help="in place of one of the same name")
    keep.add_argument(
        "--allow-incomplete", action="store_true", help="though episodes are missing or broken off"
    )
    keep.set_defaults(action=_save)
    listing = actions.add_parser("list", help="list baselines", description="Lists baselines.")
    _folder(listing)
    listing.set_defaults(action=_list)


def configure_compare(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `okrt compare`."""
    parser.add_argument("run", metavar="RUN", help="a run directory or a saved baseline")
    parser.add_argument("base", metavar="BASE", help="what it is compared with: the same")
    parser.add_argument(
        "--runtime", action="append", default=[], metavar="R",
        help="compare this runtime alone; may be repeated (default: those that both hold)",
    )  # fmt: skip
    parser.add_argument(
        "--tier", action="append", default=[], metavar="TIER", help="likewise of tiers"
    )
    parser.add_argument("--model", metavar="A", help="the run's model, where it has several")
    parser.add_argument("--base-model", metavar="B", help="the baseline's, likewise")
    usual = ", ".join(f"{name}={margin:g}" for name, margin in MARGINS.items())
    parser.add_argument(
        "--margin", action="append", default=[], metavar="METRIC=M",
        help="what counts as equal: an amount for a difference, a factor for a ratio; may be "
        f"repeated (default: {usual})",
    )  # fmt: skip
    _folder(parser)
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(options: argparse.Namespace) -> int:
    """Runs `okrt baseline`. Raises: see `okrt.baselines.saved`."""
    action: Callable[[argparse.Namespace], int] = options.action
    return action(options)


def run_compare(options: argparse.Namespace) -> int:
    """Returns 0, or 4 where the two cannot be compared.

    Raises:
        UsageError: an argument is wrong, or one of the two cannot be read.
    """
    margins = checked_margins(options.margin)
    with closing(Line(sys.stderr)) as line:
        new, base = (
            read(saved.find(text, options.folder, Path()), line.tell)
            for text in (options.run, options.base)
        )
    for held in (new, base):
        for problem in held.problems:
            sys.stderr.write(f"okrt: {problem}\n")
    asked = Asked(options.model, options.base_model, tuple(options.runtime), tuple(options.tier))
    found = compare(new, base, asked, margins)
    if options.json:
        made = msgspec.json.encode(as_json(found, new, base))
        sys.stdout.write(msgspec.json.format(made).decode() + "\n")
    elif not found.differences:
        sys.stdout.write(terminal(found, new, base, shutil.get_terminal_size((100, 24)).columns))
    if found.differences:
        sys.stderr.write(f"okrt: {refusal(found, new, base)}")
        return INCOMPARABLE
    return 0


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--in", dest="folder", type=Path, default=Path(), metavar="DIR",
        help=f"where {saved.FOLDER} lies (default: here)",
    )  # fmt: skip


def _save(options: argparse.Namespace) -> int:
    with closing(Line(sys.stderr)) as line:
        held = save(
            options.run,
            options.name,
            options.folder,
            transcripts=options.transcripts,
            replace=options.replace,
            allow_incomplete=options.allow_incomplete,
            progress=line.tell,
        )
    size = sum(file.stat().st_size for file in held.path.iterdir())
    sys.stdout.write(f"saved {held.path}, {size / 1e3:,.0f} KB: {_said(held)}\n")
    sys.stdout.writelines(f"  {line}\n" for line in _cells(held))
    if swept := several(held.run):
        told = f"warning: {options.run} holds {', '.join(swept)}: nothing can be compared with it"
        sys.stderr.write(f"okrt: {told}; save a run of one\n")
        return 0
    place = [] if options.folder == Path() else ["--in", str(options.folder)]
    command = shlex.join(["okrt", "compare", "RUN", options.name, *place])
    sys.stdout.write(f"to compare a run with it: {command}\n")
    return 0


def _list(options: argparse.Namespace) -> int:
    status = 0
    found = saved.names(options.folder)
    for name in found:
        try:
            held = read(options.folder / saved.FOLDER / name)
        except UsageError as error:
            status = 1
            sys.stdout.write(f"{name}: {one_line(str(error))}\n")
            continue
        sys.stdout.write(f"{name}: {_said(held)}\n")
        sys.stdout.writelines(f"  {line}\n" for line in _cells(held))
    if not found:
        place = options.folder / saved.FOLDER
        sys.stdout.write(f"no baseline in {place}; to save one: okrt baseline save RUN NAME\n")
    return status


def _said(held: Held) -> str:
    parts = [f"digest {held.digest[:12]}", f"{len(held.rows)} episodes"]
    if created := held.run.get("created"):
        parts.append(f"run of {created}")
    parts += ["with transcripts"] if held.transcripts else []
    parts += [] if held.run.get("complete") else ["incomplete"]
    return one_line(", ".join(parts))


def _cells(held: Held) -> Iterable[str]:
    for name, rows in cells_of(held.rows).items():
        for model in sorted({row.model for row in rows}):
            tasks = len({row.task_id for row in rows if row.model == model})
            yield f"{one_line(model, 80)}, {one_line(str(name))}: {tasks} tasks"
