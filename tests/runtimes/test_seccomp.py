"""The filter as data: what the kernel would answer, on both architectures."""

from __future__ import annotations

import errno
import struct

import pytest

from okrt.runtimes.seccomp import TABLES, build
from okrt.runtimes.syscalls import AARCH64, ALLOWED, CHECKED, X86_64

PID = 4321
ALLOW, KILL, FAIL = "allow", "kill", 0x00050000
machines = pytest.mark.parametrize("machine", TABLES)


def answer(
    machine: str, number: int, *args: int, truncate: bool = True, architecture: int | None = None
) -> str:
    """Runs the program as the kernel does: `allow`, `kill`, or the name of an error."""
    known = TABLES[machine][0] if architecture is None else architecture
    data = struct.pack("=IIQ6Q", number, known, 0, *args, *[0] * (6 - len(args)))
    code = build(machine, truncate).for_pid(PID)
    lines = list(struct.iter_unpack("=HBBI", code))
    assert len(lines) < 4096  # BPF_MAXINSNS
    at = value = 0
    while True:  # every way ends in a return
        kind, yes, no, k = lines[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("=I", data, k)
        elif kind == 0x54:
            value &= k
        elif kind == 0x15:
            at += yes if value == k else no
        elif kind == 0x35:
            at += yes if value >= k else no
        else:
            assert kind == 0x06
            if k & 0x7FFF0000 == FAIL:
                return errno.errorcode[k & 0xFFFF]
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}[k]


@machines
def test_what_is_named_is_allowed_and_nothing_else(machine: str) -> None:
    numbers = TABLES[machine][1]
    allowed = {numbers[name] for name in (*ALLOWED, "truncate") if name in numbers}
    checked = {numbers[name] for name in CHECKED if name in numbers}
    for number in range(600):
        if number in allowed:
            assert answer(machine, number) == ALLOW
        elif number not in checked:
            expected = "ENOSYS" if number == 435 else "EPERM"  # clone3
            assert answer(machine, number) == expected


@machines
def test_every_name_has_a_number_or_no_call_on_this_machine(machine: str) -> None:
    numbers = TABLES[machine][1]
    assert len(set(numbers.values())) == len(numbers)
    only_x86 = set(X86_64) - set(AARCH64)
    assert not set(AARCH64) - set(X86_64)
    for name in (*ALLOWED, *CHECKED):
        assert name in numbers or (machine == "aarch64" and name in only_x86), name


# Source: Linux 6.1, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h,
# looked up one by one; each is one that no block may make.
FORBIDDEN = {
    "x86_64": {
        "socket": 41, "connect": 42, "bind": 49, "fork": 57, "vfork": 58, "execve": 59,
        "tkill": 200, "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92,
        "utime": 132, "utimensat": 280,
        "setxattr": 188, "ptrace": 101, "mount": 165, "unshare": 272, "setns": 308, "bpf": 321,
        "memfd_create": 319, "execveat": 322, "process_vm_readv": 310, "shmget": 29, "keyctl": 250,
        "io_uring_setup": 425, "pidfd_open": 434, "pidfd_send_signal": 424, "openat2": 437,
        "userfaultfd": 323, "perf_event_open": 298, "setuid": 105, "setsid": 112, "setpgid": 109,
        "sched_setscheduler": 144, "sched_setattr": 314, "inotify_init1": 294, "fchmodat2": 452,
    },
    "aarch64": {
        "socket": 198, "connect": 203, "bind": 200, "execve": 221, "tkill": 130, "fchmod": 52,
        "fchmodat": 53, "fchownat": 54, "utimensat": 88, "setxattr": 5, "ptrace": 117, "mount": 40,
        "unshare": 97, "setns": 268, "bpf": 280, "memfd_create": 279, "execveat": 281,
        "shmget": 194, "process_vm_readv": 270, "keyctl": 219, "io_uring_setup": 425,
        "pidfd_open": 434, "pidfd_send_signal": 424, "openat2": 437, "userfaultfd": 282,
        "perf_event_open": 241,
        "setuid": 146, "setsid": 157, "setpgid": 154, "sched_setscheduler": 119,
        "sched_setattr": 274, "inotify_init1": 26, "fchmodat2": 452,
    },
}  # fmt: skip
KNOWN = {"x86_64": (0, 1, 9, 56, 257), "aarch64": (63, 64, 222, 220, 56)}
"""read, write, mmap, clone, openat."""


