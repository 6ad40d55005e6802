"""`okrt replay RUN`: what of a run still holds under another contract or cap, without a model."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from itertools import product
from pathlib import Path

import msgspec

from okrt import specs
from okrt.errors import UsageError
from okrt.index import Place, places, plan_in, read_place
from okrt.plan import case_id, swept
from okrt.replay.summary import cells
from okrt.replay.tasks import check_tasks
from okrt.replay.text import line, text
from okrt.replay.work import SCHEMA, Asked, Work, as_json, recorded_contract
from okrt.report.plain import one_line
from okrt.store import Problem, read_run

HELP = "run a run's blocks again under another runtime or cap, without a model"
EXAMPLE = "okrt replay okrt-runs/20260101-120000-ab12cd --runtime stateless"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="a run directory")
    add("--runtime", metavar="NAME",
        help="the contract: persistent, stateless, files, carryover, carryover-announced, "
        "reset-every-K, or module:attribute (default: each episode's own: whether the record "
        "repeats itself)")  # fmt: skip
    add("--tool-cap", metavar="N", help="tool calls a block may make (default: each episode's own)")
    add("--episode", metavar="EPISODE", help="this one only: an episode id, the start of one, or "
        "a case id, label-contract-tier-seed (without its cap: of every cap)")  # fmt: skip
    add("--model", metavar="LABEL", help="the episodes of this model only")
    add("--from-runtime", metavar="NAME", help="the episodes recorded under this contract only")
    add("--family", metavar="module:attribute", help="the family of tasks, where it is your own")
    add("--out", type=Path, metavar="FILE", help="write what became of each episode, as JSONL")
    add("--json", action="store_true", help="print the figures and the episodes as JSON")
    add("--verbose", action="store_true", help="print a line for each episode, too")
    add("--unsafe-runtime", "--okrt-unsafe-runtime", action="store_true",
        help="run the recorded code without a sandbox, with your own rights")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Prints the report. Returns 1 where an episode could not be replayed, a line is damaged, or a
    record did not repeat itself under its own contract and cap; 130 after Ctrl-C; else 0.

    Raises:
        UsageError: an argument is wrong, a task is no longer generated, or nothing can be replayed.
        RuntimeFailure: no sandbox can be had.
    """
    asked = _read(options)
    found, broken, damaged = _selected(options)
    _check(options.run, found, asked)
    _compare_pythons(options.run)
    work = Work(asked, options.out, options.unsafe_runtime)
    status = 0
    try:
        with work:
            work.check_sandbox()
            for place in work.told(found):
                work.take(read_place(options.run, place))
    except KeyboardInterrupt:
        status = 130
        sys.stderr.write("okrt: interrupted; this is what was replayed until then\n")
    _say_what_is_left_out(work, broken)
    if not work.replays:
        if status or work.failed:
            return status or 1
        raise UsageError(_nothing(options.run, work, broken))
    _print(options, work, _names(found, _crossed(options.run)))
    unlike = sum(one.own and one.departure is not None for one in work.replays)
    if unlike:
        sys.stderr.write(f"okrt: {unlike:,} episodes do not repeat themselves\n")
    return status or int(bool(unlike or work.failed or damaged))


def _read(options: argparse.Namespace) -> Asked:
    cap: str | None = options.tool_cap
    if options.out is not None and options.out.exists():
        raise UsageError(f"--out {options.out} is there already: remove it or name another file")
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise UsageError(f"--out {options.out}: there is no folder {options.out.parent}")
    return Asked(
        None if options.runtime is None else specs.contract(options.runtime),
        None if cap is None else specs.tool_cap(cap, "--tool-cap"),
        None if options.family is None else specs.family(options.family),
    )


