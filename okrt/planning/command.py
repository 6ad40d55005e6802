"""`okrt plan`: how many tasks decide a gate, and what they cost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from okrt.analysis.measures import MEASURED, Measured
from okrt.analysis.planner import MOST_TASKS, POWER
from okrt.errors import UsageError
from okrt.gates.file import find, read
from okrt.gates.limits import LimitKind, kinds_of, wrong
from okrt.planning import text
from okrt.planning.assuming import Hopeless
from okrt.planning.choosing import Wanted, one_run, read_briefs, two_runs
from okrt.planning.deciding import answer
from okrt.planning.gates import plan_gates
from okrt.planning.pilot import Pilot, pilot
from okrt.planning.question import LEVEL, Question

HELP = "say how many tasks decide a gate, and what they cost; exit with 1 if --tasks cannot"
EXAMPLE = "okrt plan --metric score --margin 0.03 --power 0.8"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("--metric", metavar="NAME", help=", ".join(MEASURED))
    limit = parser.add_mutually_exclusive_group()
    for name, told in _LIMITS.items():
        limit.add_argument(name, type=float, metavar=name[2].upper(), help=told)
    for name, told in _FLAGS.items():
        parser.add_argument(name, action="store_true", help=told)
    for name, kind, letter, default, told in _NUMBERS:
        parser.add_argument(name, type=kind, default=default, metavar=letter, help=told)
    for name, told in _PLACES.items():
        parser.add_argument(name, metavar="RUN", help=told)
    for name, told in _CELLS.items():
        parser.add_argument(name, action="append", default=[], metavar="NAME", help=told)
    parser.add_argument("--tier", metavar="TIER", help="of the pilot")
    parser.add_argument("--gates", metavar="FILE", help="ask of every gate of a gate file instead")


_LIMITS = {
    "--margin": "how much worse than another cell it may be: 0.03",
    "--ratio": "times the other cell's that it may be: 1.10",
    "--limit": "of one cell, at most (at least, where more is better): 0.05",
}
_FLAGS = {
    "--equivalent": "with --margin or --ratio: not better by more, either",
    "--json": "the same as JSON",
}
_NUMBERS: tuple[tuple[str, type, str, float | None, str], ...] = (
    ("--power", float, "P", POWER, "probability of a pass where the truth is as assumed (0.8)"),
    ("--level", float, "L", None, "confidence of the one-sided bound (0.95)"),
    ("--tasks", int, "N", None, "ask whether so many are enough"),
    ("--spread", float, "S", None, "standard deviation of one task, in a pilot's stead"),
    ("--truth", float, "T", None, "what the figure is thought to be (as in the pilot; two cells: "
     "equal)"),
)  # fmt: skip
_PLACES = {
    "--pilot": "a run that shows what tasks are like",
    "--against": "the run of the other cell, or the name of a saved baseline",
}
_CELLS = {
    "--runtime": "of the pilot's cell; of two cells, given twice, the judged one first",
    "--model": "likewise, by label",
}


def run(options: argparse.Namespace) -> int:
    """Prints the plan; returns 1 where what is asked cannot be decided, else 0.

    Raises:
        UsageError: an argument is wrong, or too little is known to plan.
    """
    _check(options)
    if options.gates is not None:
        return _gates(options)
    question = _question(options)
    known = _pilot(options, question)
    costs = () if known is None else known.costs
    try:
        found = answer(question, known, options.truth, options.spread)
    except Hopeless as error:
        if options.json:
            _print(text.hopeless_json(question, options.power, costs, str(error)))
        return _refuse(str(error))
    if options.json:
        _print(text.as_json(found, options.power, costs, options.tasks))
    tasks = options.tasks
    if tasks is not None and found.power(tasks) < options.power:
        return _refuse(text.refusal(found, tasks, options.power))
    if not options.json:
        sys.stdout.write(text.text(found, options.power, costs, tasks))
    return 0


def _gates(options: argparse.Namespace) -> int:
    file = read(find(options.gates, Path.cwd()))
    rows = None if options.pilot is None else read_briefs(options.pilot)
    baseline = None if options.against is None else read_briefs(options.against)
    found = plan_gates(file, rows, baseline)
    if options.json:
        _print(text.gates_json(file.name, found, options.power))
    else:
        sys.stdout.write(text.gates_text(file.name, found, options.power) + "\n")
    return int(any(gate.decidable(options.power) is False for gate in found))


def _check(options: argparse.Namespace) -> None:
    for name, low in (("power", 0.0), ("level", 0.5)):
        value = getattr(options, name)
        if value is not None and not low < value < 1:
            raise UsageError(f"--{name} {value:g}: above {low:g} and below 1, {_USUAL[name]}")
    if options.tasks is not None and not 1 <= options.tasks <= MOST_TASKS:
        raise UsageError(f"--tasks {options.tasks}: from 1 to {MOST_TASKS:,}")
    if options.spread is not None and not 0 < options.spread < float("inf"):
        raise UsageError(f"--spread {options.spread:g}: a positive number")
    if options.against is not None and options.pilot is None:
        raise UsageError("--against is the pilot's other run: give --pilot RUN, too")
    if options.gates is None and options.metric is None:
        raise UsageError("what is to be decided? give --metric and a limit, or --gates FILE")
    if options.gates is not None and (given := _given(options, _SINGLE)):
        raise UsageError(f"--gates has metrics, cells and limits of its own: leave out --{given}")
    if options.pilot is None and (given := _given(options, _OF_PILOTS)):
        raise UsageError(f"--{given} is of a pilot's cell: give --pilot RUN, too")


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> str:
    """Returns the first of these options that was given, or nothing."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value is not False and value != []:
            return name
    return ""


