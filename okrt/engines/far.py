"""Playing cases on other machines, as far as that can be said without Ray, which is imported when
it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

from okrt.errors import UsageError
from okrt.plan import Key
from okrt.types import Episode

if TYPE_CHECKING:
    from okrt.engines.ray import Crew

T = TypeVar("T")
C = TypeVar("C", contravariant=True)


@dataclass(frozen=True, slots=True)
class NotPlayed:
    """A case that has no episode."""

    key: Key
    kind: Literal["time", "error"]
    """`time`: its own was over. `error`: what it needs cannot be had."""
    why: str


class Player(Protocol[C]):
    """What runs cases on a worker: one of it in a process, made there, warm from case to case."""

    def check(self) -> None:
        """Raises OkrtError: no case can be run on this machine."""
        ...

    def play(self, cases: Sequence[C]) -> Iterator[Episode | NotPlayed]:
        """Yields something of each of the cases, as they end. Raises OkrtError: nor can others."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Cases to be played, and by whom. What is called on a worker goes there by pickle."""

    player: Callable[[int], Player[T]]
    """Makes the player of a worker's number, on the worker."""
    key: Callable[[T], Key]
    group: Callable[[T], Hashable]
    """Cases of one group are worked at together."""
    lost: Callable[[T, str], Episode]
    """Returns the record of a case whose workers were lost, and why."""
    run: Path | None = None
    """The run directory, for the shards; None: no shards are kept."""
    gpus: bool = False
    """Whether a worker has use for a GPU."""
    is_over: Callable[[], bool] = lambda: False
    """Whether to end early."""
    tell: Callable[[str], None] = lambda line: None
    """Is given lines about workers that come and go."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which machines."""

    address: str | None = None
    """Of a Ray cluster, `host:port` or `auto`; None: `RAY_ADDRESS`, else this machine."""
    workers: int | None = None
    """None: one for each GPU that is used, or each CPU, of the cluster."""


def configure(parser: argparse._ActionsContainer) -> None:
    """Adds the arguments that name a cluster."""
    parser.add_argument("--engine", choices=("local", "ray"), default="local",
                        help="where episodes are played: in this process, or by workers on a Ray "
                        "cluster (default: local)")  # fmt: skip
    parser.add_argument("--address", metavar="HOST:PORT",
                        help="of the Ray cluster, or auto (default: RAY_ADDRESS, else Ray is "
                        "started on this machine)")  # fmt: skip
    parser.add_argument("--workers", metavar="N",
                        help="workers on the cluster (default: one for each CPU, or each GPU "
                        "where a checkpoint is played)")  # fmt: skip


def cluster(arguments: argparse.Namespace) -> Cluster | None:
    """Returns the cluster that the arguments name; None: this process.

    Raises:
        UsageError: they name one and do not ask for it, or no number of workers.
    """
    address, workers = arguments.address, arguments.workers
    if arguments.engine == "local":
        if address is not None or workers is not None:
            option = "--address" if address is not None else "--workers"
            raise UsageError(f"{option} {address or workers!r} is of a cluster: add --engine ray")
        return None
    if workers is not None and not (workers.isdecimal() and int(workers) >= 1):
        raise UsageError(f"--workers {workers!r}: give a whole number of at least 1")
    return Cluster(address, int(workers) if workers is not None else None)


def check(cluster: Cluster) -> None:
    """Finds out, before anything is begun, whether there is a cluster.

    Raises:
        UsageError: Ray is not installed, or the address is wrong or answers nothing.
    """
    _ray().check_address(cluster.address)


def crew(job: Job[T], cluster: Cluster) -> Crew[T]:
    """Returns the workers of a cluster, which come up meanwhile. Raises UsageError: see `check`."""
    found: Crew[T] = _ray().Crew(job, cluster)
    return found


def _ray() -> ModuleType:
    try:
        from okrt.engines import ray  # Ray: imported for a cluster alone
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise UsageError("--engine ray needs: pip install 'okrt[ray]'") from None
    return ray
