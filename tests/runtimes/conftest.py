"""One runtime for all tests here, and a short way to run blocks in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import pytest

from okrt.runtimes.contracts import PERSISTENT
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, Execution, Limits

Tools = Mapping[str, Callable[..., Any]]


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


@pytest.fixture(scope="session")
def runtime() -> Iterator[ZygoteRuntime]:
    with ZygoteRuntime() as runtime:
        yield runtime


@pytest.fixture
def play(runtime: ZygoteRuntime) -> Play:
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
