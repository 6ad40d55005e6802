"""Sessions of pytest that play models of the study, each into a run directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from okrt.errors import UsageError
from okrt.store import RUN, Problem, read_episodes, read_run
from okrt.types import Episode
from training.tiny.making import say
from training.tiny.play import EVALUATED

ROOT = Path(__file__).parents[2]
_REFUSED = 4
"""How pytest ends where its options cannot be."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is played, and the run directory that holds it."""

    run: Path
    models: tuple[str, ...]
    """As `--model` takes them."""
    episodes: int
    """Of each cell."""
    options: tuple[str, ...] = ()
    evaluation: str = "evals"

    @property
    def complete(self) -> bool:
        return self.run.is_dir() and read_run(self.run).get("complete") is True

    @property
    def found(self) -> list[Episode]:
        return [found for found in read_episodes(self.run) if not isinstance(found, Problem)]


def play_missing(sessions: Sequence[Session], jobs: int) -> None:
    """Plays the sessions that are not complete, so many at a time.

    Raises:
        UsageError: pytest fails; its output stands beside the run.
    """
    missing = [one for one in sessions if not one.complete]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(play_session, missing))


def play_session(session: Session) -> None:
    """Goes on with a session where it was broken off; one that cannot be gone on with (of another
    size, or of another okrt) is played anew.

    Raises:
        UsageError: see `play_missing`.
    """
    session.run.parent.mkdir(parents=True, exist_ok=True)
    ended = _REFUSED
    if (session.run / RUN).exists():
        ended = _pytest(session, "--okrt-resume")
    if ended == _REFUSED:
        shutil.rmtree(session.run, ignore_errors=True)
        ended = _pytest(session, "--okrt-out")
    if ended:
        raise UsageError(f"playing {session.run.name} failed; see {_log(session)}")
    say(f"{session.run.name}: played")


def _pytest(session: Session, into: str) -> int:
    call = [sys.executable, "-m", "pytest", str(ROOT / session.evaluation), *EVALUATED]
    call += ["--okrt-seeds", str(session.episodes), into, str(session.run.resolve())]
    call += [*session.options, *(part for name in session.models for part in ("--model", name))]
    with _log(session).open("w", encoding="utf-8") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(  # noqa: S603  # our own command
            call, stdout=output, stderr=output, env=environment, check=False, cwd=ROOT
        ).returncode


def _log(session: Session) -> Path:
    return session.run.with_name(f"{session.run.name}.log")
