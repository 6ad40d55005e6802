"""The episodes of a run, replayed one by one: sandboxes by their packages, what became of each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

import msgspec

from okrt import specs
from okrt.errors import InfrastructureError, SpecError, UsageError
from okrt.index import Place
from okrt.progress import Line
from okrt.prompts import tool_cap
from okrt.replay.nouns import Replay
from okrt.replay.replaying import replay
from okrt.runtimes.host import ZygoteRuntime
from okrt.runtimes.tiers import NONE, UNSAFE
from okrt.types import Contract, Episode, Limits, TaskFamily

SCHEMA = 1
"""Of what is written of a replay."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the episodes are replayed under."""

    contract: Contract | None
    cap: int | None
    family: TaskFamily | None


class Work:
    """What has been replayed so far; a context manager that ends its sandboxes."""

    def __init__(self, asked: Asked, out: Path | None, unsafe: bool) -> None:
        self._asked = asked
        self._out_path = out
        self._out: BufferedWriter | None = None
        self._unsafe = unsafe
        self._runtimes: dict[tuple[str, ...], ZygoteRuntime] = {}
        self.replays: list[Replay] = []
        self.left_out: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        """Episodes that could not be replayed, by why."""
        self.open_recorded = 0
        """Episodes that were recorded without a sandbox."""

    def check_sandbox(self) -> None:
        """Raises RuntimeFailure: there is none, said before the first episode."""
        tier = self._runtime(()).isolation
        if tier in (UNSAFE, NONE):
            sys.stderr.write("okrt: recorded code runs with your own rights, without a sandbox\n")

    def take(self, episode: Episode) -> None:
        """Replays one episode. Raises UsageError: it cannot be replayed by this okrt."""
        turns = episode.trajectory.turns if episode.trajectory is not None else ()
        if all(turn.code is None for turn in turns):
            self.left_out["without a block"] += 1
            return
        self.open_recorded += episode.timing.get("isolation") in (UNSAFE, NONE)
        asked = self._asked
        own = tool_cap(episode.task, episode.settings)
        limits = Limits(tool_cap=own if asked.cap is None else asked.cap)
        contract = asked.contract or recorded_contract(episode.contract)
        try:
            runtime = self._runtime(episode.settings.packages)
            found = replay(episode, contract, limits, runtime, family=asked.family)
        except InfrastructureError as error:
            self.failed[str(error)] += 1
            return
        self.replays.append(found)
        self._write(found)

    def _runtime(self, packages: tuple[str, ...]) -> ZygoteRuntime:
        if packages not in self._runtimes:
            self._runtimes[packages] = ZygoteRuntime(self._unsafe, packages)
        return self._runtimes[packages]

    def _write(self, found: Replay) -> None:
        if self._out_path is None:
            return
        try:
            if self._out is None:
                self._out = self._out_path.open("xb")
            self._out.write(msgspec.json.encode(as_json(found)) + b"\n")
            self._out.flush()
        except OSError as error:
            raise UsageError(f"cannot write {self._out_path}: {error.strerror}") from None

    def told(self, found: list[Place]) -> Iterator[Place]:
        """Yields the places; at a terminal, says how far it is."""
        with closing(Line(sys.stderr)) as line:
            for number, place in enumerate(found, 1):
                line.tell(f"{number:,} of {len(found):,} episodes")
                yield place

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *error: object) -> None:
        for runtime in self._runtimes.values():
            runtime.close()
        if self._out is not None:
            self._out.close()


def recorded_contract(name: str) -> Contract:
    """Returns the contract that an episode was recorded under.

    Raises:
        UsageError: it is none that okrt knows by name.
    """
    try:
        return specs.contract(name)
    except SpecError:
        raise UsageError(
            f"recorded under the runtime {name!r}, which is none of okrt's: replay such episodes "
            f"by themselves, --from-runtime {name} --runtime module:attribute"
        ) from None


def as_json(one: Replay) -> dict[str, Any]:
    """Returns a replay as JSON data, with what is derived from its turns."""
    fields: dict[str, Any] = msgspec.to_builtins(one)
    departure, lost = one.departure, one.first_lost
    return {
        "schema": SCHEMA,
        **fields,
        "faithful_turns": one.faithful_turns,
        "same_turns": one.same_turns,
        "departs_at": None if departure is None else departure.number,
        "lost_at": None if lost is None else lost.number,
    }
