"""The runtime against its alternatives, in one run: `python benchmarks/runtime.py`.

Prints medians and ratios: a step (an empty block; a block with 10 tool calls) under both contracts,
on every tier that this machine offers and without isolation; against the floor (fork, `_exit`,
wait), a fresh `python -I` for each block and, where they are installed, a Jupyter kernel
(jupyter_client and ipykernel) and smolagents' local executor; what each takes to start; a warm step
with isolation against one without; the memory of live episodes, and many of them at once.

All are measured in turns, so that what else the machine does falls on all alike, and a stateless
session has the time of the others' steps to fork its next process, as it has a model's otherwise.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean, median
from time import perf_counter

from okrt.errors import RuntimeFailure
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Limits, Session

EMPTY = "pass"
TOOLS = "for n in range(10): tool(n)"
FORKER = """
import os
while os.read(0, 1):
    pid = os.fork()
    if not pid: os._exit(0)
    os.waitpid(pid, 0)
    os.write(1, b'x')
"""
PAIRS, PAIR_STEPS = 20, 25
"""How often steps with and without isolation are compared, and the steps of each side."""

_KCMP = partial(ctypes.CDLL(None).syscall, {"x86_64": 312, "aarch64": 272}[os.uname().machine])
_SAME_MEMORY = 1
"""KCMP_VM. Source: linux/kcmp.h."""

Step = Callable[[str], object]
Opener = Callable[[], AbstractContextManager[Step]]


def tool(n: int) -> int:
    """A tool, or what stands in for one where blocks run where the tools are."""
    return n


# -- what is measured: each yields a step, a function that runs a block ----------------------------


def runtimes() -> dict[str, ZygoteRuntime]:
    """Returns a runtime for each tier that this machine offers, and one without isolation."""
    found: dict[str, ZygoteRuntime] = {}
    for tier in ("unsafe", "T0", "T1"):
        runtime = _runtime(tier)
        try:
            found[runtime.isolation] = runtime
        except RuntimeFailure as error:
            print(f"{tier}: not measured. {error}")
    return found


def _runtime(tier: str) -> ZygoteRuntime:
    if tier == "unsafe":
        return ZygoteRuntime(unsafe=True)
    return ZygoteRuntime(tier="T1" if tier == "T1" else "T0")


@contextmanager
def session(runtime: ZygoteRuntime, contract: Contract) -> Iterator[Step]:
    with runtime.open(contract, {"tool": tool}, Limits()) as opened:
        yield lambda code: _ok(opened, code)


def _ok(opened: Session, code: str) -> None:
    execution = opened.execute(code)
    assert execution.status == "ok", execution


@contextmanager
def fresh() -> Iterator[Step]:
    """A new interpreter for each block; tools are functions in it."""
    head = "def tool(n): return n\n"

    def step(code: str) -> None:
        subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-I", "-c", head + code], check=True, stdout=subprocess.DEVNULL
        )

    yield step


@contextmanager
def jupyter() -> Iterator[Step]:
    """A kernel; tools are functions in it."""
    # Imported here as it need not be installed; so is smolagents below.
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive("def tool(n): return n", output_hook=lambda _: None)
        yield lambda code: client.execute_interactive(code, output_hook=lambda _: None)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def smolagents() -> Iterator[Step]:
    """An interpreter of syntax trees, in this process."""
    from smolagents.local_python_executor import (
        LocalPythonExecutor,
    )

    executor = LocalPythonExecutor(additional_authorized_imports=[])
    executor.send_tools({"tool": tool})
    yield executor


@contextmanager
def floor() -> Iterator[Step]:
    """What a process for each block costs at least: a bare interpreter forks one when told to."""
    command = [sys.executable, "-I", "-S", "-c", FORKER]
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, tells = process.stdin, process.stdout

        def step(_: str) -> None:
            told.write(b"x")
            tells.read(1)

        yield step
        told.close()


def alternatives() -> dict[str, Opener]:
    found: dict[str, Opener] = {"fork, _exit and wait": floor, "a fresh python -I": fresh}
    for name, needs, start in (
        ("Jupyter kernel", ("jupyter_client", "ipykernel"), jupyter),
        ("smolagents local", ("smolagents",), smolagents),
    ):
        try:
            print(f"{name}: {', '.join(f'{need} {version(need)}' for need in needs)}")
            found[name] = start
        except PackageNotFoundError as error:
            print(f"{name}: not measured, {error.name} is not installed")
    return found


# -- measuring -------------------------------------------------------------------------------------


def steps(
    repeats: int,
    pause_s: float,
    opened: Mapping[str, ZygoteRuntime],
    others: Mapping[str, Opener],
) -> None:
    with ExitStack() as stack:
        cells: dict[str, Step] = {}
        for tier, runtime in opened.items():
            for contract in (PERSISTENT, STATELESS):
                cells[f"okrt {contract.name}, {tier}"] = stack.enter_context(
                    session(runtime, contract)
                )
        for name, opener in others.items():
            cells[name] = stack.enter_context(opener())
        best = list(opened)[-1]
        bases = [f"okrt {contract.name}, {best}" for contract in (PERSISTENT, STATELESS)]
        for title, code in (("an empty block", EMPTY), ("a block with 10 tool calls", TOOLS)):
            print(f"\na step: {title}, with {pause_s * 1e3:g} ms before it; median of {repeats}")
            print(f"  {'':<28}{'ms':>9}{'x persistent':>15}{'x stateless':>14}   (of {best})")
            medians = {
                name: median(times) for name, times in _turns(repeats, pause_s, cells, code).items()
            }
            for name, value in medians.items():
                first, second = (value / medians[base] for base in bases)
                print(f"  {name:<28}{value * 1e3:>9.3f}{first:>15.2f}{second:>14.2f}")


def _turns(
    repeats: int, pause_s: float, cells: Mapping[str, Step], code: str
) -> dict[str, list[float]]:
    """Returns the seconds of each step, all of them in turns."""
    taken: dict[str, list[float]] = {name: [] for name in cells}
    for _ in range(repeats + 1):
        for name, step in cells.items():
            time.sleep(pause_s)
            taken[name].append(_seconds(partial(step, code)))
    return {name: times[1:] for name, times in taken.items()}  # the first warms up


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def warm(opened: Mapping[str, ZygoteRuntime]) -> None:
    """Steps of one session in a row: a stateless one waits for each of its processes."""
    with ExitStack() as stack:
        cells = {
            tier: stack.enter_context(session(runtime, PERSISTENT))
            for tier, runtime in opened.items()
        }
        others = {
            f"{tier}, stateless": stack.enter_context(session(runtime, STATELESS))
            for tier, runtime in opened.items()
        }
        others["fork, _exit and wait"] = stack.enter_context(floor())
        for title, code, measured in (
            ("an empty block", EMPTY, {**cells, **others}),
            ("10 tool calls", TOOLS, cells),
        ):
            print(f"\na step, {PAIRS} turns of {PAIR_STEPS} in a row: {title}")
            taken: dict[str, list[float]] = {name: [] for name in measured}
            for _ in range(PAIRS + 1):
                for name, step in measured.items():
                    run = [_seconds(partial(step, code)) for _ in range(PAIR_STEPS)]
                    taken[name].append(fmean(run))
            medians = {name: median(times[1:]) for name, times in taken.items()}
            for name, value in medians.items():
                ratio = value / medians["unsafe"]
                print(f"  {name:<22}{value * 1e3:>9.3f} ms, {ratio:.2f}x unsafe")


def starts(repeats: int, tiers: list[str], others: Mapping[str, Opener]) -> None:
    """From nothing to the end of a first block."""
    print(f"\na start, its first block included; median of {repeats}")
    cells: dict[str, Callable[[], None]] = {f"okrt, {tier}": _starter(tier) for tier in tiers}
    cells |= {name: _opener(opener) for name, opener in others.items()}
    taken: dict[str, list[float]] = {name: [] for name in cells}
    for _ in range(repeats):
        for name, cell in cells.items():
            taken[name].append(_seconds(cell))
    for name, times in taken.items():
        print(f"  {name:<28}{median(times) * 1e3:>9.1f} ms")


def _starter(tier: str) -> Callable[[], None]:
    def start() -> None:
        with _runtime(tier) as runtime, session(runtime, PERSISTENT) as step:
            step(EMPTY)

    return start


def _opener(opener: Opener) -> Callable[[], None]:
    def start() -> None:
        with opener() as step:
            step(EMPTY)

    return start


def live(opened: Mapping[str, ZygoteRuntime], count: int) -> None:
    print(f"\n{count} live episodes at once, each having run a block")
    for tier, runtime in opened.items():
        with ExitStack() as stack:
            stack.enter_context(session(runtime, PERSISTENT))(EMPTY)
            before = _memory_mib()
            started = perf_counter()
            cells = [stack.enter_context(session(runtime, PERSISTENT)) for _ in range(count)]
            for step in cells:
                step("x = [0] * 1000")
            opened_s = perf_counter() - started
            after = _memory_mib()
            again = median(_seconds(partial(step, "x[0]")) for step in cells)
        each = "?" if before is None or after is None else f"{(after - before) / count:.2f}"
        print(
            f"  {tier:<8}{each} MiB each (proportional set size); all opened, first block "
            f"included, in {opened_s:.2f} s; a later step {again * 1e3:.3f} ms"
        )


def _memory_mib() -> float | None:
    """Returns the memory of this process's descendants, what they share counted once; None where
    this user may not look."""
    total = 0
    for pid, parent in _descendants().items():
        if _KCMP(pid, parent, _SAME_MEMORY, 0, 0) == 0:
            continue  # the first process of a pid namespace runs in the zygote's own memory
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except PermissionError:
            return None
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
    return total / 1024


def _descendants() -> dict[int, int]:
    """Returns the pids of all processes below this one, and those of their parents."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(fields[1])
    found: dict[int, int] = {}
    waiting = [os.getpid()]
    while waiting:
        above = waiting.pop()
        below = [pid for pid, parent in parents.items() if parent == above]
        found |= dict.fromkeys(below, above)
        waiting += below
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/runtime.py --repeats 20 --live 50",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=100, help="steps of each (default: 100)")
    parser.add_argument(
        "--pause-ms",
        type=float,
        default=0.0,
        help="pause before each step, in which caches grow cold (default: 0)",
    )
    parser.add_argument("--starts", type=int, default=5, help="starts of each (default: 5)")
    parser.add_argument("--live", type=int, default=200, help="episodes at once (default: 200)")
    options = parser.parse_args()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, load average {load}")
    opened, others = runtimes(), alternatives()
    with ExitStack() as stack:
        for runtime in opened.values():
            stack.enter_context(runtime)
        steps(options.repeats, options.pause_ms / 1e3, opened, others)
        warm(opened)
        live(opened, options.live)
    starts(options.starts, list(opened), others)


if __name__ == "__main__":
    main()
