"""The harness against doing without it, in one run: `python benchmarks/harness.py`.

Prints medians and ratios: experts' episodes per second (against the same loop with `exec` in this
very process, which isolates nothing), tool calls per second (against calling the function), the
plugin's cost of a case (against a bare parametrized test), tasks per second (against solving each
with a dynamic programme in plain Python).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from types import TracebackType
from typing import Any

from okrt import specs
from okrt.errors import ToolError
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, Limits, Runtime, Session, Settings, Task

FAMILY = specs.FAMILIES["opaque_knapsack"]


class InProcess:
    """The alternative: `exec` in this process, as published harnesses do. Isolates nothing."""

    isolation = "none"
    landlock_abi = None

    def open(
        self,
        contract: Contract,
        tools: Mapping[str, Callable[..., Any]],
        limits: Limits,
        seed: str = "",
    ) -> Session:
        return _Exec(contract, tools)

    def close(self) -> None:
        pass


class _Exec:
    def __init__(self, contract: Contract, tools: Mapping[str, Callable[..., Any]]) -> None:
        self._contract = contract
        self._provided = {**tools, "ToolError": ToolError, "ToolCapExceeded": RuntimeError}
        self._names: dict[str, Any] = dict(self._provided)

    def execute(self, code: str) -> Execution:
        shown: list[str] = []
        self._names["print"] = lambda *parts: shown.append(" ".join(map(str, parts)) + "\n")
        result = Execution("ok")
        try:
            exec(code, self._names)  # noqa: S102  the alternative being measured; experts only
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            result = Execution("raised", "".join(shown), 0, type(error).__name__, text)
        else:
            result = Execution("ok", "".join(shown))
        if not self._contract.keeps(1, result).names:
            self._names = dict(self._provided)
        return result

    def close(self) -> None:
        pass

    def __enter__(self) -> _Exec:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def interleaved(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Returns the median seconds of each piece of work, run in turns."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, times in zip(works, taken, strict=True):
            times.append(seconds(work))
    return [median(times) for times in taken]


def episodes(repeats: int, tasks: int) -> None:
    print(f"\nexperts' episodes on easy, {tasks} tasks a cell, one process")
    with ZygoteRuntime() as runtime:
        for name in ("persistent", "stateless"):
            for contract in (PERSISTENT, STATELESS):

                def play(on: Runtime, name: str = name, contract: Contract = contract) -> None:
                    list(run_cases(_cases(name, contract, tasks), on))

                play(runtime)  # warms the task caches for both
                ours, theirs = interleaved(
                    repeats, partial(play, runtime), partial(play, InProcess())
                )
                print(
                    f"  expert:{name} in {contract.name}: {tasks / ours:.0f} episodes/s; in-"
                    f"process exec {tasks / theirs:.0f}/s; ratio {ours / theirs:.2f}x the time"
                )


def _cases(name: str, contract: Contract, tasks: int) -> list[Case]:
    agent = specs.load_model(specs.model_spec(f"expert:{name}"), Settings(), FAMILY.name)
    return [
        Case(FAMILY, FAMILY.task(seed, "easy"), contract, agent.card, agent.model, Settings())
        for seed in range(tasks)
    ]


def tool_calls(repeats: int, calls: int = 2000) -> None:
    tools: dict[str, Callable[..., Any]] = {"tool": lambda n: n}
    code = f"for n in range({calls}): tool(n)"
    with (
        ZygoteRuntime() as runtime,
        runtime.open(PERSISTENT, tools, Limits(tool_cap=calls)) as session,
        _Exec(PERSISTENT, tools) as bare,
    ):
        ours, theirs = interleaved(
            repeats, lambda: session.execute(code), lambda: bare.execute(code)
        )
    print("\ntool calls in one block")
    print(
        f"  over the wire {calls / ours:,.0f}/s ({ours / calls * 1e3:.3f} ms each); function "
        f"calls {calls / theirs:,.0f}/s; ratio {ours / theirs:.0f}x the time"
    )


PLUGIN = """
import pytest
from okrt.types import Execution, Outcome, Task

class Nothing:
    finished = False
    def __init__(self):
        self.tools = {"finish": self.finish}
    def finish(self):
        self.finished = True
    def outcome(self):
        return Outcome(1.0, True)

