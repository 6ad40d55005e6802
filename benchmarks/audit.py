"""How fast and how right is `okrt audit`? `python benchmarks/audit.py`.

Audits the episodes of the shipped experts, 100 easy tasks of each cell of expert and contract
unless told otherwise, until 1,000 are through; and beside it `ast.parse` alone of the same blocks,
the least that any reading of them costs. Then what the issue asks of those episodes: each cell's
verdicts, the share found in mixtures, and the missing-variable rate that is predicted from traces
of the persistent contract beside the one that the stateless runs show.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from okrt import specs
from okrt.audit.reading import read
from okrt.audit.totals import audit_files, audit_traces
from okrt.audit.traces import Trace
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import encode_episode
from okrt.types import Settings

EPISODES = 1_000
Cell = tuple[str, str]


def play(folder: Path, tasks: int) -> dict[Cell, Path]:
    """Writes the episodes of each cell (expert, contract) to a file."""
    settings, family = Settings(), specs.FAMILIES["opaque_knapsack"]
    files = {}
    runtime = ZygoteRuntime()
    for expert, contract in itertools.product(specs.DEFAULT_CONTRACTS, repeat=2):
        agent = specs.load_model(specs.model_spec(f"expert:{expert}"), settings, family.name)
        cases = [
            Case(family, family.task(seed, "easy"), specs.CONTRACTS[contract], agent.card,
                 agent.model, settings)
            for seed in range(tasks)
        ]  # fmt: skip
        file = folder / f"{expert}-{contract}.jsonl"
        with file.open("wb") as lines:
            lines.writelines(encode_episode(episode) for episode in run_cases(cases, runtime))
        files[expert, contract] = file
    runtime.close()
    return files


def traces(file: Path) -> list[Trace]:
    return [one for one in read([file]) if isinstance(one, Trace)]


def speed(files: dict[Cell, Path]) -> Iterator[str]:
    """Seconds of this process, reading the files included, and the ratio to `ast.parse`."""
    every = list(itertools.chain.from_iterable(traces(file) for file in files.values()))
    rounds = -(-EPISODES // len(every))
    blocks = [block.code for trace in every for block in trace.blocks] * rounds
    started = process_time()
    for _ in range(rounds):
        audit_files(files.values())
    audited = process_time() - started
    started = process_time()
    for code in blocks:
        ast.parse(code)
    parsed = process_time() - started
    n = rounds * len(every)
    yield f"{n:,} episodes, {len(blocks):,} blocks: {audited:.1f} s"
    yield f"{EPISODES:,} episodes: {audited * EPISODES / n:.1f} s"
    yield f"ast.parse alone of the same blocks: {parsed:.1f} s, {audited / parsed:.1f} times less"


def cells(files: dict[Cell, Path]) -> Iterator[str]:
    for (expert, contract), file in files.items():
        found = audit_files([file])
        verdicts = {verdict: n for verdict, n in found.verdicts.items() if n}
        yield f"{expert} expert, {contract} runtime: {verdicts}"


def mixtures(files: dict[Cell, Path]) -> Iterator[str]:
    one, other = (traces(files[name, name]) for name in specs.DEFAULT_CONTRACTS)
    for share in (0.1, 0.5, 0.9):
        kept = round(share * len(one))
        value = audit_traces(one[:kept] + other[kept:]).shares["persistent"].value or 0.0
        yield f"mixture with {kept / len(one):.0%} persistent: found {value:.1%}"


def misses(files: dict[Cell, Path]) -> Iterator[str]:
    for expert in specs.DEFAULT_CONTRACTS:
        predicted = audit_files([files[expert, "persistent"]]).missing_rate.value or 0.0
        runs = traces(files[expert, "stateless"])
        met = Counter(any(block.missing_name for block in trace.blocks) for trace in runs)
        yield (
            f"{expert} expert, missing variables when stateless: predicted {predicted:.1%}, "
            f"met {met[True] / len(runs):.1%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--tasks", type=int, default=100, help="tasks of each cell")
    tasks: int = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder:
        files = play(Path(folder), tasks)
        for measure in (cells, mixtures, misses, speed):
            for line in measure(files):
                print(line)


if __name__ == "__main__":
    main()