@machines
def test_the_numbers_are_those_of_the_architecture(machine: str) -> None:
    numbers = TABLES[machine][1]
    names = ("read", "write", "mmap", "clone", "openat")
    assert tuple(numbers[name] for name in names) == KNOWN[machine]
    for name, number in FORBIDDEN[machine].items():
        assert answer(machine, number) == "EPERM", name


THREAD = 0x3D0F00
"""The flags with which the C library starts a thread."""


@machines
@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("clone", (THREAD,), ALLOW),
        ("clone", (17,), "EPERM"),  # SIGCHLD: a fork
        ("clone", (0x4111,), "EPERM"),  # CLONE_VM | CLONE_VFORK: a spawn
        ("clone", (THREAD | 0x10000000,), "EPERM"),  # CLONE_NEWUSER
        ("kill", (PID, 9), ALLOW),
        ("kill", (0, 9), "EPERM"),
        ("kill", (2**32 - 1, 9), "EPERM"),
        ("kill", (PID + 1, 0), "EPERM"),
        ("tgkill", (PID, PID + 1, 6), ALLOW),
        ("tgkill", (1, 1, 6), "EPERM"),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (PID, 7), ALLOW),
        ("prlimit64", (1, 7), "EPERM"),
        ("sched_setaffinity", (0,), ALLOW),
        ("sched_setaffinity", (1,), "EPERM"),
        ("setpriority", (0, 0, 5), ALLOW),
        ("setpriority", (0, PID, 5), ALLOW),
        ("setpriority", (0, 1, 5), "EPERM"),
        ("setpriority", (1, 0, 5), "EPERM"),  # PRIO_PGRP
        ("setpriority", (2, 0, 5), "EPERM"),  # PRIO_USER
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 0o2004001), ALLOW),  # SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK
        ("socketpair", (1, 2), "EPERM"),  # SOCK_DGRAM
        ("socketpair", (2, 1), "EPERM"),  # AF_INET
        ("sendto", (3, 1, 1, 0, 0), ALLOW),
        ("sendto", (3, 1, 1, 0, 8), "EPERM"),
        ("sendto", (3, 1, 1, 0, 8 << 32), "EPERM"),
        ("fcntl", (3, 1030), ALLOW),
        ("fcntl", (3, 8), "EPERM"),  # F_SETOWN
        ("fcntl", (3, 10), "EPERM"),  # F_SETSIG
        ("fcntl", (3, 1033), "EPERM"),  # F_ADD_SEALS
        ("ioctl", (1, 0x5413), ALLOW),
        ("ioctl", (1, 0x5412), "EPERM"),  # TIOCSTI
        ("prctl", (15,), ALLOW),
        ("prctl", (1, 0), "EPERM"),  # PR_SET_PDEATHSIG
        ("openat", (0, 1, 0), ALLOW),
        ("openat", (0, 1, 0o1101), ALLOW),  # O_WRONLY | O_CREAT | O_TRUNC
        ("openat", (0, 1, 0o1002), ALLOW),  # O_RDWR | O_TRUNC
        ("openat", (0, 1, 0o1000), "EPERM"),  # O_TRUNC, for reading
        ("openat", (0, 1, 0o1003), "EPERM"),
    ],
)  # fmt: skip
def test_arguments_decide(machine: str, name: str, args: tuple[int, ...], expected: str) -> None:
    assert answer(machine, TABLES[machine][1][name], *args) == expected


@machines
def test_emptying_by_path_is_left_to_a_kernel_that_governs_it(machine: str) -> None:
    number = TABLES[machine][1]["truncate"]
    assert answer(machine, number, truncate=True) == ALLOW
    assert answer(machine, number, truncate=False) == "EPERM"


@machines
def test_another_way_into_the_kernel_leads_nowhere(machine: str) -> None:
    assert answer(machine, 0, architecture=0x40000003) == KILL  # AUDIT_ARCH_I386
    assert answer(machine, 0x40000000 | TABLES[machine][1]["read"]) == "EPERM"  # x32


def test_a_machine_without_a_table_is_named() -> None:
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        build("riscv64", truncate=True)
