"""`okrt run`: an evaluation without tests, whole or a shard of it."""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from okrt import specs
from okrt.engines import far, players, shards
from okrt.engines.estimate import estimate
from okrt.engines.gating import SessionGates
from okrt.engines.limits import NotRun
from okrt.engines.record import Record, going_on
from okrt.engines.runner import Ahead, Runner
from okrt.engines.terminating import interrupted_by_sigterm
from okrt.errors import OkrtError, StoreError, UsageError
from okrt.gates.decision import EXIT
from okrt.plan import Key, case_id, key_of
from okrt.progress import PIPED_S, Line
from okrt.redact import without_secrets
from okrt.report.colour import painter
from okrt.selection.arguments import Given, Options, family_source, read_options
from okrt.selection.cases import CaseSpec, cases
from okrt.selection.options import OPTIONS
from okrt.types import Episode, TaskFamily

HELP = "run an evaluation without tests: the options are those of pytest"
EXAMPLE = "okrt run --model expert:stateless --runtime stateless --tier micro --seeds 3"
TIERS = dict.fromkeys(("opaque_knapsack", "ledger_audit", "lookup_control"), ("easy",))
"""Where none is given; of another family the first. As in the shipped evaluation, and so is:"""
SEEDS = range(100)
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `okrt run`: each option of pytest, with and without its prefix."""
    for option in OPTIONS:
        names = (f"--{option.name}", f"--okrt-{option.name}")
        if option.kind == "flag":
            parser.add_argument(*names, action="store_true", default=None, help=option.help)
        else:
            action = "append" if option.kind == "several" else "store"
            parser.add_argument(*names, action=action, metavar=option.metavar, help=option.help)
    parser.add_argument("--family", metavar="NAME",
                        help="the family of tasks, or module:attribute (default: "
                        "opaque_knapsack)")  # fmt: skip
    shard = "run the K-th of N parts, 1/N to N/N; okrt merge joins them"
    parser.add_argument("--shard", metavar="K/N", help=shard)
    far.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 where every episode is there, 1 where some are missing, 130 after Ctrl-C, 143
    after SIGTERM. With gates, as `okrt gate`: 0 where they pass, else 1, 3 or 4.

    Raises:
        okrt.errors.UsageError: an argument is wrong, or the run directory cannot be used.
        okrt.errors.RuntimeFailure: no sandbox can be had.
    """
    given = Given(
        lambda name: getattr(arguments, name.replace("-", "_")),
        Path.cwd(),
        warn=lambda line: sys.stderr.write(f"okrt: warning: {line}\n"),
    )
    options = read_options(given)
    wanted = selected(_family(arguments, options), options, arguments.shard)
    cluster = far.cluster(arguments)
    if cluster is not None:
        far.check(cluster)
        # This process asks one server of a pool, the cases name all of them.
        options = replace(options, models=tuple(players.one_server(m, 0) for m in options.models))
    runner = Runner(options)
    try:
        if options.estimate:
            wanted = [replace(case, model=players.one_server(case.model, 0)) for case in wanted]
            failed = estimate(runner, wanted)
            sys.stdout.write("\n")
            told = "--estimate runs three tasks a cell: no gate was decided"
            return _complain(told, EXIT["incomplete"]) if options.gates else int(failed > 0)
        return _recorded(runner, options, wanted, arguments, cluster)
    finally:
        runner.close()


def _family(arguments: argparse.Namespace, options: Options) -> TaskFamily:
    """Returns the family of tasks: the gates', where there are some.

    Raises:
        okrt.errors.UsageError: the gates are of another family, or of more than a shard.
    """
    gates, given = options.gates, arguments.family
    if gates is None:
        return specs.family(given or "opaque_knapsack")
    if arguments.shard is not None:
        raise UsageError(
            f"--shard {arguments.shard}: a part decides nothing; run the parts without --gates, "
            "join them by okrt merge, then: okrt gate RUN --gates FILE"
        )
    if given is not None and specs.family(given).name != gates.family.name:
        raise UsageError(f"--family {given}: the gates {gates.name} are of {gates.given_family}")
    return gates.family


def selected(family: TaskFamily, options: Options, shard: str | None) -> list[CaseSpec]:
    """Returns the cases that the options name, of these the shard's.

    A shard is every N-th case, not a stretch of them: cells differ in what an episode takes, some
    tenfold, and each shard has its share of every cell.

    Raises:
        okrt.errors.UsageError: the family has no such tier, or there is no such shard.
    """
    first, step = _shard(shard) if shard is not None else (0, 1)
    tiers = options.tiers or TIERS.get(family.name) or tuple(family.tiers)[:1]
    for tier in tiers:
        specs.tier(tier, family)
    found = cases(family, tiers, options.seeds or SEEDS, options)[first::step]
    if not found:
        raise UsageError(f"--shard {shard!r}: there are fewer cases than shards")
    return found


