"""Workers on a Ray cluster: an actor each, with a sandbox and models that stay warm.

The process in charge hands out chunks and takes every episode as it ends. What an actor had not
handed over when its node was lost is run again; what it had is not.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from okrt.engines.far import Cluster, Job, NotPlayed, Player
from okrt.engines.shards import offer, open_shard
from okrt.engines.work import Work, chunks
from okrt.errors import InfrastructureError, OkrtError, UsageError
from okrt.plan import key_of
from okrt.redact import without_secrets
from okrt.store import RunDirectory
from okrt.types import Episode

T = TypeVar("T")

AHEAD = 2
"""Chunks that a worker has: the one it plays, and the one that it goes on with."""
STARTS = 3
"""Workers in a row that may be lost as they come up."""
QUIET_S = 30.0
"""Seconds without a word from any worker until it is said that they are waited for."""
REACH_S = 10.0
"""Seconds for an address to answer: Ray itself would go on trying for minutes."""
REST_S = 1.0
"""Seconds after an interruption for what has come to be taken; what comes then is in the shards."""
CLOSE_S = 5.0
"""Seconds for the workers to end by themselves."""
LINE = 300
"""Characters of an error that are shown."""


class _Actor(Generic[T]):
    """On a node: a player and its shard."""

    def __init__(
        self, player: Callable[[int], Player[T]], number: int, run: Path | None, token: str
    ) -> None:
        self._make, self._number, self._run, self._token = player, number, run, token
        self._shard: RunDirectory | None = None

    def begin(self, name: str) -> str:
        """Gets ready; returns the name of the machine."""
        place = socket.gethostname()
        try:
            self._player = self._make(self._number)
            self._player.check()
            if self._run is not None:
                self._shard = open_shard(self._run, self._token, name)
        except OkrtError as error:
            of = UsageError if isinstance(error, UsageError) else InfrastructureError
            raise of(f"on {place}: {error}") from None
        return place

    def play(self, cases: Sequence[T]) -> Iterator[Episode | NotPlayed]:
        for found in self._player.play(cases):
            if self._shard is not None and isinstance(found, Episode):
                self._shard.append(found)
            yield found

    def close(self) -> None:
        self._player.close()
        if self._shard is not None:
            self._shard.close()


class _Hand:
    """An actor, as the process in charge sees it."""

    def __init__(self, name: str, number: int, actor: Any) -> None:
        self.name, self.number, self.actor = name, number, actor
        self.begun = actor.begin.remote(name)
        self.place = ""
        """The machine, once it is ready."""
        self.streams: deque[Any] = deque()
        """Of the chunks that it has."""
        self.is_barren = False
        """Whether its last chunk brought nothing: its server or checkpoint cannot be had there."""
        self._brought = 0

    def heard(self, found: Episode | NotPlayed) -> None:
        """Takes note of what became of a case."""
        if isinstance(found, NotPlayed):
            self._brought += found.kind == "time"
        else:
            self._brought += found.failure is None or found.failure.boundary != "model"

    def end_chunk(self) -> None:
        """Takes note that the chunk's cases were all heard of."""
        self.streams.popleft()
        self.is_barren, self._brought = not self._brought, 0

    @property
    def awaited(self) -> Any:
        """What it says next; None: it has nothing to do."""
        if not self.place:
            return self.begun
        return self.streams[0] if self.streams else None


