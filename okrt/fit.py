"""`okrt fit --traces FILE --target TARGET`: do traces assume what a runtime does not keep?"""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from okrt.audit.reading import EPISODES
from okrt.audit.totals import Audit, audit_files
from okrt.errors import UsageError
from okrt.probe.command import LINE_S, in_one_word, progress
from okrt.probe.probing import probe
from okrt.probe.report import Report
from okrt.probe.target import ProbeError, TargetSpec
from okrt.progress import Line
from okrt.report.plain import one_line

HELP = "say whether traces assume what a runtime does not keep: audit and probe in one"
EXAMPLE = "okrt fit --traces traces/persistent --target stateless"
_STATELESS = {
    "persistent": "but here they do: restating them costs tokens",
    "stateless": "and here none does",
}
"""What is added of traces that restate their state, by what the runtime is."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What traces assume, against what a runtime keeps."""

    fits: bool | None
    """None: it cannot be said."""
    sentence: str


def fit(audit: Audit, report: Report) -> Fit:
    """Returns whether a model trained on such traces would miss nothing in such a runtime.

    Traces that restate their state everywhere miss nothing anywhere; where the runtime would have
    kept it, the sentence says so, because that costs tokens.
    """
    if audit.verdict == "stateless":
        tail = _STATELESS.get(report.verdict, f"which fits every runtime; here, {report.sentence}")
        return Fit(True, f"these traces assume that no names last from block to block, {tail}")
    if report.verdict not in ("persistent", "stateless"):
        return Fit(None, f"cannot say: of this runtime, {report.sentence}")
    if audit.verdict == "undecided":
        return Fit(None, "cannot say: too few of these traces show which contract they assume")
    keeps = report.verdict == "persistent"
    who = "these traces" if audit.verdict == "persistent" else "some of these traces"
    assume = f"{who} assume that names last from block to block"
    if keeps:
        return Fit(True, f"{assume}, and this runtime keeps them")
    misfit = f"{assume}, and this runtime does not keep them"
    if (rate := audit.missing_rate.value) is not None:
        misfit += f": expect missing variables in {rate:.0%} of such episodes"
    return Fit(False, misfit)


def _go_on(traces: list[Path], spec: TargetSpec) -> str:
    """Returns what says more where an audit and a probe cannot: the blocks of a run, run again."""
    runs = [path for path in traces if (path / EPISODES).is_file()]
    if spec.kind != "contract" or not runs:
        return ""
    return (
        f"; okrt replay {shlex.quote(str(runs[0]))} --runtime {spec.detail} runs their blocks in it"
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--traces", type=Path, nargs="+", required=True, metavar="FILE", help="as of okrt audit"
    )
    parser.add_argument(
        "--target", required=True, metavar="TARGET",
        help="as of okrt probe, options too, in one word: 'python --keep -- python -iq'",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints one sentence; returns 0 where the traces fit, else 1.

    Raises:
        UsageError: a mistake of the user's.
    """
    spec, limits = in_one_word(options.target)
    audit = audit_files(options.traces)
    if not audit.episodes:
        raise UsageError(f"no code in {', '.join(map(str, options.traces))}")
    try:
        with closing(Line(sys.stderr, pause_s=0, piped_s=LINE_S)) as line:
            report = probe(spec, limits, progress(line))
    except ProbeError as error:
        sys.stderr.write(f"okrt: cannot probe {spec.name}: {one_line(str(error))}\n")
        return 1
    found = fit(audit, report)
    if found.fits is None:
        found = replace(found, sentence=found.sentence + _go_on(options.traces, spec))
    if options.json:
        shown = {
            "schema": 1,
            "fits": found.fits,
            "sentence": found.sentence,
            "traces": audit.verdict,
            "missing_rate": audit.missing_rate,
            "target": report.target,
            "runtime": report.verdict,
        }
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown)).decode() + "\n")
    else:
        verdict = {True: "fits", False: "does not fit", None: "undecided"}[found.fits]
        sys.stdout.write(f"{verdict}: {found.sentence}\n")
    return 0 if found.fits else 1
