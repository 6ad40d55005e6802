"""The run directories of workers on other machines, inside the run directory that they work for.

A worker that sees the directory keeps there what it has finished, so that nothing is lost should
the process in charge be killed with episodes on their way to it. One that does not see it, because
its machine shares no file system, hands over alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from okrt.errors import StoreError
from okrt.store import EPISODES, RunDirectory, read_episodes
from okrt.types import Episode

SHARDS = "shards"
_TOKEN = "token"  # noqa: S105  tells two directories of one name apart, and is no secret


def offer(run: Path) -> str:
    """Makes the place for shards; returns what a worker tells it by.

    Raises:
        StoreError: it cannot be written.
    """
    token = token_hex(8)
    try:
        (run / SHARDS).mkdir(exist_ok=True)
        (run / SHARDS / _TOKEN).write_text(token)
    except OSError as error:
        raise StoreError(f"cannot write {run / SHARDS}: {error.strerror}") from None
    return token


def open_shard(run: Path, token: str, worker: str) -> RunDirectory | None:
    """Returns a new run directory of a worker; None where this is not the directory that was
    offered, but one of the same name on another machine, or none.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        offered = (run / SHARDS / _TOKEN).read_text() == token
    except OSError:
        offered = False
    path = run / SHARDS / worker
    return RunDirectory.create(path, {"worker": worker, "complete": False}) if offered else None


def left(run: Path) -> Iterator[Episode]:
    """Yields the finished episodes in the shards of a run; some may have been handed over."""
    for path in sorted((run / SHARDS).glob(f"*/{EPISODES}")):
        for found in read_episodes(path.parent):
            if isinstance(found, Episode) and found.failure is None:
                yield found


def remove(run: Path) -> None:
    """Removes the shards of a run, once what is left in them was taken up."""
    with suppress(OSError):
        shutil.rmtree(run / SHARDS)
