"""What this machine can do, found out by doing it."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from okrt.errors import RuntimeFailure
from okrt.runtimes import remedies
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import TIERS, Tier, ZygoteRuntime
from okrt.runtimes.process import ZygoteProcess
from okrt.types import Contract, Limits

_STEPS = 30


@dataclass(frozen=True, slots=True)
class Assessment:
    """Which tier this machine offers, and why not more."""

    tier: Tier | None
    landlock_abi: int | None
    reasons: Mapping[str, str]
    """What keeps it from a better tier, by tier."""
    remedies: tuple[str, ...]
    """What to do about that, in the order of `reasons`."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the sandbox did when it was tried."""

    denied: Mapping[str, bool]
    """Whether it kept a block from what no block may do, by what that is."""
    start_ms: float
    step_ms: Mapping[str, float]
    """Median of an empty block, by contract."""


_DENIED = ("PermissionError", "FileNotFoundError", "OSError")
"""The last: what is there is on a read-only file system."""

FORBIDDEN = {
    "read a file of the machine": "open('/etc/passwd').read()",
    "write outside its directory": "import os; os.open('/tmp', os.O_TMPFILE | os.O_WRONLY)",
    "start a process": "import os; os.fork()",
    "run a program": "import os; os.execv('/bin/true', ['true'])",
    "open a connection": "import socket; socket.socket()",
    "signal another process": "import os; os.kill(os.getppid(), 0)",
    "make memory that no limit counts": "import os; os.memfd_create('x')",
}


def assess() -> Assessment:
    """Puts a throwaway process through the whole set-up of each tier, the best first."""
    reasons: dict[str, str] = {}
    ways: list[str] = []
    if sys.platform != "linux":
        return Assessment(
            None, None, {"T0": f"{sys.platform} is no Linux"}, (remedies.elsewhere(),)
        )
    for tier in TIERS:
        try:
            zygote = ZygoteProcess((tier,), {})
        except RuntimeFailure as error:
            reasons[tier] = str(error)
        else:
            zygote.stop()
            if zygote.ground.tier is not None:
                return Assessment(tier, zygote.ground.landlock_abi, reasons, tuple(ways))
            reasons |= zygote.ground.problems
        ways.append(remedies.remedy(tier, reasons[tier]))
    return Assessment(None, None, reasons, tuple(ways))


def self_test(unsafe: bool = False) -> SelfTest:
    """Starts a sandbox, has it try what is forbidden, and times empty blocks; takes a second.

    Raises:
        okrt.errors.RuntimeFailure: no sandbox can be started.
    """
    began = time.perf_counter()
    with ZygoteRuntime(unsafe=unsafe) as runtime:
        denied = {}
        with runtime.open(PERSISTENT, {}, Limits()) as session:
            session.execute("")
            start_ms = 1000 * (time.perf_counter() - began)
            for what, code in FORBIDDEN.items():
                execution = session.execute(code)
                denied[what] = execution.error_type in _DENIED
        step_ms = {one.name: _step_ms(runtime, one) for one in (PERSISTENT, STATELESS)}
    return SelfTest(denied, start_ms, step_ms)


def _step_ms(runtime: ZygoteRuntime, contract: Contract) -> float:
    seconds = []
    with runtime.open(contract, {}, Limits()) as session:
        for _ in range(_STEPS):
            time.sleep(0.01)  # as a model would think; the next process is forked meanwhile
            began = time.perf_counter()
            session.execute("")
            seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def doctor(assessment: Assessment, test: SelfTest | None) -> str:
    """Returns the text of `okrt doctor`: what this machine can do, why not more, what to do."""
    lines = [
        f"machine    {platform.system()} {platform.release()} {platform.machine()}, "
        f"Python {platform.python_version()}, {'root' if os.geteuid() == 0 else 'unprivileged'}",
        f"tier       {assessment.tier or 'none: blocks are refused, unless --okrt-unsafe-runtime'}",
        f"landlock   {_abi(assessment.landlock_abi)}",
    ]
    for (tier, reason), way in zip(assessment.reasons.items(), assessment.remedies, strict=True):
        lines += [f"not {tier}     {reason}", f"  to get it: {way}"]
    lines += [f"{'' if at else 'containers':<11}{text}" for at, text in enumerate(_PROFILES)]
    return "\n".join([*lines, *(_tested(test) if test is not None else [])]) + "\n"


def _tested(test: SelfTest) -> list[str]:
    times = ", ".join(f"{ms:.2f} ms {name}" for name, ms in test.step_ms.items())
    return [
        f"self-test  started in {test.start_ms:.0f} ms; an empty block takes {times}",
        *(
            f"           {'denied ' if denied else 'ALLOWED'} to {what}"
            for what, denied in test.denied.items()
        ),
    ]


_PROFILES = (
    "Docker and Podman by default: T0; with " + remedies.PRIVILEGED + ": T1",
    "Kubernetes with seccompProfile RuntimeDefault: T0, as in the container runtime beneath",
    "Slurm and other clusters: T1 where user namespaces are allowed, else T0; both need Landlock,",
    "which is Linux 5.13 or later with landlock in the kernel's lsm= list",
)


def _abi(version: int | None) -> str:
    if version is None:
        return "not available"
    files = "files" if version < 3 else "files and their truncation"
    extra = [text for since, text in ((4, "TCP"), (5, "device ioctl"), (6, "signals"))
             if version >= since]  # fmt: skip
    return f"ABI {version}: governs {', '.join([files, *extra])}"
