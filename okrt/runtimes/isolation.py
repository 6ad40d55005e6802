"""What closes the sandbox: the tiers, prepared once in the zygote, applied in each child.

    T0      another user than root, resource limits, Landlock, a seccomp allowlist
    T1      T0, and namespaces: user (unless root), mount, net, ipc, uts, pid
    unsafe  a process of its own, resource limits, and no more

Runs in the sandbox: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from okrt.runtimes import landlock, namespaces, seccomp
from okrt.runtimes.landlock import Rule
from okrt.runtimes.scratch import reopen
from okrt.runtimes.tiers import T1, UNSAFE

SCRATCH_MIB = 64
"""What the files of a process may take in total."""
SCRATCH_FILES = 4096
"""How many there may be."""
THREADS = 256
"""Threads of a process that has a user of its own: RLIMIT_NPROC counts users, not processes."""

_PRIVATE_UIDS = range(0x70000000, 0x7FFF0000)
"""Users that nobody has: a child of a root's zygote is one of them. Source: systemd's table "Users,
Groups, UIDs and GIDs on systemd systems" gives this range to nobody."""
_NOBODY = 65534
PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION_3 = 0x20080522
"""Source: linux/capability.h."""
_FOREIGN = ("site-packages", "dist-packages", "python3*")
"""Directories beside the standard library and the system's libraries that are none of a block's
business: a package could know more than a block may, okrt itself above all."""
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_LIBC = ctypes.CDLL(None, use_errno=True)


class Isolation:
    """A tier, ready to be applied to the children of this process.

    Args:
        root: the directory for scratch directories and the like; T1 needs none.
        packages: directories and files to be importable, by name.

    Raises:
        OSError: this tier is not to be had; what was done by then cannot be undone.
    """

    def __init__(self, tier: str, root: Path, packages: dict[str, Path]) -> None:
        self.tier = tier
        self.abi: int | None = None
        self.pids: namespaces.PidNamespaces | None = None
        self._root = root
        self._users = _users() if tier != UNSAFE else None
        view = (Path("/") if tier == T1 else root) / "packages"
        if packages:
            sys.path.append(str(view))
        shown = _shown()
        links = {view / name: path for name, path in packages.items()}
        if tier != T1:
            root.mkdir(mode=0o711 if self._users else 0o700)
            for link, path in links.items():
                link.parent.mkdir(exist_ok=True, mode=0o755)
                link.symlink_to(path)
        if tier == UNSAFE:
            return
        self.abi = landlock.abi()
        prctl(_PR_SET_NO_NEW_PRIVS, 1)
        reachable = [*shown, *_devices(), *packages.values()]
        if tier == T1:
            foreign = [path for folder in shown for path in _foreign(folder)]
            namespaces.see_only(reachable, foreign, links)
            self.pids = namespaces.PidNamespaces()
        else:
            self._restrict_zygote(shown, packages, self.abi)
        self._rules = [Rule(path, landlock.READ) for path in (*shown, *packages.values())]
        self._rules += [Rule(path, landlock.DEVICE) for path in _devices()]
        if packages:
            self._rules.append(Rule(view, landlock.READ))
        self._program = seccomp.build(os.uname().machine, self.abi >= landlock.TRUNCATE_ABI)

    def _restrict_zygote(self, shown: list[Path], packages: dict[str, Path], version: int) -> None:
        """What no child may reach although it lies beneath what it may: rules can only add, so the
        zygote itself goes without, and each child has what both allow."""
        parts = [part for folder in shown for part in _parts(folder)]
        rights = dict.fromkeys((*parts, *packages.values(), Path("/proc")), landlock.READ)
        rights |= dict.fromkeys(_devices(), landlock.DEVICE)
        rights[self._root] = landlock.SCRATCH
        landlock.restrict(_passing(rights), version, alone=False)

    # -- in a child

    def scratch(self, number: int, fresh: bool) -> Path:
        """Returns the directory of this process, its owner the one it will be: a new and empty one,
        or the one that the process had to which this one is an heir. `number`: of the first that
        had it."""
        uid, gid = self._user(number)
        if self.tier == T1:
            namespaces.enter_view()
            if fresh:
                namespaces.private_scratch(uid, gid, SCRATCH_MIB << 20, SCRATCH_FILES)
            return namespaces.SCRATCH
        directory = self._root / str(number)
        if fresh:
            directory.mkdir(mode=0o700)
            if self._users:
                os.chown(directory, uid, gid)
        elif not self._users:
            reopen(directory)
        return directory

    def drop(self, number: int) -> None:
        """This process has no privileges, and dies with its parent."""
        if self._users:
            uid, gid = self._user(number)
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            if self._users.many:
                resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
        if self.tier != UNSAFE:
            _drop_capabilities()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user would have cleared it

    def enclose(self, scratch: Path) -> None:
        """This process reaches only the files it may; descriptors that are open stay open."""
        if self.abi is not None:
            rules = [*self._rules, Rule(scratch, landlock.SCRATCH)]
            landlock.restrict(rules, self.abi, alone=True)

    def close(self) -> None:
        """This process makes only the system calls it may: the last step."""
        if self.tier != UNSAFE:
            seccomp.install(self._program.for_pid(os.getpid()))

    def _user(self, number: int) -> tuple[int, int]:
        return self._users.of(number) if self._users else (os.geteuid(), os.getegid())


