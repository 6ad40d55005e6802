"""The runtime as the rest of okrt sees it: sessions over one zygote per host process."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from okrt.errors import RuntimeFailure
from okrt.runtimes.process import ZygoteProcess
from okrt.runtimes.session import ZygoteSession
from okrt.runtimes.tools import Toolbox
from okrt.types import Contract, Limits


class ZygoteRuntime:
    """Satisfies `okrt.types.Runtime`; share one among all threads of a process.

    The zygote starts with the first session, and anew after it has died or the host has forked. It
    does not promise to contain hostile code: blocks run as the host's user, see `isolation`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zygote: ZygoteProcess | None = None
        self._sessions: weakref.WeakSet[ZygoteSession] = weakref.WeakSet()
        _RUNTIMES.add(self)

    @property
    def isolation(self) -> str:
        """A process and group of its own, resource limits, a minimal environment, and no more:
        files and network are open to a block."""
        return "process"

    def open(
        self,
        contract: Contract,
        tools: Mapping[str, Callable[..., Any]],
        limits: Limits,
        seed: str = "",
    ) -> ZygoteSession:
        """Returns a new session; the process of its first block is forked meanwhile.

        Raises:
            okrt.errors.RuntimeFailure: no sandbox can be started.
            okrt.errors.FamilyError: a tool has no usable name or signature.
        """
        if sys.platform != "linux":
            raise RuntimeFailure(
                f"the sandbox needs Linux, this is {sys.platform}: use a container"
            )
        toolbox = Toolbox(tools)
        with self._lock:
            session = ZygoteSession(self._living_zygote(), contract, toolbox, limits, seed)
            self._sessions.add(session)
        return session

    def _living_zygote(self) -> ZygoteProcess:
        if self._zygote is None or not self._zygote.alive:
            if self._zygote is not None:
                self._zygote.stop()
            self._zygote = ZygoteProcess()
        return self._zygote

    def close(self) -> None:
        """Every session and process is gone, when this returns. A later `open` starts afresh."""
        with self._lock:
            for session in list(self._sessions):
                session.close()
            if self._zygote is not None:
                self._zygote.stop()
            self._zygote = None

    def _abandon(self) -> None:
        """After a fork of the host, in the new process: nothing here is shared with the parent."""
        self._lock = threading.Lock()
        for session in list(self._sessions):
            session.abandon()
        if self._zygote is not None:
            self._zygote.abandon()
        self._zygote = None

    def __enter__(self) -> ZygoteRuntime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_RUNTIMES: weakref.WeakSet[ZygoteRuntime] = weakref.WeakSet()


def _abandon_all() -> None:
    for runtime in list(_RUNTIMES):
        runtime._abandon()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_abandon_all)
