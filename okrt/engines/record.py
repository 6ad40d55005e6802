"""The record of a session: a run directory that begins, or that an earlier session left unfinished.

Knows nothing of tests: the plugin and `okrt run` write through it.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from okrt import plan
from okrt.analysis.brief import Brief
from okrt.analysis.cells import Table
from okrt.analysis.rows import row
from okrt.engines import resuming
from okrt.engines.finished import NOTHING, Finished, finished
from okrt.engines.limits import SessionLimits
from okrt.engines.pace import Pace
from okrt.engines.runner import Runner
from okrt.errors import StoreError
from okrt.index import missing_shards, plan_in, shards_in
from okrt.models.endpoint import names_server
from okrt.plan import Key, Plan, key_of
from okrt.redact import arguments_without_secrets, without_secrets
from okrt.report.colour import Paint, unpainted
from okrt.report.contrasts import Claims
from okrt.report.directory import Derivation
from okrt.report.html.writing import BY_ITSELF, PAGE, write_page
from okrt.report.texts import time_spent
from okrt.runtimes.contracts import PERSISTENT
from okrt.selection.arguments import Options
from okrt.selection.cases import CaseSpec
from okrt.store import GATES, RunDirectory, read_run
from okrt.types import Episode, Failure, Limits, ModelCard, Runtime

_PACKAGES = (
    "okrt", "pytest", "pytest-xdist", "msgspec", "numpy", "scipy", "torch", "transformers", "peft",
    "openai",
)  # fmt: skip


NO_GATES = "no gates: nothing was decided"


class Record:
    """Writes episodes as they come, each once; derives rows and the report at the end.

    Args:
        path: the run directory.
        options: what the user asked for; `resume` says whether the directory is there already.
        command: the program and its arguments.
        folder: whose commit is noted.
    """

    def __init__(self, path: Path, options: Options, command: Sequence[str], folder: Path) -> None:
        self.path = path
        self.finished: Finished = NOTHING
        """What earlier sessions left."""
        self.not_run: set[str] = set()
        """Cases for which there was no time or there were no tokens."""
        self.not_written = ""
        """Why the end of the record could not be written, or nothing."""
        self._page = ""
        """Where the page is, or how to write it."""
        self.limits = SessionLimits(options.max_hours, options.max_tokens)
        self._options, self._command, self._folder = options, command, folder
        self._salt = None if options.salt is None else options.salt.digest
        self._sources: dict[str, str] = {}
        self._directory: RunDirectory | None = None
        self._run: dict[str, Any] = {}
        self._plan: Plan = ()
        self._derivation = Derivation(path)
        self._seen: set[Key] = set()
        self._broken: dict[Key, Failure] = {}
        self._underived: Episode | None = None
        self._pace = Pace()

    @property
    def is_open(self) -> bool:
        """Whether it was ever opened."""
        return self._directory is not None

    def open(
        self,
        wanted: Iterable[Key],
        runner: Runner,
        manifest: Mapping[str, Any] | None = None,
        cases: Iterable[CaseSpec] = (),
        shard: str | None = None,
        families: Mapping[str, str] | None = None,
    ) -> None:
        """Makes the run directory, or goes on in it if it holds the same work: whether its tasks
        are those of today is asked of the `cases`. `families` are sources, as those of the options.

        Raises:
            okrt.errors.UsageError: it cannot be made, holds other work or is being written; or a
                model cannot be had.
            okrt.errors.RuntimeFailure: no sandbox can be had.
        """
        runner.runtime.open(PERSISTENT, {}, Limits()).close()
        self._sources = {**self._options.sources, **(families or {})}
        keys = set(wanted)
        self._run = read_run(self.path) if self._options.resume else {}
        if self._options.resume:
            self._plan = self._same_work(keys, runner, cases, shard)
            self._directory = RunDirectory.resume(self.path)
            self.finished = finished(self.path)  # anew: failures are gone, so they lie elsewhere
            self._seen = set(self.finished)
        else:
            self._plan = plan.plan_of(keys)
            cards = self._cards({key.model for key in keys}, runner)
            self._run |= {"models": {one: resuming.facts(card) for one, card in cards.items()}}
        self._begin(runner.runtime, manifest or {}, shard)
        with suppress(OSError):  # what an earlier session decided is not of what this one will hold
            (self.path / GATES).unlink()
        if self._directory is None:
            self._directory = RunDirectory.create(self.path, self._run)
        else:
            self._directory.write_run(self._run)
        self._derivation = Derivation(self.path)  # its rows wait in that directory
        self._pace = Pace()

    def add(self, episode: Episode) -> None:
        """Writes an episode unless it is there already. Raises StoreError: it cannot be written."""
        key = key_of(episode)
        if self._directory is None or key in self._seen:
            return
        if episode.task.salt != self._salt:
            raise StoreError(
                f"{episode.task.id} was drawn by the salt {episode.task.salt}, this run is of "
                f"{self._salt}: the file was changed while the session ran"
            )
        self._directory.append(episode)
        self._seen.add(key)
        self._underived = episode  # Ctrl-C may come before its row is there
        if episode.failure is not None:
            self._broken[key] = episode.failure
        derived = row(episode)
        self._derivation.add(derived)
        self._underived = None
        self._pace.add(derived)
        self.limits.spend(episode)

    def close(self) -> None:
        """Writes what is derived from the episodes; nothing if no case was run."""
        if self._directory is None:
            return
        try:
            if self._underived is not None:
                self._derivation.add(row(self._underived))
            for key in self.finished:
                self._derivation.add(row(self.finished.read(key)))
            self._run |= {"complete": self.complete, "not_run": sorted(self.not_run)}
            self._directory.write_run(self._run)
            self._derivation.write(self._run)
            self._directory.close()
        except StoreError as error:
            self.not_written = str(error)
        finally:
            self._derivation.close()
            with suppress(StoreError):  # of what the file system tells last, said before
                self._directory.close()

    def write_page(self) -> None:
        """Writes the page of a run that is not large; after all else is on the disk, what was
        decided included. Raises nothing: no session is lost for a page, which can be made later."""
        if not self.is_open or self.not_written:
            return
        later = f"okrt report {shlex.quote(shown(self.path))} --html"
        if len(self._derivation.briefs) > BY_ITSELF:
            with suppress(OSError):  # an earlier session's, of fewer episodes
                (self.path / PAGE).unlink()
            self._page = f"page: {later}"
            return
        try:
            self._page = f"page: {shown(self._written())}"
        except (Exception, KeyboardInterrupt) as error:
            why = without_secrets(str(error) or type(error).__name__)
            self._page = f"page: not written ({why}); to write it: {later}"

    def _written(self) -> Path:
        held = self._derivation
        return write_page(self.path, made=held.tables, said=held.claims)

    @property
    def complete(self) -> bool:
        """Whether every case of the plan has an episode that no infrastructure broke off. Runs that
        were joined while shards were missing lack those: their plan does not name them."""
        joined = shards_in(self._run) if self._run.get("shards") else frozenset()
        done = self._seen - self._broken.keys()
        return not missing_shards(joined) and all(key in done for key in plan.keys_of(self._plan))

    def progress(self) -> str:
        """Returns how many episodes there are, how fast they come, and when they will be there."""
        return self._pace.text(len(self._seen), plan.size(self._plan))

    @property
    def held(self) -> tuple[Mapping[str, Any], Sequence[Brief]]:
        """The `run.json` and the rows; after `close`."""
        return self._run, self._derivation.briefs

    @property
    def results(self) -> tuple[Sequence[Table], Sequence[Claims]]:
        """The tables, and what is claimed of the models of each; after `close`."""
        return self._derivation.tables, self._derivation.claims

    def summary(
        self, width: int, paint: Paint = unpainted, gates: Sequence[str] = (NO_GATES,)
    ) -> str:
        """Returns the tables, what there is to say of the session, and what was decided; after
        `close`."""
        lines = [self._derivation.terminal(width, paint).rstrip("\n"), ""]
        complete = self.complete
        broken = len(self._broken)
        done, size = len(self._seen) - broken, plan.size(self._plan)
        unkept = [one.message for one in self._broken.values() if one.boundary == "contract"]
        if not complete:
            apart = f", {broken} broken off by infrastructure" if broken else ""
            lines.append(f"incomplete: {done} of {size} episodes{apart}")
        if self.not_run:
            why = self.limits.over() or "the time of their cell was over"
            lines.append(f"not run, {why}: {len(self.not_run)} cases")
        if spent := time_spent(self._derivation.briefs):
            lines.append(spent)
        if self.not_written:
            lines.append(f"not written: {self.not_written}")
        lines.append(f"run: {shown(self.path)}")
        if self._page:
            lines.append(self._page)
        if unkept:
            lines.append(f"a runtime broke its protocol, mend it and begin a new run: {unkept[0]}")
        if not complete and not (unkept and len(unkept) == size - done):
            lines.append(f"to go on: {going_on(self._command, self.path)}")
        if complete and self._options.baseline is not None:
            sides = [shown(path) for path in (self.path, self._options.baseline)]
            lines.append(f"to compare: {shlex.join(['okrt', 'compare', *sides])}")
        return "\n".join([*lines, *gates])

    def _same_work(
        self, keys: set[Key], runner: Runner, cases: Iterable[CaseSpec], shard: str | None
    ) -> Plan:
        """Returns the plan of the run that is gone on with. Raises UsageError: it is of something
        else."""
        path, run, options = self.path, self._run, self._options
        resuming.check_version(path, run)
        resuming.check_settings(path, run, options.settings, options.axes)
        resuming.check_salt(path, run, self._salt)
        resuming.check_shard(path, run, shard)
        planned = plan_in(run) or ()
        resuming.check_plan(path, planned, keys)
        there = finished(path)
        sources = resuming.sources_of(path, run, self._sources, keys, there)
        resuming.check_tasks(path, there, cases)
        cards = self._cards({key.model for key in keys if key not in there}, runner)
        resuming.check_models(path, run, cards)
        resuming.check_names(path, there, cards, options.contracts, options.settings)
        known = {one: resuming.facts(card) for one, card in cards.items()}
        run["models"] = {**known, **run.get("models", {})}
        run["sources"] = sources
        return planned

    def _cards(self, labels: set[str], runner: Runner) -> dict[str, ModelCard]:
        """Returns the cards of the models; a server is asked for one only where its label is among
        `labels`."""
        return {
            model.label: runner.card(model)
            for model in self._options.models
            if model.label in labels or not names_server(model.given)
        }

    def _begin(self, runtime: Runtime, manifest: Mapping[str, Any], shard: str | None) -> None:
        """Notes the session in what will be `run.json`."""
        session = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": arguments_without_secrets(self._command[1:]),
            "sandbox": {"isolation": runtime.isolation, "landlock_abi": runtime.landlock_abi},
            "versions": {"python": platform.python_version(), **_versions()},
            "commit": _commit(self._folder),
            "machine": {
                "system": platform.system(),
                "release": platform.release(),
                "machine": platform.machine(),
                "cpus": os.cpu_count(),
            },
        }
        fresh = {
            "okrt": metadata.version("okrt"),
            **session,
            "settings": msgspec.to_builtins(self._options.settings),
            "axes": msgspec.to_builtins(self._options.axes),
            "manifest": manifest,
            "shard": shard,
            "salt": self._salt,
            "sources": self._sources,
        }
        self._run = {
            **fresh,
            **self._run,
            "plan": msgspec.to_builtins(self._plan),
            "sessions": [*self._run.get("sessions", []), {**session, "asked": self._asked()}],
            "complete": False,
            "not_run": [],
        }
        self._run.pop("schema", None)  # the store's

    def _asked(self) -> dict[str, list[str]]:
        asked = self._options.asked
        return {"models": list(asked.models), "runtimes": list(asked.contracts)}


def going_on(command: Sequence[str], run: Path) -> str:
    """Returns the command that goes on with a run."""
    kept: list[str] = []
    words = iter(command)
    for word in words:
        if word in _PLACES:
            next(words, None)
        elif word.partition("=")[0] not in _PLACES:
            kept.append(word)
    option = "--okrt-resume" if command[:1] == ["pytest"] else "--resume"
    return shlex.join([*arguments_without_secrets(kept), option, shown(run)])


_PLACES = ("--okrt-out", "--out", "--okrt-resume", "--resume")


def _versions() -> dict[str, str]:
    """Returns the versions of those packages that are installed."""
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit(folder: Path) -> str | None:
    """Returns the commit the evaluations stand at, or None outside a git checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  the user's own git
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def shown(path: Path) -> str:
    """Returns the path as it is shown: from the working directory, where it lies within."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
