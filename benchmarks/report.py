"""What a page costs: seconds, memory and bytes by the number of episodes.

    python -m benchmarks.report

A run is made of real episodes of the experts on easy, copied under new seeds and ids. Copies
compress better than a run without any, so that the size of a page is told of real ones alone
(`--real`): so many tasks, each played by two experts in two runtimes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scale import Cost, make_run, played, watched
from okrt import specs
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import RunDirectory
from okrt.types import Settings

_WRITE = """
import sys
from pathlib import Path
from okrt.report.html.writing import write_page
write_page(Path(sys.argv[1]))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    heads = f"{'episodes':>10}{'wall s':>10}{'CPU s':>10}{'peak MiB':>10}{'page MB':>10}"
    print(f"{'':<10}{heads}{'beside MB':>11}")
    with tempfile.TemporaryDirectory() as folder:
        if options.real:
            run = Path(folder, "real")
            count = _play(run, options.real)
            _tell("real", count, run, write(run))
        real = played()
        for count in options.episodes:
            run = Path(folder, f"copies-{count}")
            make_run(run, real, count)
            _tell("copies", count, run, write(run))
    return 0


def write(run: Path) -> Cost:
    """Writes the page in a process of its own; returns what that took."""
    return watched(sys.executable, "-c", _WRITE, str(run))


def _play(run: Path, tasks: int) -> int:
    """Writes a run in which no episode is another's copy; returns how many there are."""
    family = specs.FAMILIES["opaque_knapsack"]
    names = ("expert:persistent", "expert:stateless")
    agents = [specs.load_model(specs.model_spec(name), Settings(), family.name) for name in names]
    cases = [
        Case(family, family.task(seed, "easy"), contract, agent.card, agent.model, Settings())
        for seed in range(tasks)
        for agent in agents
        for contract in (PERSISTENT, STATELESS)
    ]
    with ZygoteRuntime() as runtime, RunDirectory.create(run, {"okrt": "0"}) as directory:
        for one in run_cases(cases, runtime):
            directory.append(one)
    return len(cases)


def _tell(kind: str, count: int, run: Path, cost: Cost) -> None:
    page = (run / "report.html").stat().st_size / 1e6
    beside = sum(file.stat().st_size for file in (run / "report_files").glob("*")) / 1e6
    print(
        f"{kind:<10}{count:>10,}{cost.wall_s:>10.1f}{cost.cpu_s:>10.1f}{cost.peak_mib:>10.0f}"
        f"{page:>10.1f}{beside:>11.1f}",
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.report --real 100 --episodes 5000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--episodes", type=int, nargs="*", default=[400, 5_000], metavar="N",
        help="sizes of the runs of copies (default: 400 5000)",
    )  # fmt: skip
    parser.add_argument(
        "--real", type=int, default=100, metavar="TASKS",
        help="tasks of the run without copies, four episodes each; 0: none (default: 100)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
