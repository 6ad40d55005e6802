"""A block changes nothing outside its scratch directory, by any call that can."""

from __future__ import annotations

import contextlib
import tempfile
import textwrap
from pathlib import Path

import pytest

from okrt.runtimes.contracts import PERSISTENT
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Limits
from tests.attacks.conftest import SYSCALL, Attack, Outside, assert_refused
from tests.attacks.world import picture
from tests.runtimes.interpreters import open_interpreter

OUTSIDE = {
    "open to write": "attempt(open, file, 'w')",
    "open to append": "attempt(open, file, 'a')",
    "open to read and write": "attempt(open, file, 'r+')",
    "open with truncation alone": "attempt(os.open, file, os.O_RDONLY | os.O_TRUNC)",
    "creation": "attempt(open, folder + '/okrt-attack-new', 'x')",
    "a file without a name": "attempt(os.open, folder, os.O_TMPFILE | os.O_RDWR)",
    "truncate": "attempt(os.truncate, file, 0)",
    "rename out of scratch": "open('x', 'w'); attempt(os.rename, 'x', file)",
    "rename into scratch": "attempt(os.rename, file, 'x')",
    "rename within": "attempt(os.rename, file, folder + '/okrt-attack-renamed')",
    "exchange": (
        "open('x', 'w')\n"
        "attempt(syscall, 316 if x86 else 276, -100, b'x', -100, file.encode(), 2)"
    ),
    "link out of scratch": "open('x', 'w'); attempt(os.link, 'x', folder + '/okrt-attack-link')",
    "link into scratch": "attempt(os.link, file, 'linked')",
    "link within": "attempt(os.link, file, folder + '/okrt-attack-link')",
    "symlink": "attempt(os.symlink, 'x', folder + '/okrt-attack-symlink')",
    "unlink": "attempt(os.unlink, file)",
    "rmdir": "attempt(os.rmdir, folder + '/folder')",
    "mkdir": "attempt(os.mkdir, folder + '/okrt-attack-new')",
    "mknod of a file": "attempt(os.mknod, folder + '/okrt-attack-node')",
    "mkfifo": "attempt(os.mkfifo, folder + '/okrt-attack-fifo')",
    "a socket's name": (
        "import socket\n"
        "attempt(lambda: socket.socket(socket.AF_UNIX).bind(folder + '/okrt-attack-socket'))"
    ),
    "chmod": "attempt(os.chmod, file, 0o600)",
    "chmod of the directory": "attempt(os.chmod, folder, 0o700)",
    "fchmodat2": "attempt(syscall, 452, -100, file.encode(), 0o600, 0)",
    "chown": "attempt(os.chown, file, os.getuid(), os.getgid())",
    "lchown": "attempt(os.lchown, file, os.getuid(), os.getgid())",
    "utime": "attempt(os.utime, file, (1, 1))",
    "utime to now": "attempt(os.utime, file)",
    "the old utimes": "attempt(syscall, 235 if x86 else 1037, file.encode(), 0)",
    "setxattr": "attempt(os.setxattr, file, 'user.okrt', b'x')",
    "removexattr": "attempt(os.removexattr, file, 'user.okrt')",
    "an access list": "attempt(os.setxattr, file, 'system.posix_acl_access', b'x' * 28)",
    "through a symbolic link": "os.symlink(file, 'link'); attempt(open, 'link', 'w')",
    "through a path upwards": "attempt(open, '../' * 30 + file.lstrip('/'), 'w')",
    "through O_PATH": (
        "attempt(lambda: os.chmod(f'/proc/self/fd/{os.open(file, os.O_PATH)}', 0o600))"
    ),
    "a mount over it": "attempt(syscall, 165 if x86 else 40, b'.', folder.encode(), 0, 4096, 0)",
    "a mount of memory": "attempt(syscall, 165 if x86 else 40, b'x', b'.', b'tmpfs', 0, 0)",
    "another root": "attempt(os.chroot, '.')",
    "namespaces of its own": "attempt(syscall, 272 if x86 else 97, 0x10000000)",
    "swapping onto it": "attempt(syscall, 167 if x86 else 224, file.encode(), 0)",
    "quota": "attempt(syscall, 179 if x86 else 60, 0x800002, file.encode(), 0, 0)",
    "accounting to it": "attempt(syscall, 163 if x86 else 89, file.encode())",
    "asynchronous rings": (
        "attempt(syscall, 425, 8, ctypes.create_string_buffer(120))"
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", OUTSIDE.values(), ids=OUTSIDE)
def test_nothing_outside_is_changed(attack: Attack, outside: Outside, code: str) -> None:
    """That nothing was, is seen by `attack`; everybody may write to those files and directories."""
    names = f"file, folder = {str(outside.task)!r}, {str(outside.folder)!r}\n"
    assert_refused(attack(f"{SYSCALL}{names}{code}"))


READABLE = {
    "fchmod": "attempt(os.fchmod, fd, 0o600)",
    "fchown": "attempt(os.fchown, fd, os.getuid(), os.getgid())",
    "futimens": "attempt(os.utime, fd, (1, 1))",
    "utime": "attempt(os.utime, path, (1, 1))",
    "chmod": "attempt(os.chmod, path, 0o600)",
    "fsetxattr": "attempt(os.setxattr, fd, 'user.okrt', b'x')",
    "open to write": "attempt(open, path, 'r+')",
    "truncation": "attempt(os.open, path, os.O_RDONLY | os.O_TRUNC)",
    "ftruncate": "attempt(os.ftruncate, fd, 0)",
    "write": "attempt(os.write, fd, b'x')",
    "a shared map to write": "import mmap; attempt(mmap.mmap, fd, 1, mmap.MAP_SHARED, 3)",
    "a second descriptor": "attempt(open, f'/proc/self/fd/{fd}', 'r+')",
    "a hard link": "attempt(os.link, path, 'linked')",
    "the flags of the file": (
        "import array, fcntl\n"
        "attempt(fcntl.ioctl, fd, 0x40086602, array.array('l', [0x80]))"
    ),
    "a lease": "import fcntl; attempt(fcntl.fcntl, fd, 1024, fcntl.F_RDLCK)",
    "a byte-code cache": (
        "import py_compile\ntry: py_compile.compile(path, path + 'okrt')\n"
        "except OSError: print('refused')\nelse: print('DONE')"
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", READABLE.values(), ids=READABLE)
def test_a_file_that_may_be_read_is_not_changed(attack: Attack, code: str) -> None:
    """A descriptor opened for reading is enough for some of these. The file may be the user's."""
    here = "import textwrap\npath = textwrap.__file__\nfd = os.open(path, os.O_RDONLY)\n"
    assert_refused(attack(f"{SYSCALL}{here}{code}"))


SHARED = ["/dev/shm", "/tmp", "/var/tmp", "/dev/mqueue", "/run", "/run/lock", "/"]


@pytest.mark.parametrize("spot", SHARED)
def test_no_shared_directory_keeps_a_file(attack: Attack, spot: str) -> None:
    """It would outlive the block. A private directory of that name would not."""
    name = f"{spot}/okrt-attack-left"
    look = f"import os; print(os.path.exists({name!r}))"
    leave = f"try: open({name!r}, 'w').write('x')\nexcept OSError: print('refused')"
    block = attack(leave, look)
    assert block.stdout == "False\n"


def test_no_named_semaphore_or_shared_memory(attack: Attack) -> None:
    code = textwrap.dedent(
        """
        from multiprocessing import shared_memory
        attempt(shared_memory.SharedMemory, 'okrt-attack-memory', True, 10)
        import multiprocessing
        attempt(multiprocessing.get_context('spawn').Semaphore)
        """
    )
    assert_refused(attack(f"{SYSCALL}{code}"))


def test_scratch_itself_may_be_changed_by_most_of_these(attack: Attack) -> None:
    """Else their refusal would prove nothing but a broken sandbox."""
    code = (
        "import os\nopen('a', 'w').write('x'); os.rename('a', 'b'); os.symlink('b', 'c')\n"
        "os.mkdir('d'); os.truncate('b', 0); os.unlink('b'); os.rmdir('d'); os.unlink('c')\n"
        "print(os.listdir())"
    )
    block = attack(code)
    assert (block.status, block.stdout) == ("ok", "[]\n")


def test_a_package_of_the_users_own_is_not_changed(
    tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner may be the very user that the block runs as: permissions forbid nothing."""
    with tempfile.TemporaryDirectory(prefix="okrt-package-", dir="/tmp") as name:
        package = Path(name) / "okrt_attacked"
        package.mkdir()
        (package / "__init__.py").write_text("answer = 42\n")
        for path in (Path(name), package, package / "__init__.py"):
            path.chmod(0o777)
        monkeypatch.syspath_prepend(name)
        before = picture(Path(name))
        here = (
            "import okrt_attacked\npath = okrt_attacked.__file__\nfd = os.open(path, os.O_RDONLY)\n"
        )
        code = f"{SYSCALL}{here}" + "\n".join(READABLE.values())
        with (
            open_interpreter() if tier == "T0" else contextlib.nullcontext(),
            _with_package(tier) as runtime,
            runtime.open(PERSISTENT, {}, Limits()) as session,
        ):
            assert_refused(session.execute(code))
        assert picture(Path(name)) == before


def _with_package(tier: str) -> ZygoteRuntime:
    packages = ("okrt_attacked",)
    if tier == "unsafe":
        return ZygoteRuntime(unsafe=True, packages=packages)
    return ZygoteRuntime(tier="T1" if tier == "T1" else "T0", packages=packages)
