"""What large runs cost: seconds and memory by the number of episodes; and episodes a second.

    python -m benchmarks.scale

A run is made of a few real episodes of the experts under new seeds and ids, and kept while it is
reported, gone on with (which finds nothing to do) and joined from two halves. Memory is the
greatest resident size of the command's own process.

Episodes a second are those of the experts, really played, with one worker of pytest-xdist and with
two, in turns; from the first episode that is on disk to the last, so without starting up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from okrt import specs
from okrt.plan import key_of, plan_of
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import EPISODES, RUN, RunDirectory, encode_episode
from okrt.types import Episode, Settings

EVALS = Path(__file__).parents[1] / "evals"
EXPERTS = ("expert:persistent", "expert:stateless")
REAL_TASKS = 12
"""Tasks that are really played, by each expert under each contract."""
COPIES = 3
"""Of a run on the disk while its halves are joined."""
SPARE_BYTES = 2**30
"""Of the disk, left free."""

_WATCHED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
took = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu, mib = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
print(json.dumps([done.returncode, {"wall_s": took, "cpu_s": cpu, "peak_mib": mib}]))
"""
"""Runs a command and says what it took. A process of its own, because the greatest size of a child
counts from that of the process which started it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.played:
        _print_speeds(options.played, options.rounds)
    real = played()
    heads = f"{'':<10}{'episodes':>10}{'wall s':>10}{'CPU s':>10}{'CPU ms/episode':>16}"
    print(f"{heads}{'peak MiB':>10}")
    for count in options.episodes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            run = Path(folder, "run")
            if lack := _lack(Path(folder), real, count):
                print(f"{count:,} episodes: {lack}", file=sys.stderr)
                return 2
            weight = make_run(run, real, count)
            for name in options.only or MEASUREMENTS:
                cost = MEASUREMENTS[name](run)
                print(
                    f"{name:<10}{count:>10,}{cost.wall_s:>10.1f}{cost.cpu_s:>10.1f}"
                    f"{1_000 * cost.cpu_s / count:>16.2f}{cost.peak_mib:>10.0f}",
                    flush=True,
                )
            print(f"{'':<10}an episode weighs {weight / count / 1e3:.1f} KB on disk", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.scale --episodes 1000 10000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--episodes", type=_count, nargs="+", default=[1_000, 10_000, 100_000], metavar="N",
        help="sizes of the runs (default: 1000 10000 100000)",
    )  # fmt: skip
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="repeatable")
    parser.add_argument(
        "--played", type=int, default=2_000, metavar="N",
        help="episodes played with workers; 0: none (default: 2000)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=_count, default=3, metavar="N", help="of playing (default: 3)"
    )
    parser.add_argument("--folder", type=_folder, help="where runs are made (default: temporary)")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no directory")
    return Path(text)


# -- the runs ---------------------------------------------------------------------------------


def played() -> list[Episode]:
    """Returns real episodes: every expert under every contract, on the same tasks."""
    family = specs.FAMILIES["opaque_knapsack"]
    agents = [specs.load_model(specs.model_spec(name), Settings(), family.name) for name in EXPERTS]
    cases = [
        Case(family, family.task(seed, "easy"), contract, agent.card, agent.model, Settings())
        for seed in range(REAL_TASKS)
        for agent in agents
        for contract in (PERSISTENT, STATELESS)
    ]
    with ZygoteRuntime() as runtime:
        return list(run_cases(cases, runtime))


def relabelled(real: Sequence[Episode], count: int) -> Iterator[Episode]:
    """Yields `count` episodes: the real ones over and over, each round on new tasks."""
    for number, one in enumerate(islice(cycle(real), count)):
        seed = one.task.seed + REAL_TASKS * (number // len(real))
        # scattered, as digests are, so that sorting has something to do
        scattered = number * 0x9E3779B97F4A7C15 % 2**64
        yield replace(one, id=f"{scattered:016x}", task=replace(one.task, seed=seed))


def make_run(path: Path, real: Sequence[Episode], count: int) -> int:
    """Writes a run directory; returns the bytes of its episodes."""
    run: dict[str, Any] = {"okrt": "0", "created": "", "settings": {}, "versions": {}}
    run["plan"] = msgspec.to_builtins(plan_of(key_of(one) for one in relabelled(real, count)))
    with RunDirectory.create(path, {**run, "complete": True}) as directory:
        for one in relabelled(real, count):
            directory.append(one)
    return (path / EPISODES).stat().st_size


def _lack(folder: Path, real: Sequence[Episode], count: int) -> str:
    """Returns why the disk does not hold such a run, or nothing."""
    each = sum(len(encode_episode(one)) for one in real) / len(real)
    wanted, free = int(COPIES * 1.1 * each * count) + SPARE_BYTES, shutil.disk_usage(folder).free
    if free >= wanted:
        return ""
    return f"{wanted / 1e9:.1f} GB are wanted, {free / 1e9:.1f} GB free; name another --folder"


# -- what is measured -------------------------------------------------------------------------


def watched(*command: str) -> Cost:
    """Runs a command to its end. Raises RuntimeError: it failed."""
    launcher = [sys.executable, "-c", _WATCHED, *command]
    told = subprocess.run(launcher, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  ours
    status, cost = json.loads(told)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}")
    return Cost(**cost)


def report(run: Path) -> Cost:
    return watched(sys.executable, "-m", "okrt.cli", "report", str(run))


def resume(run: Path) -> Cost:
    """What `--okrt-resume` does with a run directory before it knows what is missing."""
    return watched(sys.executable, "-c", _RESUMED, str(run))


_RESUMED = """
import sys
from pathlib import Path
from okrt.engines.finished import finished
from okrt.store import RunDirectory
path = Path(sys.argv[1])
with RunDirectory.resume(path):
    assert len(finished(path))
