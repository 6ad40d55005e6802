"""Why a tier cannot be had, in words, and what to do about it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from okrt.runtimes.tiers import T0, T1

CONTAINER = 'docker run --rm -it -v "$PWD:/work" -w /work python:3.12 bash'
"""Gives T0: the default profile of Docker and of Podman lets Landlock and seccomp through."""
PRIVILEGED = (
    "--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
)
"""What a container needs besides for T1."""
UNSAFE_WAY = "or run blocks without protection: --okrt-unsafe-runtime"


def refusal(problems: Mapping[str, str]) -> str:
    """Returns one line: what keeps this machine from every tier, and a way."""
    causes = "; ".join(f"{tier}: {problem}" for tier, problem in sorted(problems.items()))
    tier = T0 if T0 in problems else T1
    return f"no sandbox on this machine ({causes}); {remedy(tier, problems[tier])}; {UNSAFE_WAY}"


def elsewhere() -> str:
    """Returns one line for a machine that is no Linux."""
    return (
        f"the sandbox needs Linux, this is {sys.platform}: run in a container ({CONTAINER}); "
        f"{UNSAFE_WAY}"
    )


def remedy(tier: str, problem: str) -> str:
    """Returns what to do about what keeps this machine from a tier."""
    kind = problem.partition(":")[0]
    if kind == "landlock":
        return _landlock(problem)
    unreadable = kind == "the interpreter does not run" or "Permission denied" in problem
    closed = _closed() if unreadable else None
    if closed:
        return closed
    if tier == T1:
        return (
            "allow user namespaces (sysctl user.max_user_namespaces above 0; on Ubuntu sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0), or start the container with "
            f"{PRIVILEGED}"
        )
    if os.geteuid() == 0 and kind != "seccomp":
        return f"run as an ordinary user, or in a container in which this works: {CONTAINER}"
    return f"run in a container that allows seccomp filters, as this does: {CONTAINER}"


def _landlock(problem: str) -> str:
    if "not permitted" in problem:
        return (
            "whatever confines this process denies Landlock: use a newer Docker or Podman, whose "
            f"default profile allows it ({CONTAINER}), or --security-opt seccomp=unconfined"
        )
    return (
        "Landlock needs Linux 5.13 or later and a place in the kernel's lsm= list: boot with "
        f"lsm=landlock,... or, on a machine whose kernel has it, {CONTAINER}"
    )


def _closed() -> str | None:
    """Returns what to do where an unprivileged user cannot reach what the sandbox needs."""
    if os.geteuid() != 0:
        return None
    for what, path, way in (
        (
            "the interpreter",
            Path(os.__file__).resolve(),
            "use one that every user can read, such as /usr/bin/python3, run as the user who owns "
            "it, or allow what T1 needs, which shows it to the sandbox",
        ),
        ("the temporary directory", Path(tempfile.gettempdir()), "set TMPDIR to another"),
    ):
        folder = closed_folder(path)
        if folder:
            return f"{what} lies under {folder}, which is closed to unprivileged users: {way}"
    return None


def unreadable(packages: Mapping[str, str]) -> str | None:
    """Returns what to do about a package that the unprivileged user of T0 cannot reach, if any."""
    for name, path in packages.items():
        folder = closed_folder(Path(path))
        if folder:
            return (
                f"the sandbox cannot offer {name!r} on T0: it lies under {folder}, which is closed "
                "to unprivileged users: install it where every user can read it, or allow what T1 "
                "needs, which shows it to the sandbox"
            )
    return None


def closed_folder(path: Path) -> Path | None:
    """Returns the first directory on the way to a path that others may not enter, if any."""
    for folder in reversed([path, *path.parents]):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return folder
    return None