def _shard(text: str) -> tuple[int, int]:
    """Returns where a shard starts, and its step."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match:
        raise UsageError(f"--shard {text!r}: write K/N, like 3/16")
    number, count = map(int, match.groups())
    if not 1 <= number <= count:
        has = f"there are 1/{count} to {count}/{count}" if count else "there must be at least one"
        raise UsageError(f"--shard {text!r}: {has}")
    return number - 1, count


def _recorded(
    runner: Runner,
    options: Options,
    wanted: Sequence[CaseSpec],
    arguments: argparse.Namespace,
    cluster: far.Cluster | None,
) -> int:
    """Runs what is missing; says how it went."""
    path = options.resume or options.out or _new_path()
    command = ["okrt", *arguments.words]
    record = Record(path, options, command, Path.cwd())
    given = options.gates.given_family if options.gates else arguments.family
    families = family_source(wanted[0].family.name, given)
    keys = (case.key for case in wanted)
    record.open(keys, runner, cases=wanted, shard=arguments.shard, families=families)
    shutil.rmtree(path / "workers", ignore_errors=True)  # of a pytest session that was killed
    runner.session_over = record.limits.over
    try:
        status, broke_off = _played(runner, options, record, wanted, cluster)
    finally:
        record.close()
    gates = SessionGates(options)
    gates.decide(record)
    record.write_page()
    width = shutil.get_terminal_size((100, 24)).columns
    sys.stdout.write(record.summary(width, painter(sys.stdout), gates.lines) + "\n")
    if broke_off:
        kept = f"what was finished is kept, to go on: {going_on(command, path)}"
        sys.stderr.write(f"okrt: {broke_off}; {kept}\n")
    if gates.decision is not None and status not in (INTERRUPTED, TERMINATED):
        return EXIT[gates.decision.verdict] or int(bool(status or gates.not_written))
    return status or int(not record.complete or bool(record.not_written))


def _played(
    runner: Runner,
    options: Options,
    record: Record,
    wanted: Sequence[CaseSpec],
    cluster: far.Cluster | None,
) -> tuple[int, str]:
    """Runs what is missing; returns the exit status and what broke it off, if anything did."""
    with interrupted_by_sigterm() as termination:
        try:
            taken = _take_shards(record)  # of a session on a cluster that was killed
            there = [case for case in wanted if case.key not in record.finished]
            missing = [case for case in there if case.key not in taken]
            if cluster is None:
                _play(runner, options, record, missing)
            else:
                _play_far(runner, options, record, missing, cluster)
        except KeyboardInterrupt:
            return (TERMINATED, "terminated") if termination.came else (INTERRUPTED, "interrupted")
        except OkrtError as error:
            return 1, without_secrets(str(error))
    return 0, ""


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"okrt: {message}\n")
    return status


def _play(runner: Runner, options: Options, record: Record, missing: Sequence[CaseSpec]) -> None:
    """Runs the cases. A model that cannot be had is told of once; its cases stay missing."""
    shown = Line(sys.stderr, piped_s=PIPED_S)
    told: set[str] = set()

    def add(episode: Episode) -> None:
        record.add(episode)
        shown.tell(lambda: f"okrt: {record.progress()}")

    ahead = Ahead(runner, missing, add)
    try:
        for case in missing:
            try:
                ahead.take(case)
            except NotRun:
                record.not_run.add(case_id(case.key, options.repeats > 1, options.axes))
            except StoreError:
                raise
            except OkrtError as error:
                if str(error) not in told:
                    shown.close()
                    sys.stderr.write(f"okrt: {without_secrets(str(error))}\n")
                told.add(str(error))
    finally:
        ahead.close()
        shown.close()


def _play_far(
    runner: Runner,
    options: Options,
    record: Record,
    missing: Sequence[CaseSpec],
    cluster: far.Cluster,
) -> None:
    """Runs the cases on a cluster. Why some have no episode is told of once."""
    shown = Line(sys.stderr, piped_s=PIPED_S)
    left = {case.key: case_id(case.key, options.repeats > 1, options.axes) for case in missing}
    asked = {case.model.label for case in missing}
    cards = {model.label: runner.card(model) for model in options.models if model.label in asked}
    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            shown.close()
            sys.stderr.write(f"okrt: {without_secrets(line)}\n")

    playing = players.play_cases(
        missing, options, cards, cluster, record.path, lambda: bool(record.limits.over()), tell
    )
    try:
        for found in playing:
            if isinstance(found, Episode):
                record.add(found)
                left.pop(key_of(found))
            elif found.kind == "error":
                tell(found.why)
                left.pop(found.key)
            shown.tell(lambda: f"okrt: {record.progress()}")
    finally:
        playing.close()
        for key in _take_shards(record) if left else ():
            left.pop(key, None)
        shards.remove(record.path)
        shown.close()
    record.not_run |= set(left.values())


def _take_shards(record: Record) -> set[Key]:
    """Takes up what workers on a cluster finished and the session in charge did not receive."""
    taken = set()
    for episode in shards.left(record.path):
        record.add(episode)
        taken.add(key_of(episode))
    shards.remove(record.path)
    return taken


def _new_path() -> Path:
    return Path.cwd() / "okrt-runs" / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
