"""The record of a pytest session: written by one process, the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from okrt.engines.record import Record
from okrt.engines.runner import Runner
from okrt.errors import OkrtError, StoreError
from okrt.plan import AXES, Key
from okrt.redact import without_secrets
from okrt.selection.arguments import Options
from okrt.selection.cases import CaseSpec
from okrt.types import Episode
from pytest_okrt.workers import Collected


class Recorder:
    """An `okrt.engines.record.Record` that ends the session where it cannot be written."""

    def __init__(self, config: pytest.Config, options: Options, path: Path) -> None:
        arguments = [str(argument) for argument in config.invocation_params.args]
        self.record = Record(path, options, ["pytest", *arguments], config.rootpath)
        self.manifest: Mapping[str, Any] = {}

    def start(self, collected: Collected, runner: Runner, cases: Sequence[CaseSpec]) -> None:
        """Makes the run directory, or goes on in it. Where that, a sandbox or a model cannot be
        had, ends the session with one line."""
        manifest = self.manifest = collected.cases
        keys, families = map(_key, manifest.values()), collected.sources
        try:
            self.record.open(keys, runner, manifest, cases, families=families)
        except OkrtError as error:
            line = without_secrets(str(error))
            pytest.exit(f"okrt: {line}", returncode=pytest.ExitCode.USAGE_ERROR)

    def add(self, episode: Episode) -> None:
        """Writes an episode unless it is there already."""
        try:
            self.record.add(episode)
        except StoreError as error:
            pytest.exit(f"okrt: {error}", returncode=pytest.ExitCode.INTERNAL_ERROR)


def _key(case: Mapping[str, Any]) -> Key:
    return Key(
        case["family"],
        case["tier"],
        "eval",
        case["model"],
        case["contract"],
        case["repeat"],
        case["seed"],
        *(case[axis] for axis in AXES),
    )
