"""The host's end of one sandboxed process: frames, output, death.

What comes from a sandbox is hostile: frames are size-capped, decoded against fixed types, never
unpickled or evaluated; output is drained but never kept beyond its cap; no read here ever blocks.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import socket
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from okrt.errors import RuntimeFailure
from okrt.runtimes import pidfd
from okrt.runtimes.frames import MAX_FRAME, pack

CHUNK = 1 << 16
"""Bytes of one read: the capacity of a pipe, so that one read empties it."""
LINGER_S = 1.0
"""How long a process that has closed its wire may take to end by itself."""


class Ready(msgspec.Struct, frozen=True, tag="ready", tag_field="type"):
    """The child is set up and waits for its first block."""


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="type"):
    """The child could not be set up."""

    message: str


class Call(msgspec.Struct, frozen=True, tag="call", tag_field="type"):
    """The block calls a tool."""

    step: str
    id: int
    tool: str
    args: list[Any]
    kwargs: dict[str, Any]


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="type"):
    """The block has ended."""

    step: str
    bound: list[str]
    error_type: str | None = None
    error: str | None = None
    missing_name: str | None = None
    cap: bool = False


Message = Ready | Failed | Call | Done
_UTF8 = codecs.getincrementaldecoder("utf-8")
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class WireError(Exception):
    """The process sent what it may not send; the message says what, as a clause."""


class Output:
    """The text of a block's output, kept up to a cap and counted beyond it."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap = cap_bytes
        self._kept = bytearray()
        self._text = ""
        self._beyond: codecs.IncrementalDecoder | None = None
        """Once the cap is reached: what decodes the rest, begun with `_kept` for the sake of a
        character astride; `_text` is what it made of that."""
        self.dropped_chars = 0

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come. A character astride the cap counts as dropped."""
        if self._beyond is None:
            room = self._cap - len(self._kept)
            self._kept += data[:room]
            if len(data) < room:
                return
            self._beyond = _UTF8("replace")
            self._text = self._beyond.decode(self._kept)
            data = data[room:]
        self.dropped_chars += len(self._beyond.decode(data))

    def text(self) -> str:
        """Returns what was kept; where something was dropped, a last line says so. Once, at the
        end."""
        if self._beyond is None:
            return self._kept.decode("utf-8", "replace")
        self.dropped_chars += len(self._beyond.decode(b"", final=True))
        text = self._text
        if not self.dropped_chars:
            return text
        start = "" if text.endswith("\n") or not text else "\n"
        return (
            f"{text}{start}[output cut at {self._cap:,} bytes: "
            f"{self.dropped_chars:,} more characters were dropped]\n"
        )


class Handle(Protocol):
    """The means to watch one process, and to kill it."""

    def fileno(self) -> int:
        """A descriptor that can be read once the process has ended."""
        ...

    def kill(self) -> None:
        """The process, if it is still there, gets SIGKILL."""
        ...

    def close(self) -> None: ...


class Wire:
    """A socket for frames, a pipe for output, a handle for the death of the process.

    Args:
        handle: None: it comes with the first frame, as a pidfd.
    """

    def __init__(self, rpc: socket.socket, output: int, handle: Handle | None = None) -> None:
        self._rpc = rpc
        # As files, so that a session that is forgotten rather than closed leaves none open.
        self._output = io.FileIO(output)
        self._handle = handle
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._output_open = True
        self._poll = select.poll()
        self._poll.register(rpc, select.POLLIN)
        self._poll.register(output, select.POLLIN)
        self.ready = False
        """The process has been set up."""
        self.ended = False
        """No more frames will come: the process has ended or closed its wire."""
        self.wrote = False
        """There was output when `pump` looked last, which was later than it looked for frames."""
        rpc.setblocking(False)
        os.set_blocking(output, False)

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._rpc.fileno()

    def wait_ready(self, timeout_s: float) -> None:
        """Waits until the child has been set up.

        Raises:
            RuntimeFailure: it could not be, or not in time. `ended` tells whether it is gone.
        """
        poll = select.poll()
        poll.register(self._rpc, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            raise RuntimeFailure(f"no sandbox process within {timeout_s:g} s")
        if self._handle is None:
            payload, self._handle = pidfd.receive(self._rpc, CHUNK)
        else:
            payload = self._rpc.recv(CHUNK)
        self._incoming += payload
        if not payload:
            self.ended = True
            raise RuntimeFailure("the sandbox process ended while it was being set up")
        message = self.receive()
        if not isinstance(message, Ready):
            reason = message.message if isinstance(message, Failed) else "it answered out of turn"
            raise RuntimeFailure(f"the sandbox process could not be set up: {reason}")
        if self._handle is None:
            raise RuntimeFailure("no descriptor is free for a sandbox process")
        self._poll.register(self._handle, select.POLLIN)
        self.ready = True

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a frame as far as it goes; `pump` carries out the rest."""
        frame = pack(message)
        sent = 0
        if not self._outgoing:
            with contextlib.suppress(OSError):  # nobody listens: that shows when reading
                sent = self._rpc.send(frame)
        if sent < len(frame):
            self._outgoing += frame[sent:]
            self._write()

    def receive(self) -> Message | None:
        """Returns the next frame that has arrived in full, or None.

        None also while an answer of ours waits to be read, so that neither side can pile up.

        Raises:
            WireError: it is too large, or not a message.
        """
        if self._outgoing or len(self._incoming) < 4:
            return None
        length = int.from_bytes(self._incoming[:4], "big")
        if length > MAX_FRAME:
            raise WireError(f"it announced a message of {length:,} bytes")
        if len(self._incoming) < 4 + length:
            return None
        payload = bytes(self._incoming[4 : 4 + length])
        del self._incoming[: 4 + length]
        try:
            return _DECODER.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise WireError("it sent a malformed message") from None

    def pump(self, output: Output, timeout_s: float) -> None:
        """Waits for news, at most so long, and carries bytes both ways once."""
        events = dict(self._poll.poll(max(0.0, timeout_s) * 1000))
        self.wrote = self._output.fileno() in events
        if self.wrote:
            output.feed(self.drain())
        rpc = events.get(self._rpc.fileno(), 0)
        if rpc & select.POLLOUT:
            self._write()
        if rpc & ~select.POLLOUT:
            self._read()
        elif self._dead(events):
            self.ended = True

    def settle(self) -> int:
        """Takes in what has come since the last frame, when none may: bytes show in `spoke`, a
        death in `ended`, output is dropped and its bytes counted."""
        late = 0
        for descriptor, _ in self._poll.poll(0):
            if descriptor == self._rpc.fileno():
                self._read()
            elif descriptor == self._output.fileno():
                late = len(self.drain())
            else:
                self.ended = True
        return late

    @property
    def spoke(self) -> bool:
        """Whether bytes have come beyond the last frame."""
        return bool(self._incoming)

    def drain(self) -> bytes:
        """Returns the output that lies in the pipe."""
        data = self._output.read(CHUNK)
        if data == b"" and self._output_open:
            self._output_open = False
            self._poll.unregister(self._output)  # every writer is gone: it would wake us for ever
        return data or b""

    def kill(self) -> None:
        """The process, if it is still there, gets SIGKILL."""
        if self._handle is not None:
            self._handle.kill()

    def ends_by_itself(self) -> bool:
        """Whether the process ends soon, unasked."""
        if self._handle is None:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(LINGER_S * 1000))

    def close(self) -> None:
        """Descriptors are closed; the process is left alone."""
        self._rpc.close()
        self._output.close()
        if self._handle is not None:
            self._handle.close()

    def _dead(self, events: dict[int, int]) -> bool:
        return self._handle is not None and self._handle.fileno() in events

    def _read(self) -> None:
        try:
            data = self._rpc.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self._incoming += data
        self.ended = not data

    def _write(self) -> None:
        try:
            del self._outgoing[: self._rpc.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()  # nobody listens; the end of the wire shows when reading
        # Not both: whoever does not read our answers gets no further questions in.
        self._poll.modify(self._rpc, select.POLLOUT if self._outgoing else select.POLLIN)