def _selected(options: argparse.Namespace) -> tuple[list[Place], int, int]:
    """Returns where the episodes asked for lie, how many more infrastructure broke off, and how
    many lines are damaged.

    Raises:
        UsageError: there are none such.
    """
    there: list[Place] = []
    damaged = 0
    for place in places(options.run):
        if isinstance(place, Problem):
            sys.stderr.write(f"okrt: {place.message}\n")
            damaged += place.kind == "corrupt"
        else:
            there.append(place)
    _check_known("--model", options.model, {place.key.model for place in there})
    _check_known("--from-runtime", options.from_runtime, {place.key.contract for place in there})
    crossed = _crossed(options.run)
    found = [place for place in there if _is_asked_for(place, options, crossed)]
    if not found:
        asked = f" {options.episode!r}" if options.episode is not None else " of these"
        raise UsageError(f"{options.run} has no episode{asked}: okrt show and rows.jsonl name them")
    whole = [place for place in found if not place.failed]
    return whole, len(found) - len(whole), damaged


def _crossed(run: Path) -> tuple[str, ...]:
    return swept(plan_in(read_run(run, manifest=False)) or ())


def _names(found: list[Place], crossed: tuple[str, ...]) -> dict[str, str]:
    """Returns the case ids by episode id."""
    repeated = any(place.key.repeat for place in found)
    return {place.id: case_id(place.key, repeated, crossed) for place in found}


def _check_known(option: str, value: str | None, known: set[str]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"{option} {value!r}: the run has {', '.join(sorted(known)) or 'none'}")


def _is_asked_for(place: Place, options: argparse.Namespace, crossed: tuple[str, ...]) -> bool:
    """A case id that leaves out what the run crossed names all of its values."""
    key, wanted = place.key, options.episode
    names = (case_id(key, *how) for how in product((False, True), ((), crossed)))
    return (
        options.model in (None, key.model)
        and options.from_runtime in (None, key.contract)
        and (wanted is None or (wanted and place.id.startswith(wanted)) or wanted in names)
    )


def _check(path: Path, found: list[Place], asked: Asked) -> None:
    """Finds out before anything is run whether it is known what all of them are of. Raises: see
    `check_tasks` and `recorded_contract`."""
    check_tasks(path, found, asked.family)
    for name in {place.key.contract: None for place in found if asked.contract is None}:
        recorded_contract(name)


def _compare_pythons(path: Path) -> None:
    """Says so where another Python recorded: the words of its errors may be others."""
    recorded = read_run(path, manifest=False).get("versions", {}).get("python")
    if recorded not in (None, platform.python_version()):
        sys.stderr.write(
            f"okrt: recorded with Python {recorded}, replayed with {platform.python_version()}\n"
        )


def _say_what_is_left_out(work: Work, broken: int) -> None:
    if broken:
        work.left_out["broken off by infrastructure"] = broken
    for why, count in work.left_out.items():
        sys.stderr.write(f"okrt: left out, {why}: {count:,}\n")
    for why, count in work.failed.items():
        sys.stderr.write(f"okrt: could not be replayed: {count:,}: {one_line(why)}\n")
    if work.open_recorded:
        sys.stderr.write(
            f"okrt: recorded without a sandbox: {work.open_recorded:,}; what their blocks found on "
            "that machine is not here\n"
        )


def _nothing(run: Path, work: Work, broken: int) -> str:
    if broken and not work.left_out["without a block"]:
        return f"{run}: infrastructure broke off every episode asked for: nothing to replay"
    return f"{run}: no episode asked for ran a block: there is nothing to replay"


def _print(options: argparse.Namespace, work: Work, names: dict[str, str]) -> None:
    summaries = cells(work.replays)
    if options.json:
        found = {
            "schema": SCHEMA,
            "cells": summaries,
            "episodes": [as_json(one) for one in work.replays],
            "left_out": work.left_out,
            "failed": work.failed,
        }
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return
    for one in work.replays if options.verbose else ():
        sys.stdout.write(line(one, names[one.episode_id]) + "\n")
    if options.verbose:
        sys.stdout.write("\n")
    sys.stdout.write(text(summaries, shutil.get_terminal_size((100, 24)).columns))
