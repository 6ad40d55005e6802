"""The command that makes training traces: the same tasks, played under both contracts.

A pair of traces is in the dataset only if both pass the same filters (`training.filters`).
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

import msgspec

from okrt import specs
from okrt.engines import far
from okrt.engines.players import has_checkpoint, one_server
from okrt.errors import OkrtError, UsageError
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Runtime, Settings
from training.collect_arguments import ARMS, BATCH, TRIES, parser
from training.counting import counter
from training.export import export
from training.far import TracePlayer, play_on, trace_job
from training.filters import Filters
from training.gather import CHUNK, Plan, check_folder, gather
from training.stats import trace_table
from training.traces import CONTRACTS, ContractName, Record, Survey, TraceSettings

QUIET_S, LINE_S = 0.2, 30.0
"""Seconds between two messages of progress: at a terminal, and in a log."""
_PACKAGES = ("okrt", "msgspec", "numpy", "torch", "transformers", "peft")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 (fewer pairs than asked for, or something
    underneath failed), 2 (a mistake of the user's, said in one line) or 130 (interrupted)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(given)
    try:
        if options.stats:
            sys.stdout.write(trace_table(options.stats, options.tokenizer))
            return 0
        if options.export:
            sys.stdout.write(export(*map(Path, options.export)) + "\n")
            return 0
        return _collect(options, tuple(given))
    except UsageError as error:
        return _complain(error, 2)
    except (OkrtError, OSError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on", 130)


def _collect(options: argparse.Namespace, given: tuple[str, ...]) -> int:
    runtime = ZygoteRuntime()
    try:
        plan = _plan(options, given, runtime)
        progress = Progress(plan.record.pairs)
        try:
            found = _gathered(options, plan, runtime, progress)
        finally:
            progress.end()
    finally:
        runtime.close()
    sys.stdout.write(_summary(options.out, found) + "\n")
    if found.complete:
        return 0
    return _complain(
        f"only {found.accepted} of {plan.record.pairs} pairs passed the filters in {found.tried} "
        "tasks: give a larger --max-tries, fewer --pairs, or other filters and another --out",
        1,
    )


def _gathered(
    options: argparse.Namespace, plan: Plan, runtime: Runtime, progress: Progress
) -> Survey:
    """Runs what is missing, in this process or on a cluster."""
    cluster = far.cluster(options)
    if cluster is None:
        return gather(options.out, plan, runtime, progress)
    players = partial(TracePlayer, plan.record.settings, _specs(options), plan.in_flight)
    gpus = has_checkpoint(specs.model_spec(text) for text in _specs(options).values())
    with far.crew(trace_job(players, progress.tell, gpus), cluster) as crew:
        spread = replace(plan, chunk=CHUNK * crew.size)
        return gather(options.out, spread, runtime, progress, partial(play_on, crew))


def _plan(options: argparse.Namespace, given: tuple[str, ...], runtime: Runtime) -> Plan:
    _check(options)
    family = specs.family(options.family)
    episode = Settings(
        cue=options.cue,
        temperature=options.temperature,
        max_turns=options.max_turns,
        max_new_tokens=options.max_new_tokens,
        tool_cap=options.tool_cap,
    )
    tier = specs.tier(options.tier, family)
    tokenizer, count = counter(options.tokenizer)
    agents = _agents(options, episode, family.name)
    settings = TraceSettings(
        family=options.family,
        tier=tier,
        split=options.split,
        first_seed=options.first_seed,
        models={name: agent.card for name, agent in agents.items()},
        arm=None if options.model else options.arm or "none",
        variety=None if options.model else _variety(options.variety),
        episode=episode,
        filters=_filters(options),
        tokenizer=tokenizer,
    )
    tries = options.max_tries or TRIES * options.pairs
    record = Record(settings, options.pairs, tries, given, _versions())
    scripted = all(agent.card.kind == "scripted" for agent in agents.values())
    in_flight = options.in_flight or (1 if scripted else BATCH)
    return Plan(family, agents, record, count, in_flight, _run(record, runtime))


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for what can be told before anything is loaded."""
    for name in ("tier", "pairs"):
        if getattr(options, name) is None:
            raise UsageError(f"--{name} is needed to collect; see --help")
    if options.split not in ("train", "val"):
        raise UsageError(
            f"--split {options.split}: traces are of train or val; evaluation tasks never enter "
            "training"
        )
    if options.model and (options.arm or options.variety):
        raise UsageError("--arm and --variety are for experts: leave them out beside --model")
    check_folder(options.out)
    if (cluster := far.cluster(options)) is not None:
        far.check(cluster)


