"""`python -m training.tiny`: from nothing to a base and one fine-tune for each contract."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from okrt.errors import OkrtError
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
from training.tiny.play import EVALUATED
from training.tiny.tune import CONTRACTS, Tuning, tune

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
    size = sizes(options.minutes)
    made_by = command(options.minutes, options.seed, options.arm)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    traces = options.traces or out / "traces"
    if not options.traces:
        collect_traces(traces, options.arm, size.pairs)
    base = options.base or out / "tiny-base"
    if not base.is_dir():
        make_checkpoint_of_base(
            Base(traces, options.seed, base, size.base_most, size.base_last, made_by)
        )
    jobs = [
        Tuning(base, traces, name, options.seed, size.tune_steps, out / f"tiny-{name}", made_by)
        for name in CONTRACTS
        if not (out / f"tiny-{name}").exists()
    ]
    for job in run_all(tune, jobs, options.jobs):
        say(f"{job.out}: kept")
    say(
        f"{(time.monotonic() - started) / 60:.1f} minutes, {_cpu_s() / 60:.1f} CPU minutes; now: "
        f"pytest evals/ {' '.join(EVALUATED)} "
        f"--model {out / 'tiny-persistent'} --model {out / 'tiny-stateless'}"
    )


def _cpu_s() -> float:
    """Returns the CPU seconds of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
