"""`python -m training.reproduce`: the study at tiny scale, from nothing to a page of results."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from okrt.errors import OkrtError, UsageError
from okrt.store import replace_file
from training.collect_arguments import ARMS
from training.tiny.making import (
    NOMINAL_MINUTES,
    Base,
    Sizes,
    collect_traces,
    make_checkpoint_of_base,
    run_all,
    say,
    sizes,
)
from training.tiny.page import page
from training.tiny.play import CAPPED, CONTROL, OWN, SLACK, TIGHT
from training.tiny.sessions import play_missing
from training.tiny.study import (
    Study,
    arm_sessions,
    capped_sessions,
    control_sessions,
    extended_sessions,
    other_sessions,
)
from training.tiny.tune import CONTRACTS, Tuning, tune
from training.traces import COLLECT, read_record

ABLATED: dict[str, dict[str, Any]] = {
    "no-auxiliary-loss": {"looking_back": 0.0},
    "no-offset": {"offset": 0.0},
    "short-embeddings": {"spread": 0.02, "offset": 0.02},
}
DEFAULT_ARMS = "none,errors,rebuild"
EXAMPLE = """\
example: a trial of the machinery in some minutes; its models play badly
  python -m training.reproduce --out study/ --minutes 2 --seeds 1 --arms none --episodes 5
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _reproduce(_study(options), options.write)
    except OkrtError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on with what is in {options.out}\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.reproduce",
        description="Collects traces, makes a base for each seed and two fine-tunes for each seed "
        "and arm, plays the four cells, and writes a page of results. The same command goes on "
        "after an interruption; more seeds or arms may be asked for later.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for all that is made"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="the page (default: OUT/results.md)"
    )
    parser.add_argument("--seeds", default="1,2,3", help="of training (default: %(default)s)")
    parser.add_argument(
        "--arms", default=DEFAULT_ARMS,
        help=f"of traces, out of {','.join(ARMS)} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--episodes", type=int, default=100, metavar="N", help="a cell (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=NOMINAL_MINUTES, metavar="M",
        help="CPU minutes to plan for a base and two fine-tunes (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="at a time (default: 2)")
    parser.add_argument(
        "--ablate", action="store_true",
        help="also make the first seed's base without the auxiliary loss and without the offset",
    )  # fmt: skip
    parser.add_argument(
        "--extend", metavar="WHAT",
        help="what else to make and play, separated by commas: arms, over tool caps and further "
        "contracts; `caps`, fine-tunes that know several caps; single seeds of either (none-1); "
        "`control`, fine-tunes of the first seed's base that know a family which carries nothing",
    )  # fmt: skip
    parser.add_argument(
        "--extend-episodes", type=int, default=25, metavar="N",
        help="a cell of those; of the control --episodes (default: %(default)s)",
    )  # fmt: skip
    return parser


def _study(options: argparse.Namespace) -> Study:
    """Raises UsageError where an option cannot be."""
    arms = tuple(options.arms.split(","))
    if unknown := sorted(set(arms) - set(ARMS)):
        raise UsageError(f"--arms {unknown[0]}: known are {', '.join(ARMS)}")
    try:
        seeds = tuple(int(seed) for seed in options.seeds.split(","))
    except ValueError:
        raise UsageError(f"--seeds {options.seeds}: give whole numbers, such as 1,2,3") from None
    if min(options.episodes, options.extend_episodes, options.jobs) < 1:
        raise UsageError("--episodes, --extend-episodes and --jobs: give at least 1")
    extend = tuple(options.extend.split(",")) if options.extend else ()
    swept = (*arms, CAPPED)
    known = [CONTROL, *swept, *(f"{what}-{seed}" for what in swept for seed in seeds)]
    if unknown := sorted(set(extend) - set(known)):
        raise UsageError(f"--extend {unknown[0]}: known here are {', '.join(known)}")
    return Study(
        options.out, seeds, arms, options.episodes, options.minutes, options.jobs, options.ablate,
        extend, options.extend_episodes,
    )  # fmt: skip


def _reproduce(study: Study, write: Path | None) -> None:
    """Makes what is missing, cheapest evidence first, and writes the page after each arm."""
    study.out.mkdir(parents=True, exist_ok=True)
    size = sizes(study.minutes)
    for arm in study.arms:
        _collect_missing(study.traces(arm), arm, size.pairs)
    traces = study.traces(study.arms[0])
    bases = [
        Base(traces, seed, study.base(seed), size.base_most, size.base_last, study.made_by(seed))
        for seed in study.seeds
    ]
    _make_missing(bases, study)
    for arm in study.arms:
        tunings = [
            Tuning(
                study.base(seed), study.traces(arm), contract, seed, size.tune_steps,
                study.tuned(arm, seed, contract), study.made_by(seed, arm),
            )
            for seed in study.seeds
            for contract in CONTRACTS
        ]  # fmt: skip
        _tune_missing(tunings, study)
        _play(study, arm)
        _write(study, write)
    if study.ablate:
        ablated = [
            replace(bases[0], out=study.ablation(what), command="", **changes)
            for what, changes in ABLATED.items()
        ]
        _make_missing(ablated, study)
        _write(study, write)
    _extend(study, size, write)


def _make_missing(bases: Sequence[Base], study: Study) -> None:
    missing = [base for base in bases if not base.out.exists()]
    for job in run_all(make_checkpoint_of_base, missing, study.jobs):
        say(f"{job.out}: made")


def _tune_missing(tunings: Sequence[Tuning], study: Study) -> None:
    for job in run_all(tune, [one for one in tunings if not one.out.exists()], study.jobs):
        say(f"{job.out}: kept")


def _play(study: Study, arm: str) -> None:
    """Plays an arm's cells, and once the base's own and the experts'."""
    play_missing([*arm_sessions(study, arm), *other_sessions(study)], study.jobs)


def _extend(study: Study, size: Sizes, write: Path | None) -> None:
    """Makes and plays the extension, writing the page after each of its parts."""
    for arm, seed in study.extended:
        play_missing(extended_sessions(study, arm, seed), study.jobs)
        _write(study, write)
    if CONTROL in study.extend:
        own = study.traces(study.arms[0])
        _collect_missing(study.traces(CONTROL), CONTROL, size.control_pairs)
        folders = (own, study.traces(CONTROL))
        _tune_joint(study, CONTROL, study.seeds[:1], folders, size.control_steps)
        play_missing(control_sessions(study), study.jobs)
        _write(study, write)
    if study.capped:
        caps = {cap: study.traces(f"{CAPPED}-{cap}") for cap in (OWN, TIGHT, SLACK)}
        for cap, folder in caps.items():
            _collect_missing(folder, "cut", size.capped_pairs, cap)
        _tune_joint(study, CAPPED, study.capped, tuple(caps.values()), size.capped_steps)
        play_missing(capped_sessions(study, study.capped), study.jobs)
        _write(study, write)


def _collect_missing(folder: Path, arm: str, pairs: int, tool_cap: int | None = None) -> None:
    """Collects traces, or goes on where that was broken off."""
    if not (folder / COLLECT).exists() or not read_record(folder).survey.complete:
        collect_traces(folder, arm, pairs, tool_cap)


def _tune_joint(
    study: Study, what: str, seeds: Sequence[int], folders: tuple[Path, ...], steps: int
) -> None:
    """Makes two fine-tunes of each seed's base that learn several sets of traces."""
    first, *beside = folders
    tunings = [
        Tuning(
            study.base(seed), first, contract, seed, steps, study.tuned(what, seed, contract),
            study.made_by(seed, what), tuple(beside),
        )
        for seed in seeds
        for contract in CONTRACTS
    ]  # fmt: skip
    _tune_missing(tunings, study)


def _write(study: Study, write: Path | None) -> None:
    file = write or study.out / "results.md"
    sessions = [
        *(one for arm in study.arms for one in arm_sessions(study, arm)),
        *other_sessions(study),
        *(one for pair in study.pairs for one in extended_sessions(study, *pair)),
        *capped_sessions(study, study.seeds),
        *control_sessions(study),
    ]
    played = {one.run.name: one.found for one in sessions if one.complete}
    ablated = {what: study.ablation(what) for what in ABLATED if study.ablation(what).is_dir()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    text = page(study.command, machine, study.arms, study.seeds, played, study.base, ablated)
    replace_file(file, text.encode())
    say(f"{file}: written")


if __name__ == "__main__":
    sys.exit(main())