def _agents(
    options: argparse.Namespace, episode: Settings, family: str
) -> dict[ContractName, specs.Agent]:
    one_of_each = {
        text: specs.load_model(_asked(options, specs.model_spec(text)), episode, family)
        for text in dict.fromkeys(_specs(options).values())
    }
    return {name: one_of_each[text] for name, text in _specs(options).items()}


def _asked(options: argparse.Namespace, spec: specs.ModelSpec) -> specs.ModelSpec:
    """Returns what this process asks: on a cluster one server of a pool."""
    return spec if far.cluster(options) is None else one_server(spec, 0)


def _specs(options: argparse.Namespace) -> dict[ContractName, str]:
    """Returns the spec of the model that plays under each contract."""
    if options.model:
        return dict.fromkeys(CONTRACTS, options.model)
    variety = _variety(options.variety)
    extra = ARMS[options.arm or "none"] + ("" if variety is None else f",variety={variety}")
    return {name: f"expert:{name}{extra}" for name in CONTRACTS}


def _variety(text: str | None) -> int | None:
    return None if text == "none" else int(text or 0)


def _filters(options: argparse.Namespace) -> Filters:
    slips = 1 if "slips" in ARMS[options.arm or "none"] else 0
    return Filters(
        min_score=options.min_score,
        max_error_share=options.max_error_share,
        error_turns=slips if options.error_turns is None else options.error_turns,
        max_tokens=options.max_tokens,
        refuse_loops=not options.keep_loops,
    )


def _run(record: Record, runtime: Runtime) -> dict[str, Any]:
    """Returns `run.json` of the two run directories."""
    return {
        "okrt": record.versions["okrt"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": record.arguments,
        "sandbox": {"isolation": runtime.isolation, "landlock_abi": runtime.landlock_abi},
        "settings": msgspec.to_builtins(record.settings.episode),
        "versions": record.versions,
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
    }


def _versions() -> dict[str, str]:
    """Returns the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


class Progress:
    """Tells how far it is: at a terminal in one line that is written anew, else now and then."""

    def __init__(
        self, pairs: int, stream: TextIO | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._pairs = pairs
        self._stream = stream or sys.stderr
        self._clock = clock
        self._pause = QUIET_S if self._stream.isatty() else LINE_S
        self._started = self._spoke = clock()
        self._before: int | None = None
        """Episodes that an earlier run left."""

    def __call__(self, accepted: int, episodes: int) -> None:
        now = self._clock()
        if self._before is None:
            self._before = episodes - 1
        if now - self._spoke < self._pause:
            return
        self._spoke = now
        rate = (episodes - self._before) / (now - self._started)
        text = f"{accepted}/{self._pairs} pairs, {episodes} episodes, {rate:.1f}/s"
        self._stream.write(f"\r{text}\x1b[K" if self._stream.isatty() else f"{text}\n")
        self._stream.flush()

    def tell(self, line: str) -> None:
        """Says something besides."""
        self.end()
        self._stream.write(f"collect: {line}\n")

    def end(self) -> None:
        """Wipes the line of a terminal."""
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _summary(folder: Path, found: Survey) -> str:
    reasons = {
        name: ", ".join(f"{reason} {count}" for reason, count in counts.items() if count)
        for name, counts in found.refusals.items()
    }
    why = "; ".join(f"{name}: {text}" for name, text in reasons.items() if text)
    return (
        f"{folder}: {found.accepted} pairs of {found.tried} tasks, {len(found.refused)} refused"
        + (f" ({why})" if why else "")
        + (f"; digest {found.digest}" if found.digest else "")
    )


def _complain(error: object, status: int) -> int:
    sys.stderr.write(f"collect: {error}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
