"""The runtime as the rest of okrt sees it: sessions over one zygote per host process, if any."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

from okrt.errors import RuntimeFailure
from okrt.runtimes.packages import roots
from okrt.runtimes.plain import PlainProcesses
from okrt.runtimes.process import Ground, ZygoteProcess
from okrt.runtimes.remedies import elsewhere, refusal, unreadable
from okrt.runtimes.session import Processes, ZygoteSession
from okrt.runtimes.tiers import NONE, UNSAFE
from okrt.runtimes.tools import Toolbox
from okrt.types import Contract, Limits

Tier = Literal["T0", "T1", "none"]
TIERS: tuple[Tier, ...] = ("T1", "T0")
"""The best first; `none` only for who asks for it."""


class ZygoteRuntime:
    """Satisfies `okrt.types.Runtime`; share one among all threads of a process.

    The zygote starts with the first session, and anew after it has died or the host has forked.

    Args:
        unsafe: run blocks with the host's own rights: its files and the network are open to them.
            Off Linux this is the tier `none`, and there is no other.
        packages: import names of the host's environment that blocks may import; no others.
        tier: the tier to use; None: the best that this machine offers. `none` is a plain process
            for each session or stateless block, see `okrt.runtimes.plain`: no isolation.
    """

    def __init__(
        self, unsafe: bool = False, packages: Sequence[str] = (), tier: Tier | None = None
    ) -> None:
        best: Sequence[str] = TIERS if tier is None else (tier,)
        open_tier = UNSAFE if sys.platform == "linux" and tier != NONE else NONE
        self._tiers = (open_tier,) if unsafe else best
        self._packages = roots(packages)
        self._ground: Ground | None = None
        self._lock = threading.Lock()
        self._processes: Processes | None = None
        self._sessions: weakref.WeakSet[ZygoteSession] = weakref.WeakSet()
        _RUNTIMES.add(self)

    @property
    def isolation(self) -> str:
        """`T1`, `T0`, `unsafe` or `none`, see docs/sandbox.md. Starts the zygote if need be.

        Raises:
            okrt.errors.RuntimeFailure: no sandbox can be started.
        """
        return str(self._known().tier)

    @property
    def landlock_abi(self) -> int | None:
        """The version of Landlock in use; None: it has no part. Starts the zygote if need be.

        Raises:
            okrt.errors.RuntimeFailure: no sandbox can be started.
        """
        return self._known().landlock_abi

    def _known(self) -> Ground:
        with self._lock:
            return self._ground or self._living().ground

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
            session = ZygoteSession(self._living(), contract, toolbox, limits, seed)
            self._sessions.add(session)
        return session

    def _living(self) -> Processes:
        if self._processes is None or not self._processes.alive:
            if self._processes is not None:
                self._processes.stop()
            self._processes = None
            self._processes = self._started()
            self._ground = self._processes.ground
        return self._processes

    def _started(self) -> Processes:
        if NONE in self._tiers:
            return PlainProcesses(self._packages)
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
        return zygote

    def close(self) -> None:
        """Every session and process is gone, when this returns. A later `open` starts afresh."""
        with self._lock:
            for session in list(self._sessions):
                session.close()
            if self._processes is not None:
                self._processes.stop()
            self._processes = None

    def _abandon(self) -> None:
        """After a fork of the host, in the new process: nothing here is shared with the parent."""
        self._lock = threading.Lock()
        for session in list(self._sessions):
            session.abandon()
        if self._processes is not None:
            self._processes.abandon()
        self._processes = None

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
