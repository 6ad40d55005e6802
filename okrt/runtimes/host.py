"""The runtime as the rest of okrt sees it: sessions over one zygote per host process."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

from okrt.errors import RuntimeFailure
from okrt.runtimes.isolation import UNSAFE
from okrt.runtimes.packages import roots
from okrt.runtimes.process import Ground, ZygoteProcess
from okrt.runtimes.remedies import elsewhere, refusal, unreadable
from okrt.runtimes.session import ZygoteSession
from okrt.runtimes.tools import Toolbox
from okrt.types import Contract, Limits

Tier = Literal["T0", "T1"]
TIERS: tuple[Tier, ...] = ("T1", "T0")
"""The best first."""


class ZygoteRuntime:
    """Satisfies `okrt.types.Runtime`; share one among all threads of a process.

    The zygote starts with the first session, and anew after it has died or the host has forked.

    Args:
        unsafe: run blocks with the host's own rights: its files and the network are open to them.
        packages: import names of the host's environment that blocks may import; no others.
        tier: the tier to use; None: the best that this machine offers.
    """

    def __init__(
        self, unsafe: bool = False, packages: Sequence[str] = (), tier: Tier | None = None
    ) -> None:
        best: Sequence[str] = TIERS if tier is None else (tier,)
        self._tiers = (UNSAFE,) if unsafe else best
        self._packages = roots(packages)
        self._ground: Ground | None = None
        self._lock = threading.Lock()
        self._zygote: ZygoteProcess | None = None
        self._sessions: weakref.WeakSet[ZygoteSession] = weakref.WeakSet()
        _RUNTIMES.add(self)

    @property
    def isolation(self) -> str:
        """`T1`, `T0` or `unsafe`, see `okrt.runtimes.isolation`. Starts the zygote if need be.

        Raises:
            okrt.errors.RuntimeFailure: no sandbox can be started.
        """
        return str(self._known().tier)

    @property
    def landlock_abi(self) -> int | None:
        """The version of Landlock in use; None: unsafe. Starts the zygote if need be.

        Raises:
            okrt.errors.RuntimeFailure: no sandbox can be started.
        """
        return self._known().landlock_abi

    def _known(self) -> Ground:
        with self._lock:
            return self._ground or self._living_zygote().ground

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
        toolbox = Toolbox(tools)
        with self._lock:
            session = ZygoteSession(self._living_zygote(), contract, toolbox, limits, seed)
            self._sessions.add(session)
        return session

    def _living_zygote(self) -> ZygoteProcess:
        if self._zygote is None or not self._zygote.alive:
            if self._zygote is not None:
                self._zygote.stop()
            self._zygote = None
            if sys.platform != "linux":
                raise RuntimeFailure(elsewhere())
            zygote = ZygoteProcess(self._tiers, self._packages)
            if zygote.ground.tier is None:
                raise RuntimeFailure(refusal(zygote.ground.problems))
            if zygote.ground.tier == "T0" and os.geteuid() == 0:
                problem = unreadable(self._packages)
                if problem:
                    zygote.stop()
                    raise RuntimeFailure(problem)
            self._zygote, self._ground = zygote, zygote.ground
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