"""


def merge(run: Path) -> Cost:
    """Joins two halves of the run."""
    halves = [run.with_name(f"half-{number}") for number in (1, 2)]
    for number, half in enumerate(halves):
        half.mkdir()
        shutil.copy(run / RUN, half)
        with (run / EPISODES).open("rb") as whole, (half / EPISODES).open("wb") as part:
            part.writelines(islice(whole, number, None, 2))
    out = run.with_name("joined")
    cost = watched(sys.executable, "-m", "okrt.cli", "merge", *map(str, halves), "--out", str(out))
    for folder in (*halves, out):
        shutil.rmtree(folder)
    return cost


def _print_speeds(count: int, rounds: int) -> None:
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, found in speeds.items():
            found.append(speed(workers, count // 4))
    one, two = (median(found) for found in speeds.values())
    print(f"{count:,} episodes of the experts: {one:.1f}/s with -n 1, {two:.1f}/s with -n 2,")
    print(f"{two / one:.2f} times as many (medians of {rounds})\n", flush=True)


def speed(workers: int, seeds: int) -> float:
    """Returns the episodes a second of a pytest session, from the first on disk to the last."""
    with tempfile.TemporaryDirectory() as folder:
        call = [
            sys.executable, "-m", "pytest", str(EVALS), f"-n{workers}", "-q", "-p",
            "no:cacheprovider", f"--okrt-seeds={seeds}", f"--okrt-out={folder}/run",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(call, stdout=subprocess.DEVNULL, env=environment) as session:  # noqa: S603  ours
            times = list(_arrivals(Path(folder, "run", EPISODES), session))
        if session.returncode or len(times) < 2:
            raise RuntimeError(f"{' '.join(call)}: exit status {session.returncode}")
        (began, first), (ended, last) = times[0], times[-1]
        return (last - first) / (ended - began)


def _arrivals(file: Path, session: subprocess.Popen[bytes]) -> Iterator[tuple[float, int]]:
    """Yields when there were more episodes on disk, and how many then."""
    count = 0
    while session.poll() is None and not file.is_file():
        time.sleep(0.05)
    with file.open("rb") as episodes:
        while session.poll() is None:
            time.sleep(0.05)
            if new := episodes.read().count(b"\n"):
                count += new
                yield time.perf_counter(), count


MEASUREMENTS: dict[str, Callable[[Path], Cost]] = {
    "report": report,
    "resume": resume,
    "merge": merge,
}
"""By name; each is given a finished run and is measured by itself."""


if __name__ == "__main__":
    sys.exit(main())
