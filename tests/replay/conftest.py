"""Sandboxes for the tests of replay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from okrt.runtimes.host import ZygoteRuntime
from tests.replay.recording import Short


@pytest.fixture(scope="package")
def runtime() -> Iterator[ZygoteRuntime]:
    with ZygoteRuntime() as runtime:
        yield runtime


@pytest.fixture(scope="package")
def short() -> Iterator[Short]:
    runtime = Short()
    yield runtime
    runtime.close()
