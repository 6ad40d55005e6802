"""No block has more memory than its limit, and asking for more harms nobody else."""

from __future__ import annotations

import pytest

from okrt.types import Limits
from tests.attacks.conftest import SYSCALL, Attack, assert_refused

MEMORY = Limits(block_s=3, memory_mib=128)

HUNGRY = {
    "bytes": "x = bytes(1 << 30)",
    "a list": "x = [0] * (1 << 27)",
    "a list that grows": "x = []\nwhile True: x.append(bytes(1 << 20))",
    "a string that doubles": "x = 'x'\nwhile True: x += x",
    "a big integer": "x = 1 << (1 << 33)",
    "a nested list": "x = []\nwhile True: x = [x] * 1000",
    "an anonymous map": "import mmap; x = [mmap.mmap(-1, 1 << 20) for _ in range(1024)]",
    "a shared map": (
        "import mmap\nx = [mmap.mmap(-1, 1 << 20, mmap.MAP_SHARED) for _ in range(1024)]"
    ),
}


@pytest.mark.parametrize("code", HUNGRY.values(), ids=HUNGRY)
def test_memory_ends_at_the_limit(attack: Attack, code: str) -> None:
    block = attack(code, limits=MEMORY)
    assert block.status in ("raised", "died"), block
    assert block.error_type in ("MemoryError", "OSError", None)


def test_memory_comes_back_after_an_error(attack: Attack) -> None:
    block = attack("try: x = bytes(1 << 30)\nexcept MemoryError: print('on')", limits=MEMORY)
    assert (block.status, block.stdout) == ("ok", "on\n")


def test_no_file_without_a_name_holds_memory(attack: Attack) -> None:
    """memfd_create: outside the address space, so outside its limit."""
    assert_refused(attack(f"{SYSCALL}attempt(os.memfd_create, 'x')", limits=MEMORY))


def test_no_secret_memory(attack: Attack) -> None:
    """memfd_secret, 447 on both architectures."""
    assert_refused(attack(f"{SYSCALL}attempt(syscall, 447, 0)", limits=MEMORY))


def test_a_limit_cannot_be_raised(attack: Attack) -> None:
    code = (
        "import resource\n"
        "for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):\n"
        "    soft, hard = resource.getrlimit(kind)\n"
        "    try: resource.setrlimit(kind, (hard * 2, hard * 2))\n"
        "    except (OSError, ValueError): print('refused')\n"
        "    assert resource.getrlimit(kind)[1] == hard"
    )
    block = attack(code)
    assert (block.status, block.stdout) == ("ok", "refused\n" * 3)


@pytest.mark.parametrize(
    ("x86", "arm", "args"),
    [(29, 194, "0, 1 << 20, 0o1666"), (68, 186, "0, 0o1666"), (64, 190, "0, 1, 0o1666")],
    ids=["shared memory", "a message queue", "a semaphore"],
)
def test_nothing_of_system_v(attack: Attack, x86: int, arm: int, args: str) -> None:
    """shmget, msgget, semget: what they make outlives the process, and so the block."""
    assert_refused(attack(f"{SYSCALL}attempt(syscall, {x86} if x86 else {arm}, {args})"))


def test_no_posix_message_queue(attack: Attack) -> None:
    """mq_open: it outlives the process."""
    queue = "b'okrt-attack-queue', os.O_CREAT | os.O_RDWR, 0o666, None"
    assert_refused(attack(f"{SYSCALL}attempt(syscall, 240 if x86 else 180, {queue})"))


def test_no_key_in_the_kernel(attack: Attack) -> None:
    """add_key: a user's keyring outlives the process."""
    key = "b'user', b'okrt-attack-key', b'x', 1, -4"
    assert_refused(attack(f"{SYSCALL}attempt(syscall, 248 if x86 else 217, {key})"))


def test_memory_is_not_locked(attack: Attack) -> None:
    """mlockall: locked memory cannot be swapped out for others."""
    assert_refused(attack(f"{SYSCALL}attempt(syscall, 151 if x86 else 230, 3)"))
