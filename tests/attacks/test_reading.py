"""A block reads the standard library and its scratch directory, and nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.attacks.conftest import SYSCALL, Attack, Outside, assert_refused

ROOT = Path(__file__).parents[2]

WAYS = {
    "open": "attempt(lambda: open(path).read())",
    "a raw descriptor": "attempt(os.open, path, os.O_RDONLY)",
    "a descriptor to copy from": (
        "fd = os.open('copy', os.O_CREAT | os.O_RDWR)\n"
        "attempt(lambda: os.sendfile(fd, os.open(path, os.O_RDONLY), 0, 100))"
    ),
    "a symbolic link": (
        "os.path.lexists('link') and os.unlink('link'); os.symlink(path, 'link')\n"
        "attempt(lambda: open('link').read())"
    ),
    "a hard link": "attempt(os.link, path, 'hard')",
    "a path upwards": (
        "attempt(lambda: open('../' * 30 + path.lstrip('/')).read())"
    ),
    "a directory's descriptor": (
        "attempt(lambda: os.open(os.path.basename(path), 0, "
        "dir_fd=os.open(os.path.dirname(path), os.O_PATH)))"
    ),
    "a moved file": "attempt(os.rename, path, 'moved')",
    "openat2": (
        "how = (ctypes.c_uint64 * 3)()\n"
        "attempt(syscall, 437, -100, path.encode(), ctypes.byref(how), 24)"
    ),
    "a file handle": (
        "attempt(syscall, 304 if x86 else 265, -100, ctypes.create_string_buffer(128), 0)"
    ),
    "a watch": (
        "fd = libc.inotify_init()\n"
        "attempt(syscall, 254 if x86 else 27, fd, path.encode(), 1)"
    ),
    "a detached tree": "attempt(syscall, 428, -100, path.encode(), 1)",
    "execution": "attempt(lambda: __import__('runpy').run_path(path))",
    "a database": (
        "import sqlite3\ntry: sqlite3.connect(path).execute('select * from x')\n"
        "except sqlite3.OperationalError: print('refused')\n"
        "except sqlite3.DatabaseError: print('DONE')"
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS)
def test_no_other_file_is_read(attack: Attack, outside: Outside, code: str) -> None:
    """The task file of the test, and this project's own code, by every way to a file."""
    paths = [str(outside.task), str(ROOT / "pyproject.toml"), str(Path(__file__).resolve())]
    block = attack(f"{SYSCALL}\nfor path in {paths}:\n{textwrap.indent(code, '    ')}")
    assert_refused(block)
    assert outside.secret not in block.stdout


PLACES = {
    "the environment of every process": "[f'/proc/{pid}/environ' for pid in OTHERS]",
    "its own environment": "['/proc/self/environ']",
    "its own map": "['/proc/self/maps', '/proc/self/smaps', '/proc/self/pagemap']",
    "its own memory": "['/proc/self/mem']",
    "its mounts": "['/proc/self/mountinfo', '/proc/mounts']",
    "the machine": "['/proc/cpuinfo', '/proc/net/tcp', '/proc/sys/kernel/hostname']",
    "the users": "['/etc/passwd', '/etc/shadow', '/etc/hosts', '/etc/hostname']",
    "devices": "['/dev/kmsg', '/dev/mem', '/dev/tty', '/dev/ptmx', '/dev/sda', '/dev/fuse']",
    "the kernel's knobs": "['/sys/kernel/notes', '/sys/class/net/lo/address']",
    "the host's own files, by /proc": "[f'/proc/{pid}/root/etc/passwd' for pid in OTHERS]",
    "the host's descriptors": "[f'/proc/{pid}/fd/0' for pid in OTHERS]",
}  # fmt: skip


@pytest.mark.parametrize("paths", PLACES.values(), ids=PLACES)
def test_no_place_tells_of_the_machine(attack: Attack, paths: str) -> None:
    assert_refused(
        attack(f"{SYSCALL}\nfor path in {paths}: attempt(lambda: open(path, 'rb').read(1))")
    )


LISTS = ["/", "/proc", "/tmp", "/dev/shm", "/etc", "/sys", "/var", "..", "../.."]


@pytest.mark.parametrize("path", LISTS)
def test_no_directory_is_listed_that_holds_others_files(
    attack: Attack, outside: Outside, path: str
) -> None:
    """Refused, or a directory of the sandbox's own without anything of the machine's."""
    code = f"import os\ntry: print(os.listdir({path!r}))\nexcept OSError: print('refused')"
    block = attack(code)
    assert block.status == "ok"
    assert outside.folder.name not in block.stdout
    assert "passwd" not in block.stdout
    assert "self" not in block.stdout


def test_the_directory_of_the_tests_is_not_listed(attack: Attack, outside: Outside) -> None:
    for path in (outside.folder, ROOT, Path(__file__).parent):
        assert_refused(attack(f"{SYSCALL}\nattempt(os.listdir, {str(path)!r})"))