class Empty:
    name, tiers = "empty", ("only",)
    def task(self, seed, tier, split="eval"):
        return Task("empty", tier, split, seed, 1, f"{split} {seed}", {}, 1)
    def environment(self, task):
        return Nothing()

FAMILY = Empty()

def talk(conversation):
    return "```python\\nfinish()\\n```"
"""
OKRT = """
@pytest.mark.okrt(family=FAMILY, seeds=range(N))
def test_case(episode):
    assert episode.outcome is not None
"""
BARE = """
@pytest.mark.parametrize("seed", range(N))
def test_case(seed):
    assert seed >= 0
"""


def plugin(repeats: int, few: int = 100, many: int = 1100) -> None:
    """The slope over the number of cases, so that start-up drops out.

    What the plugin adds is a case's whole time less the bare test and less the time of the episode
    itself, as the same session recorded it.
    """
    with tempfile.TemporaryDirectory() as folder:
        for kind, body in (("okrt", OKRT), ("bare", BARE)):
            for n in (few, many):
                text = PLUGIN + body.replace("N)", f"{n})")
                Path(folder, f"test_{kind}_{n}.py").write_text(text)

        numbers = count()

        def session(name: str, n: int) -> None:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            if name == "okrt":
                command += [f"--model=test_okrt_{n}:talk", "--runtime=persistent"]
                command += [f"--okrt-out=run-{next(numbers)}"]
            command.append(f"test_{name}_{n}.py")
            subprocess.run(  # noqa: S603  this very interpreter
                command, cwd=folder, check=True, stdout=subprocess.DEVNULL
            )

        okrt_many, okrt_few, bare_many, bare_few = interleaved(
            repeats,
            *(partial(session, name, n) for name in ("okrt", "bare") for n in (many, few)),
        )
        walls = [
            json.loads(line)["timing"]["wall_s"]
            for rows in Path(folder).glob("run-*/rows.jsonl")
            for line in rows.read_text().splitlines()
        ]
    alone = fmean(walls)
    case = (okrt_many - okrt_few) / (many - few)
    bare = (bare_many - bare_few) / (many - few)
    print("\nthe plugin's cost of a case")
    print(
        f"  case {case * 1e3:.2f} ms, of which the episode itself {alone * 1e3:.2f} ms; bare "
        f"parametrized test {bare * 1e3:.2f} ms"
    )
    print(
        f"  added by the plugin {(case - alone - bare) * 1e3:.2f} ms; ratio {case / bare:.1f}x the "
        f"bare test, episode included"
    )


def tasks(repeats: int, n: int = 50) -> None:
    print(f"\ntasks, {n} a tier: generated, redraws and optimum included")
    for tier in FAMILY.tiers:
        made = _make(tier, n)
        ours, theirs = interleaved(
            repeats,
            partial(_make, tier, n),
            partial(_solve, made),
        )
        print(
            f"  {tier}: {n / ours:,.0f} tasks/s; one optimum each in plain Python "
            f"{n / theirs:,.0f}/s; ratio {ours / theirs:.2f}x the time"
        )


def _make(tier: str, n: int) -> list[Task]:
    return [FAMILY.task(seed, tier) for seed in range(n)]


def _solve(made: list[Task]) -> list[int]:
    return [_plain_optimum(task.private) for task in made]


def _plain_optimum(private: Mapping[str, Any]) -> int:
    """0/1 knapsack by dynamic programming over capacities, without numpy."""
    allowed = set(private["allowed"])
    best = [0] * (private["capacity"] + 1)
    for item in private["items"]:
        if item["class"] in allowed:
            for room in range(private["capacity"], item["weight"] - 1, -1):
                best[room] = max(best[room], best[room - item["weight"]] + item["value"])
    return best[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/harness.py --repeats 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=5, help="times each is run (default: 5)")
    parser.add_argument("--tasks", type=int, default=20, help="easy tasks a cell (default: 20)")
    options = parser.parse_args()
    episodes(options.repeats, options.tasks)
    tool_calls(options.repeats)
    plugin(options.repeats)
    tasks(options.repeats)


if __name__ == "__main__":
    main()