@dataclass(frozen=True, slots=True)
class _Users:
    """Whom the children of root run as."""

    first: int
    many: bool

    def of(self, number: int) -> tuple[int, int]:
        uid = self.first + number % 0xFFFF if self.many else self.first
        return uid, uid


def _users() -> _Users | None:
    if os.geteuid() != 0:
        return None
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = map(int, line.split())
        if inside <= _PRIVATE_UIDS.start and _PRIVATE_UIDS.stop <= inside + count:
            # Drawn, so that two zygotes hardly ever share one.
            first = random.SystemRandom().randrange(
                _PRIVATE_UIDS.start, _PRIVATE_UIDS.stop - 0xFFFF
            )
            return _Users(first, many=True)
    return _Users(_NOBODY, many=False)


def prctl(option: int, value: int) -> None:
    """Raises OSError where the kernel refuses."""
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if _LIBC.capset(header, bytes(24)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")


# -- what a block may read ------------------------------------------------------------------------


def _shown() -> list[Path]:
    """Returns the directories and files that an interpreter needs to import and to run."""
    library = [Path(entry) for entry in sys.path if Path(entry).exists()]
    return sorted({*library, *_loaded(), *(Path(name) for name in _FILES if Path(name).exists())})


def _loaded() -> set[Path]:
    """Returns the directories of the shared libraries in use: a later import needs their like."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    files = {line.split(maxsplit=5)[5] for line in lines if line.endswith(".so") or ".so." in line}
    return {Path(file).parent.resolve() for file in files if file.startswith("/")}


def _foreign(folder: Path) -> list[Path]:
    """Returns what is hidden of a directory that a block may read."""
    return [path for name in _FOREIGN for path in folder.glob(name)] if folder.is_dir() else []


def _parts(folder: Path) -> list[Path]:
    """Returns what is left of a directory without what is hidden: itself, if nothing is."""
    foreign = set(_foreign(folder))
    if not foreign:
        return [folder]
    return [path for path in folder.iterdir() if path not in foreign and os.path.exists(path)]  # noqa: PTH110 - Path.exists raises where it may not look


def _devices() -> list[Path]:
    return [path for path in map(Path, _DEVICES) if path.exists()]


def _passing(rights: dict[Path, int]) -> Iterator[Rule]:
    """Yields rules that hold a descriptor only while they are added: there may be thousands."""
    for path, right in rights.items():
        rule = Rule(path, right)
        yield rule
        rule.close()
