"""One runtime for all tests here, and a short way to run blocks in it.

It is of the best tier; `OKRT_TEST_TIER` names another, and the whole folder then runs on that.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, get_args

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes.contracts import PERSISTENT
from okrt.runtimes.host import Tier, ZygoteRuntime
from okrt.types import Contract, Execution, Limits
from tests.runtimes.interpreters import open_interpreter

Tools = Mapping[str, Callable[..., Any]]
HOST_PYTHON = sys.executable
TIERS = ("T0", "T1", "unsafe")

sandboxed = pytest.mark.parametrize(
    "tier", ["T0", "T1", pytest.param("unsafe", marks=pytest.mark.thorough)], indirect=True
)
"""For what takes long: `unsafe` is the machinery of T0 without the walls."""


class Play(Protocol):
    def __call__(
        self,
        *blocks: str,
        contract: Contract = PERSISTENT,
        tools: Tools | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        seed: str = "",
    ) -> list[Execution]:
        """Runs blocks in a session of their own."""
        ...


def of_tier(tier: str | None) -> ZygoteRuntime:
    if tier == "unsafe":
        return ZygoteRuntime(unsafe=True)
    return ZygoteRuntime(tier=next((one for one in get_args(Tier) if one == tier), None))


@pytest.fixture(scope="session")
def host_python() -> str:
    """The interpreter that has what okrt needs."""
    return HOST_PYTHON


@pytest.fixture(scope="session", autouse=True)
def interpreter() -> Iterator[None]:
    """Whatever the tier, and whoever runs the tests, the sandbox can be started."""
    with open_interpreter():
        yield


@pytest.fixture(scope="session")
def runtime(interpreter: None) -> Iterator[ZygoteRuntime]:
    with of_tier(os.environ.get("OKRT_TEST_TIER")) as runtime:
        yield runtime


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, interpreter: None) -> str:
    """Each tier that this machine offers to this user; T0 and `unsafe` it has to."""
    tier: str = request.param
    if tier == "T1":
        try:
            with of_tier(tier) as runtime:
                assert runtime.isolation == tier
        except RuntimeFailure as error:
            pytest.skip(f"not measured: {error}")
    return tier


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files, a new one; users that nobody has can enter it."""
    with tempfile.TemporaryDirectory(prefix="okrt-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield folder


@pytest.fixture
def play(runtime: ZygoteRuntime) -> Play:
    return playing(runtime)


def playing(runtime: ZygoteRuntime) -> Play:
    def run(
        *blocks: str,
        contract: Contract = PERSISTENT,
        tools: Tools | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        seed: str = "",
    ) -> list[Execution]:
        with runtime.open(contract, tools or {}, limits, seed) as session:
            return [session.execute(block) for block in blocks]

    return run