_OF_PILOTS = ("runtime", "model", "tier")
_SINGLE = (
    *("metric", "margin", "ratio", "limit", "tasks", "spread", "truth", "level", "equivalent"),
    *_OF_PILOTS,
)
_USUAL = {"power": "0.8 is usual", "level": "0.95 is usual"}


def _question(options: argparse.Namespace) -> Question:
    metric = MEASURED.get(options.metric)
    if metric is None:
        raise UsageError(f"unknown metric {options.metric!r}; known: {', '.join(MEASURED)}")
    kind, option, value = _kind(options, metric)
    if kind not in kinds_of(metric):
        raise UsageError(f"--{option} {value:g}: of {metric.name} that makes no sense")
    if told := wrong(metric, kind, value):
        raise UsageError(f"--{option} {value:g}: {told}")
    level = LEVEL if options.level is None else options.level
    question = Question(metric, kind, value, level)
    if options.spread is not None and metric.kind == "rate":
        raise UsageError(
            f"--spread: {metric.name} is a rate, which has none; give --truth or --pilot"
        )
    truth = options.truth
    if truth is not None and question.by_ratio and not 0 < truth < float("inf"):
        raise UsageError(f"--truth {truth:g}: of a ratio it is above 0; 1 is the same in both")
    return question


def _kind(options: argparse.Namespace, metric: Measured) -> tuple[LimitKind, str, float]:
    better = metric.more_is_better
    if options.limit is not None:
        if options.equivalent:
            raise UsageError("--equivalent is about two cells: give --margin or --ratio")
        return ("at_least" if better else "at_most"), "limit", options.limit
    if options.margin is not None:
        if options.equivalent and metric.unit not in _SHARES:
            raise UsageError(f"{metric.name} of two cells is equivalent within a --ratio")
        kind: LimitKind = "not_lower_by" if better else "not_higher_by"
        return ("within" if options.equivalent else kind), "margin", options.margin
    if options.ratio is None:
        raise UsageError(f"{metric.name}: give --margin, --ratio or --limit")
    if options.equivalent and metric.unit in _SHARES:
        raise UsageError(f"{metric.name} of two cells is equivalent within a --margin")
    kind = "ratio_at_least" if better else "ratio_at_most"
    return ("within" if options.equivalent else kind), "ratio", options.ratio


_SHARES = ("score", "relative score", "share")


def _pilot(options: argparse.Namespace, question: Question) -> Pilot | None:
    if options.pilot is None:
        return None
    tiers = () if options.tier is None else (options.tier,)
    wanted = Wanted(tiers, tuple(options.model), tuple(options.runtime))
    rows = read_briefs(options.pilot)
    if options.against is None:
        return pilot(*one_run(rows, wanted, question.cells))
    if question.cells == 1:
        raise UsageError(f"{question.words()} is about one cell: leave out --against")
    return pilot(*two_runs(rows, read_briefs(options.against), wanted))


def _refuse(line: str) -> int:
    sys.stderr.write(f"okrt: {line}\n")
    return 1


def _print(data: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data)).decode() + "\n")
