"""The doors of the kernel that would lead round the sandbox are shut."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import SYSCALL, Attack, assert_refused

DOORS = {
    "io_uring": "attempt(syscall, 425, 8, ctypes.create_string_buffer(120))",
    "bpf": "attempt(syscall, 321 if x86 else 280, 0, ctypes.create_string_buffer(128), 128)",
    "userfaultfd": "attempt(syscall, 323 if x86 else 282, 1)",
    "perf_event_open": (
        "attempt(syscall, 298 if x86 else 241, ctypes.create_string_buffer(128), 0, -1, -1, 0)"
    ),
    "a keyring": "attempt(syscall, 250 if x86 else 219, 0, -3, 1)",
    "a namespace": "attempt(syscall, 272 if x86 else 97, 0x10000000)",
    "joining a namespace": "attempt(syscall, 308 if x86 else 268, 0, 0)",
    "fsopen": "attempt(syscall, 430, b'tmpfs', 0)",
    "open_tree": "attempt(syscall, 428, -100, b'.', 1)",
    "pivot_root": "attempt(syscall, 155 if x86 else 41, b'.', b'.')",
    "umount": "attempt(syscall, 166 if x86 else 39, b'.', 0)",
    "a module": "attempt(syscall, 175 if x86 else 105, 0, 0, b'')",
    "kexec": "attempt(syscall, 246 if x86 else 104, 0, 0, 0, 0)",
    "reboot": "attempt(syscall, 169 if x86 else 142, 0, 0, 0, 0)",
    "the clock": "import time; attempt(time.clock_settime, time.CLOCK_REALTIME, 0)",
    "adjusting the clock": (
        "attempt(syscall, 159 if x86 else 171, ctypes.create_string_buffer(256))"
    ),
    "the host's name": "attempt(syscall, 170 if x86 else 161, b'x', 1)",
    "the kernel's log": (
        "attempt(syscall, 103 if x86 else 116, 3, ctypes.create_string_buffer(9), 8)"
    ),
    "another user": "attempt(os.setuid, 0)",
    "another group": "attempt(os.setgroups, [0])",
    "another user, by every id": "attempt(os.setresuid, 0, 0, 0)",
    "capabilities": (
        "head = (ctypes.c_uint32 * 2)(0x20080522, 0); data = (ctypes.c_uint32 * 6)(*[~0] * 6)\n"
        "attempt(syscall, 126 if x86 else 91, ctypes.byref(head), ctypes.byref(data))"
    ),
    "personality": "attempt(syscall, 135 if x86 else 92, 0x0040000)",
    "io ports": "attempt(syscall, 172 if x86 else 9999, 3)",
    "a watch on files": "attempt(syscall, 300 if x86 else 262, 0, 0)",
    "a loaded filter of its own": (
        "program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(ctypes.create_string_buffer(64)))\n"
        "attempt(syscall, 317 if x86 else 277, 1, 8, ctypes.byref(program))"
    ),
    "the terminal's input": "import fcntl; attempt(fcntl.ioctl, 0, 0x5412, b'x')",
    "a new session on the terminal": "import fcntl; attempt(fcntl.ioctl, 1, 0x540E, 0)",
}  # fmt: skip


@pytest.mark.parametrize("code", DOORS.values(), ids=DOORS)
def test_a_door_is_shut(attack: Attack, code: str) -> None:
    assert_refused(attack(f"{SYSCALL}{code}"))


MACHINE = """
import ctypes, mmap, os
def machine(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_long)(at)()
if os.uname().machine != 'x86_64': print('refused')
else:
"""


def test_the_32_bit_calls_of_the_same_processor_are_shut(attack: Attack) -> None:
    """`int 0x80` numbers calls otherwise: 2 is fork, 359 socket, and a filter that reads the
    number alone lets them through."""
    code = (
        f"{MACHINE}    for number in (2, 359, 190):\n"
        "        found = machine(b'\\xb8' + number.to_bytes(4, 'little') + b'\\xbb\\x01\\0\\0\\0'\n"
        "            b'\\xb9\\x01\\0\\0\\0\\x31\\xd2\\xcd\\x80\\x48\\x98\\xc3')\n"
        "        if found == 0: os._exit(0)\n"
        "        print('refused' if found < 0 else 'DONE')"
    )
    block = attack(code)
    assert "DONE" not in block.stdout
    assert block.status in ("ok", "died")


def test_the_x32_calls_are_shut(attack: Attack) -> None:
    """The same calls under numbers with one more bit."""
    code = f"{SYSCALL}\nfor n in (57, 41, 319, 90): attempt(syscall, n | 0x40000000, 1, 1, 0)"
    assert_refused(attack(code))


def test_it_cannot_be_debugged_or_debug_itself(attack: Attack) -> None:
    assert_refused(attack(f"{SYSCALL}attempt(syscall, 101 if x86 else 117, 0, 0, 0, 0)"))


def test_no_new_privileges_is_set_for_good(attack: Attack) -> None:
    code = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    block = attack(code)
    assert block.stdout in ("1\n", "-1\n")


def test_it_is_not_root_among_others(attack: Attack) -> None:
    code = (
        "import os\nprint(os.getgroups())\n"
        "try: open('/proc/1/environ', 'rb').read(); print('DONE')\nexcept OSError: print('refused')"
    )
    block = attack(code)
    assert block.stdout.endswith("refused\n")
