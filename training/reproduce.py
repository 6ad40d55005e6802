"""`python -m training.reproduce`: the study at tiny scale, from nothing to a page of results."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from okrt.errors import OkrtError, UsageError
from okrt.store import Problem, read_episodes, read_run, replace_file
from okrt.types import Episode
from training.collect_arguments import ARMS
from training.tiny.making import (
    NOMINAL_MINUTES,
    Base,
    collect_traces,
    command,
    make_checkpoint_of_base,
    run_all,
    say,
    sizes,
)
from training.tiny.page import page
from training.tiny.play import EVALUATED
from training.tiny.tune import CONTRACTS, Tuning, tune

ROOT = Path(__file__).parents[1]
ABLATED: dict[str, dict[str, Any]] = {
    "no-auxiliary-loss": {"looking_back": 0.0},
    "no-offset": {"offset": 0.0},
    "short-embeddings": {"spread": 0.02, "offset": 0.02},
}
EXAMPLE = """\
example: a trial of the machinery in some minutes; its models play badly
  python -m training.reproduce --out study/ --minutes 2 --seeds 1 --arms none --episodes 5
"""


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked for, and where it is put."""

    out: Path
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    episodes: int
    minutes: float
    jobs: int
    ablate: bool

    @property
    def command(self) -> str:
        seeds, arms = ",".join(map(str, self.seeds)), ",".join(self.arms)
        return (
            f"python -m training.reproduce --out study/ --minutes {self.minutes:g} "
            f"--seeds {seeds} --arms {arms} --episodes {self.episodes}"
            f"{' --ablate' if self.ablate else ''}"
        )

    def made_by(self, seed: int, arm: str = "none") -> str:
        return command(self.minutes, seed, arm)

    def traces(self, arm: str) -> Path:
        return self.out / f"traces-{arm}"

    def base(self, seed: int) -> Path:
        return self.out / f"base-{seed}"

    def tuned(self, arm: str, seed: int, contract: str) -> Path:
        return self.out / f"{arm}-{seed}" / f"tiny-{contract}"

    def ablation(self, what: str) -> Path:
        return self.out / f"base-{self.seeds[0]}-{what}"

    def run(self, what: str) -> Path:
        return self.out / "runs" / what


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
    parser.add_argument("--arms", default=",".join(ARMS), help="of traces (default: %(default)s)")
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
    if options.episodes < 1 or options.jobs < 1:
        raise UsageError("--episodes and --jobs: give at least 1")
    return Study(
        options.out, seeds, arms, options.episodes, options.minutes, options.jobs, options.ablate
    )


def _reproduce(study: Study, write: Path | None) -> None:
    """Makes what is missing, cheapest evidence first, and writes the page after each arm."""
    study.out.mkdir(parents=True, exist_ok=True)
    size = sizes(study.minutes)
    for arm in study.arms:
        if not study.traces(arm).exists():
            collect_traces(study.traces(arm), arm, size.pairs)
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
        for job in run_all(tune, [one for one in tunings if not one.out.exists()], study.jobs):
            say(f"{job.out}: kept")
        _play(study, arm)
        _write(study, write)
    if study.ablate:
        ablated = [
            replace(bases[0], out=study.ablation(what), command="", **changes)
            for what, changes in ABLATED.items()
        ]
        _make_missing(ablated, study)
        _write(study, write)


def _make_missing(bases: Sequence[Base], study: Study) -> None:
    missing = [base for base in bases if not base.out.exists()]
    for job in run_all(make_checkpoint_of_base, missing, study.jobs):
        say(f"{job.out}: made")


def _play(study: Study, arm: str) -> None:
    """Plays an arm's cells, and once the base's own and the experts', by `pytest evals`."""
    wanted = {
        f"{arm}-{seed}": [f"{name}={study.tuned(arm, seed, name).resolve()}" for name in CONTRACTS]
        for seed in study.seeds
    }
    wanted |= {f"base-{seed}": [f"base={study.base(seed).resolve()}"] for seed in study.seeds}
    wanted["experts"] = [f"expert:{name}" for name in CONTRACTS]
    missing = [(what, models) for what, models in wanted.items() if not _complete(study, what)]
    with ThreadPoolExecutor(study.jobs) as pool:
        list(pool.map(lambda one: _evaluate(study, *one), missing))


def _complete(study: Study, what: str) -> bool:
    folder = study.run(what)
    return folder.is_dir() and read_run(folder).get("complete") is True


def _evaluate(study: Study, what: str, models: Sequence[str]) -> None:
    """Raises UsageError where pytest fails; its output stands beside the run."""
    folder = study.run(what)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    call = [sys.executable, "-m", "pytest", str(ROOT / "evals"), *EVALUATED]
    call += ["--okrt-seeds", str(study.episodes), "--okrt-out", str(folder.resolve())]
    call += [part for model in models for part in ("--model", model)]
    with log.open("w", encoding="utf-8") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(  # noqa: S603  # our own command
            call, stdout=output, stderr=output, env=environment, check=False, cwd=ROOT
        )
    if ended.returncode:
        raise UsageError(f"playing {what} failed; see {log}")
    say(f"{what}: played")


def _write(study: Study, write: Path | None) -> None:
    file = write or study.out / "results.md"
    played = {what: _episodes(study.run(what)) for what in _played(study)}
    ablated = {what: study.ablation(what) for what in ABLATED if study.ablation(what).is_dir()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    text = page(study.command, machine, study.arms, study.seeds, played, study.base, ablated)
    replace_file(file, text.encode())
    say(f"{file}: written")


def _played(study: Study) -> list[str]:
    folders = [study.run(f"{arm}-{seed}") for arm in (*study.arms, "base") for seed in study.seeds]
    return [
        folder.name for folder in (*folders, study.run("experts")) if _complete(study, folder.name)
    ]


def _episodes(run: Path) -> list[Episode]:
    return [found for found in read_episodes(run) if not isinstance(found, Problem)]


if __name__ == "__main__":
    sys.exit(main())
