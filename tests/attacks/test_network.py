"""A block talks to nobody: not to the net, not to this machine, not to a process beside it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.attacks.conftest import SYSCALL, Attack, Outside, assert_refused


@dataclass(frozen=True, slots=True)
class Listeners:
    """Sockets that wait for somebody to connect or to send."""

    sockets: dict[str, socket.socket]

    def port(self, name: str) -> int:
        port: int = self.sockets[name].getsockname()[1]
        return port

    def heard(self) -> list[str]:
        """Returns the names of those that somebody has reached."""
        return [name for name, listener in self.sockets.items() if _reached(listener)]


def _reached(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_DGRAM:
            listener.recv(1)
        else:
            listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def listeners(outside: Outside) -> Iterator[Listeners]:
    kinds: dict[str, tuple[int, int, tuple[str, int] | str]] = {
        "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
        "unix": (socket.AF_UNIX, socket.SOCK_STREAM, str(outside.folder / "stream")),
        "unix datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, str(outside.folder / "datagram")),
        "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{outside.secret}"),
        "abstract datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{outside.secret} d"),
    }
    opened = {}
    for name, (family, kind, address) in kinds.items():
        if family == socket.AF_INET6 and not _has_ipv6():
            continue
        opened[name] = listener = socket.socket(family, kind)
        listener.bind(address)
        listener.setblocking(False)
        if kind == socket.SOCK_STREAM:
            listener.listen()
    for name in ("stream", "datagram"):
        (outside.folder / name).chmod(0o777)
    yield Listeners(opened)
    for listener in opened.values():
        listener.close()
    for name in ("stream", "datagram"):
        (outside.folder / name).unlink()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


TALKS = {
    "TCP": "attempt(socket.create_connection, ('127.0.0.1', TCP), 1)",
    "TCP to this machine's name": "attempt(socket.create_connection, ('localhost', TCP), 1)",
    "TCP over IPv6": "attempt(lambda: socket.socket(socket.AF_INET6).connect(('::1', TCP)))",
    "TCP without blocking": (
        "attempt(lambda: socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK))"
    ),
    "TCP with data in its first packet": (
        "attempt(lambda: socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', TCP)))"
    ),
    "MPTCP": "attempt(lambda: socket.socket(proto=262).connect(('127.0.0.1', TCP)))",
    "a listener": "attempt(socket.create_server, ('127.0.0.1', 0))",
    "UDP": (
        "attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP)))"
    ),
    "UDP-Lite": "attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM, 136)",
    "unix": "attempt(lambda: socket.socket(socket.AF_UNIX).connect(STREAM))",
    "unix datagram": (
        "attempt(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', DATAGRAM))"
    ),
    "abstract": "attempt(lambda: socket.socket(socket.AF_UNIX).connect(ABSTRACT))",
    "netlink": "attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "raw": "attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)",
    "ping": "attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM, 1)",
    "packet": "attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)",
    "vsock": "attempt(lambda: socket.socket(40).connect((2, 1)))",
    "the kernel's cryptography": "attempt(socket.socket, 38, socket.SOCK_SEQPACKET)",
    "bluetooth": "attempt(socket.socket, 31, socket.SOCK_RAW)",
    "CAN": "attempt(socket.socket, 29, socket.SOCK_RAW)",
    "a name": "attempt(socket.getaddrinfo, 'localhost', 'http')",
    "the web": (
        "import urllib.request\n"
        "attempt(urllib.request.urlopen, 'http://127.0.0.1:' + str(TCP))"
    ),
    "a pair of datagram sockets": (
        "attempt(lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'x', DATAGRAM))"
    ),
    "a pair of datagram sockets, by message": (
        "attempt(lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0]"
        ".sendmsg([b'x'], [], 0, DATAGRAM))"
    ),
    "a pair of datagram sockets, connected anew": (
        "attempt(lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0].connect(DATAGRAM))"
    ),
    "a pair of datagram sockets, to an abstract name": (
        "attempt(lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0]"
        ".sendto(b'x', ABSTRACT + ' d'))"
    ),
    "a pair of stream sockets, connected anew": (
        "attempt(lambda: socket.socketpair()[0].connect(STREAM))"
    ),
    "its own wire": "attempt(lambda: socket.socket(fileno=os.dup(3)).connect(STREAM))",
    "a pair from another family": "attempt(socket.socketpair, socket.AF_INET)",
    "a socket by a ring": "attempt(syscall, 425, 8, ctypes.create_string_buffer(120))",
}  # fmt: skip


@pytest.mark.parametrize("code", TALKS.values(), ids=TALKS)
def test_nobody_is_reached(
    attack: Attack, listeners: Listeners, outside: Outside, code: str
) -> None:
    names = (
        f"import socket\nTCP, UDP = {listeners.port('tcp')}, {listeners.port('udp')}\n"
        f"STREAM = {str(outside.folder)!r} + '/stream'\n"
        f"DATAGRAM = {str(outside.folder)!r} + '/datagram'\n"
        f"ABSTRACT = '\\0' + {outside.secret!r}\n"
    )
    assert_refused(attack(f"{SYSCALL}{names}{code}"))
    assert listeners.heard() == []


def test_the_listeners_hear(listeners: Listeners, outside: Outside) -> None:
    """Else their silence would prove nothing."""
    socket.create_connection(("127.0.0.1", listeners.port("tcp")), 1).close()
    with socket.socketpair(type=socket.SOCK_DGRAM)[0] as half:
        half.sendto(b"x", str(outside.folder / "datagram"))
    assert listeners.heard() == ["tcp", "unix datagram"]


def test_a_pair_of_sockets_within_the_block_works(attack: Attack) -> None:
    """asyncio needs one."""
    code = (
        "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 'on'\n"
        "print(asyncio.run(main()))"
    )
    assert attack(code).stdout == "on\n"
