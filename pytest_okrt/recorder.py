"""The run directory of a session: written by one process, the controller."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.rows import row
from okrt.errors import StoreError
from okrt.redact import without_secrets
from okrt.report.directory import Derivation
from okrt.report.texts import time_spent
from okrt.selection.arguments import Options
from okrt.store import RunDirectory
from okrt.types import Episode, Runtime

PROGRESS_S = 10.0
_PACKAGES = (
    "okrt", "pytest", "pytest-xdist", "msgspec", "numpy", "scipy", "torch", "transformers", "peft",
    "openai",
)  # fmt: skip


class Recorder:
    """Writes episodes as they come, each once; derives rows and the report at the end."""

    def __init__(self, config: pytest.Config, options: Options, path: Path) -> None:
        self.path = path
        self.manifest: Mapping[str, Any] = {}
        self.not_run: set[str] = set()
        """Tests for whose cases the time of their cell was over."""
        self.not_written = ""
        """Why the end of the record could not be written, or nothing."""
        self._config = config
        self._options = options
        self._directory: RunDirectory | None = None
        self._derivation = Derivation(path)
        self._sandbox: dict[str, Any] = {}
        self._seen: set[str] = set()
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = self._spoke = monotonic()

    def start(self, manifest: Mapping[str, Any], runtime: Runtime) -> None:
        """Makes the run directory. Ends the session with one line if that cannot be done."""
        self.manifest = manifest
        self._sandbox = {"isolation": runtime.isolation, "landlock_abi": runtime.landlock_abi}
        self._started = monotonic()
        try:
            self._directory = RunDirectory.create(self.path, self._run(complete=False))
        except StoreError as error:
            pytest.exit(f"okrt: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
        self._derivation = Derivation(self.path)  # its rows wait in that directory

    def add(self, episode: Episode) -> None:
        """Writes an episode unless it is there already."""
        if self._directory is None or episode.id in self._seen:
            return
        try:
            self._directory.append(episode)
            self._seen.add(episode.id)
            self._derivation.add(row(episode))
        except StoreError as error:
            pytest.exit(f"okrt: {error}", returncode=pytest.ExitCode.INTERNAL_ERROR)
        self._progress()

    def close(self) -> None:
        """Writes what is derived from the episodes; nothing if no case was run."""
        if self._directory is None:
            return
        try:
            self._directory.close()
            run = self._run(complete=self.complete)
            self._directory.write_run(run)
            self._derivation.write(run)
        except StoreError as error:
            self.not_written = str(error)
        finally:
            self._derivation.close()

    @property
    def _briefs(self) -> list[Brief]:
        return self._derivation.briefs

    @property
    def complete(self) -> bool:
        """Whether every case of the manifest has an episode that no infrastructure kept from
        ending."""
        have = {_coordinates(row) for row in self._briefs if row.failure is None}
        return {_wanted(case) for case in self.manifest.values()} <= have

    def summary(self, width: int) -> str:
        """Returns the text of the terminal summary."""
        wanted = len({_wanted(case) for case in self.manifest.values()})
        lines = [self._derivation.terminal(width).rstrip("\n"), ""]
        if not self.complete:
            broken = sum(row.failure is not None for row in self._briefs)
            apart = f", {broken} broken off by infrastructure" if broken else ""
            lines.append(f"incomplete: {len(self._briefs) - broken} of {wanted} episodes{apart}")
        if self.not_run:
            lines.append(f"not run, the time of their cell was over: {len(self.not_run)} cases")
        if spent := time_spent(self._briefs):
            lines.append(spent)
        if self.not_written:
            lines.append(f"not written: {self.not_written}")
        lines += [f"run: {_shown(self.path)}", "no gates: nothing was decided"]
        return "\n".join(lines)

    def _progress(self) -> None:
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        now = monotonic()
        if reporter is None or not reporter.isatty or self._config.getoption("verbose") < 0:
            return
        if now - self._spoke < PROGRESS_S:
            return
        self._spoke = now
        wanted = len({_wanted(case) for case in self.manifest.values()})
        rate = len(self._briefs) / (now - self._started)
        left = (wanted - len(self._briefs)) / rate
        reporter.ensure_newline()
        reporter.write_line(
            f"okrt: {len(self._briefs)}/{wanted} episodes, {rate:.1f}/s, {left / 60:.1f} min left"
        )

    def _run(self, complete: bool) -> dict[str, Any]:
        return {
            "okrt": metadata.version("okrt"),
            "created": self._created,
            "arguments": [without_secrets(str(a)) for a in self._config.invocation_params.args],
            "sandbox": self._sandbox,
            "settings": msgspec.to_builtins(self._options.settings),
            "versions": {"python": platform.python_version(), **_versions()},
            "commit": _commit(self._config.rootpath),
            "machine": {
                "system": platform.system(),
                "release": platform.release(),
                "machine": platform.machine(),
                "cpus": os.cpu_count(),
            },
            "manifest": self.manifest,
            "complete": complete,
            "not_run": sorted(self.not_run),
        }


def _coordinates(row: Brief) -> tuple[Any, ...]:
    return (row.family, row.tier, row.seed, row.repeat, row.model, row.contract)


def _wanted(case: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(case[key] for key in ("family", "tier", "seed", "repeat", "model", "contract"))


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


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
