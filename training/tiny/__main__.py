"""`python -m training.tiny`: from nothing to a base and one fine-tune for each contract."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple
from importlib import metadata
from pathlib import Path

import torch

from okrt.errors import OkrtError, UsageError
from okrt.families.opaque_knapsack import style
from training import collect
from training.collect_arguments import ARMS
from training.dataset import Pairs, read_pairs
from training.tiny import documents
from training.tiny.base import make_base
from training.tiny.loop import Step, keep_memory
from training.tiny.play import SETTINGS, TIER
from training.tiny.tune import CONTRACTS, Log, Tuning, publish, save, tune
from training.tiny.vocabulary import make_tokenizer

NOMINAL_MINUTES = 50.0
"""CPU minutes that the steps below took, all in all, on the machine they were chosen on."""
BASE_STEPS, TUNE_STEPS, PAIRS = 1200, 500, 1500
EXAMPLE = """\
example: a trial in a few minutes, too short to play well
  python -m training.tiny --minutes 3 --out tiny/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _make(options)
    except OkrtError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; what is whole stands in {options.out}\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.tiny",
        description="Makes tiny-base, tiny-persistent and tiny-stateless on a CPU: collects "
        "traces, trains a base that sees no task, then fine-tunes it for each contract.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="where tiny-* are put; what is whole there already is kept, so that the same "
        "command goes on",
    )  # fmt: skip
    parser.add_argument(
        "--traces", type=Path, metavar="DIR",
        help="a folder that training.collect filled; default: OUT/traces, filled here",
    )  # fmt: skip
    parser.add_argument(
        "--arm", choices=tuple(ARMS), default="none", help="of the traces made here"
    )
    parser.add_argument("--base", type=Path, metavar="DIR", help="a base that was made before")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--minutes", type=float, default=NOMINAL_MINUTES, metavar="M",
        help="CPU minutes to plan for, roughly; scales steps and pairs (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="fine-tunes at a time")
    return parser


def _make(options: argparse.Namespace) -> None:
    if options.minutes <= 0:
        raise UsageError(f"--minutes {options.minutes:g}: give more than 0")
    # Without paths: where things lay is not what made them.
    command = f"python -m training.tiny --minutes {options.minutes:g} --seed {options.seed}"
    scale = options.minutes / NOMINAL_MINUTES
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    traces = options.traces or _collect(out, options.arm, max(round(PAIRS * scale), 1))
    base = options.base or out / "tiny-base"
    if not base.is_dir():
        steps = max(round(BASE_STEPS * scale), 1)
        make_checkpoint_of_base(base, read_pairs(traces), options.seed, steps, command)
    steps = max(round(TUNE_STEPS * scale), len(CONTRACTS))
    jobs = [
        Tuning(base, traces, name, options.seed, steps, out / f"tiny-{name}", command)
        for name in CONTRACTS
        if not (out / f"tiny-{name}").exists()
    ]
    for job in tune_all(jobs, options.jobs):
        _say(f"{job.out}: kept")
    _say(
        f"{(time.monotonic() - started) / 60:.1f} minutes, {_cpu_s() / 60:.1f} CPU minutes; now: "
        f"pytest evals/ --okrt-tier {TIER} --okrt-temperature 0 --okrt-max-turns "
        f"{SETTINGS.max_turns} --model {out / 'tiny-persistent'} --model {out / 'tiny-stateless'}"
    )


def _collect(out: Path, arm: str, pairs: int) -> Path:
    """Fills OUT/traces. Raises: UsageError where collecting fails; it has said why."""
    folder = out / "traces"
    arguments = ["--tier", TIER, "--pairs", str(pairs), "--out", str(folder), "--arm", arm]
    arguments += ["--temperature", f"{SETTINGS.temperature:g}", "--in-flight", "8"]
    arguments += ["--max-turns", str(SETTINGS.max_turns)]
    arguments += ["--max-new-tokens", str(SETTINGS.max_new_tokens)]
    if collect.main(arguments):
        raise UsageError("collecting failed, see above")
    return folder


def make_checkpoint_of_base(out: Path, pairs: Pairs, seed: int, steps: int, command: str) -> None:
    """Trains the base and puts it in `out`, which appears whole."""
    torch.set_num_threads(1)
    keep_memory()
    work = out.with_name(f".{out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = Log(work / "log.jsonl")
    tokenizer = make_tokenizer(_texts(pairs))

    def after(step: Step, level: int) -> None:
        log.step(step, level=level)
        if step.number % 100 == 0:
            _say(f"base: step {step.number} of {steps}, level {level}")

    model = make_base(tokenizer, seed, steps, after)
    save(model, tokenizer, work / "model")
    note = {
        "trained_under": "unknown",
        "seed": seed,
        "steps": steps,
        "command": command,
        "versions": {name: metadata.version(name) for name in ("okrt", "torch", "transformers")},
    }
    publish(work / "model", log.file, note, out)
    shutil.rmtree(work)


def _texts(pairs: Pairs) -> Iterator[str]:
    """Yields what the vocabulary is made of: both contracts' traces, and every word that a
    document, a style or an error may bring."""
    for episode in (*pairs.persistent, *pairs.stateless):
        if episode.trajectory:
            yield from (message.content for message in episode.trajectory.messages())
    names = [name for names in astuple(style.CHOICES) for name in names.split()]
    words = [*documents.NAMES, *names, *(style.misspelt(name) for name in names)]
    texts = [*documents.SAYS, *documents.THINKS, *documents.DOES, *style.REPAIRS.values(), *words]
    texts += [f" {word} " for word in words]
    texts.append("Traceback (most recent call last):\nNameError: name 'x' is not defined\n")
    texts.append("[note] SyntaxError: IndexError: KeyError: ValueError: TypeError: ToolError: ")
    yield from texts * 3


def tune_all(jobs: Sequence[Tuning], at_a_time: int) -> Iterator[Tuning]:
    """Yields the jobs as they end, each run in a process of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_a_time, mp_context=context, max_tasks_per_child=1) as pool:
        running = {pool.submit(tune, job): job for job in jobs}
        for future in as_completed(running):
            future.result()
            yield running[future]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _cpu_s() -> float:
    """Returns the CPU seconds of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