class Crew(Generic[T]):
    """The workers of a cluster; a context manager."""

    def __init__(self, job: Job[T], cluster: Cluster) -> None:
        """Connects, and has the workers come up.

        Raises:
            UsageError: the cluster cannot be reached, or the run directory not be written.
        """
        self._job = job
        self._token = "" if job.run is None else offer(job.run)
        _connect(cluster.address)
        has = ray.cluster_resources()
        on_gpus = job.gpus and has.get("GPU", 0) >= 1
        scarce = min(has.get(one, 1) for one in (("CPU", "GPU") if on_gpus else ("CPU",)))
        self.size = cluster.workers or max(1, int(scarce))
        self._actor: Any = ray.remote(_Actor).options(
            num_cpus=1, num_gpus=1 if on_gpus else 0, max_restarts=0, scheduling_strategy="SPREAD"
        )
        self._started = self._lost_starts = 0
        self._hands: list[_Hand] = []

    def play(self, cases: Sequence[T]) -> Iterator[Episode | NotPlayed]:
        """Yields something of each of the cases, as they end; after an interruption, what has come.

        Once `is_over`, the workers may still be at cases: only `close` ends that.

        Raises:
            OkrtError: no worker can be had, or one says that others can do no better.
        """
        split = chunks(cases, self._job.group, self.size)
        work = Work(split, self._job.key)
        while len(self._hands) < min(self.size, len(split)):
            self._start(len(self._hands))
        try:
            while not (work.is_done or self._job.is_over()):
                self._hand_out(work)
                yield from self._next(work, QUIET_S)
        except KeyboardInterrupt:
            until = monotonic() + REST_S
            while self._is_anything_there() and monotonic() < until:
                yield from self._next(work, 0)
            raise

    def close(self) -> None:
        """Ends the workers and what was begun to have them."""
        with suppress(RayError):
            idle = [hand for hand in self._hands if hand.place and not hand.streams]
            ending = [hand.actor.close.remote() for hand in idle]
            if ending:
                ray.wait(ending, num_returns=len(ending), timeout=CLOSE_S)
            for hand in self._hands:
                ray.kill(hand.actor)
        ray.shutdown()

    def __enter__(self) -> Crew[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, number: int) -> None:
        name = f"{self._token}-{self._started}"
        self._started += 1
        actor = self._actor.remote(self._job.player, number, self._job.run, self._token)
        self._hands.append(_Hand(name, number, actor))

    def _hand_out(self, work: Work[T]) -> None:
        """A worker that can play nothing is always free first: it draws while no other can."""
        able = [hand for hand in self._hands if hand.place and not hand.is_barren] or self._hands
        for depth in range(AHEAD):  # every worker has one before any has two
            for hand in able:
                if hand.place and len(hand.streams) == depth and (chunk := work.draw(hand.name)):
                    hand.streams.append(hand.actor.play.remote(chunk))

    def _awaited(self) -> dict[Any, _Hand]:
        return {hand.awaited: hand for hand in self._hands if hand.awaited is not None}

    def _is_anything_there(self) -> bool:
        awaited = self._awaited()
        return bool(awaited) and bool(ray.wait(list(awaited), timeout=0)[0])

    def _next(self, work: Work[T], timeout_s: float) -> Iterator[Episode | NotPlayed]:
        """Yields what there is to be said of cases after the next word of a worker, if any."""
        awaited = self._awaited()
        ready = ray.wait(list(awaited), timeout=timeout_s)[0] if awaited else []
        if not ready:
            self._say_quiet(timeout_s)
            return
        hand = awaited[ready[0]]
        try:
            if hand.place:
                yield from self._heard(hand, work)
            else:
                hand.place = ray.get(hand.begun)
                self._lost_starts = 0
        except RayTaskError as error:
            raise _told(error, hand.place) from None
        except RayError as error:
            yield from self._lost(hand, work, error)

    def _heard(self, hand: _Hand, work: Work[T]) -> Iterator[Episode | NotPlayed]:
        try:
            found = ray.get(next(hand.streams[0]))
        except StopIteration:
            hand.end_chunk()
            yield from self._given_up(work.end(hand.name), f"{hand.place} returned nothing for it")
            return
        hand.heard(found)
        work.settle(hand.name, found.key if isinstance(found, NotPlayed) else key_of(found))
        yield found

    def _lost(self, hand: _Hand, work: Work[T], error: RayError) -> Iterator[Episode]:
        self._hands.remove(hand)
        with suppress(RayError):
            ray.kill(hand.actor)  # its node may merely be out of reach
        why = _last_line(error)
        if not hand.place:
            self._lost_starts += 1
            if self._lost_starts >= STARTS:
                raise InfrastructureError(f"no worker comes up on the cluster: {why}")
        self._job.tell(f"a worker on {hand.place or 'the cluster'} was lost: {why}")
        yield from self._given_up(work.lose(hand.name), f"its workers were lost: {why}")
        if not work.is_done:
            self._start(hand.number)

    def _given_up(self, cases: list[T], why: str) -> Iterator[Episode]:
        for case in cases:
            yield self._job.lost(case, why)

    def _say_quiet(self, waited_s: float) -> None:
        up = sum(bool(hand.place) for hand in self._hands)
        if waited_s and up < len(self._hands):
            self._job.tell(
                f"{up} of {len(self._hands)} workers are up; `ray status` says what the cluster has"
            )


_OWN = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Of a Ray that is started here. Its workers would run at niceness 15 and, beside other work, have
blocks of code stopped for taking too long."""


def _connect(address: str | None) -> None:
    """Raises UsageError: there is no such cluster."""
    where = check_address(address)
    for name, value in _OWN.items():
        os.environ.setdefault(name, value)
    board = False if where == "local" else None  # another's cluster has one or not, already
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(where, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=board)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise UsageError(f"--address {where!r}: no Ray cluster: {_last_line(error)}") from None
    if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end this process without a word


def check_address(address: str | None) -> str:
    """Returns the address that is meant. Raises UsageError: it is none, or answers nothing."""
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where in ("local", "auto"):
        return where
    if "://" in where:
        raise UsageError(f"--address {where!r}: give the cluster's own address, like head:6379")
    host, _, port = where.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--address {where!r}: write host:port, like head:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--address {where!r}: nothing answers there: {error}; `ray start --head` prints the "
            "address of its cluster"
        ) from None
    return where


def _told(error: RayTaskError, place: str) -> OkrtError:
    """Returns what an actor raised, as if it were raised here."""
    cause = error.cause
    where = f"on {place}: " if place else ""  # else it says so itself
    if isinstance(cause, UsageError):
        return UsageError(where + str(cause))
    if isinstance(cause, OkrtError):
        return InfrastructureError(where + str(cause))
    return InfrastructureError(f"{where}{type(cause).__name__}: {_last_line(cause)}")


def _last_line(error: BaseException) -> str:
    """Returns what Ray ends its account of an error with: the cause."""
    lines = without_secrets(str(error)).strip().splitlines()
    return " ".join(lines[-1].split())[:LINE] if lines else type(error).__name__
