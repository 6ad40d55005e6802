"""A process of the zygote's by its pidfd, which comes with its first frame. Linux only."""

from __future__ import annotations

import io
import signal
import socket
import struct

_RIGHT = struct.Struct("=i")
"""A descriptor as ancillary data."""


class PidFd:
    """Satisfies `okrt.runtimes.wire.Handle`."""

    def __init__(self, descriptor: int) -> None:
        # As a file, so that a session that is forgotten rather than closed leaves none open.
        self._file = io.FileIO(descriptor)

    def fileno(self) -> int:
        return self._file.fileno()

    def kill(self) -> None:
        try:
            signal.pidfd_send_signal(self._file.fileno(), signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        self._file.close()


def receive(rpc: socket.socket, size: int) -> tuple[bytes, PidFd | None]:
    """Returns bytes and the pidfd that came with them."""
    room = socket.CMSG_LEN(_RIGHT.size)
    payload, rights, _, _ = rpc.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    return payload, PidFd(*_RIGHT.unpack(rights[0][2])) if rights else None
