"""A command that reads Python from its standard input: a fresh process for each block, or one that
is kept and fed block after block."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from okrt.probe.target import Answer, Status, TargetSpec

_TEXT_BYTES = 2_000_000
_INTERRUPT_S = 1.0
_CHUNK = 1 << 16

Heard = Literal["heard", "ended", "late"]
_STATUS: dict[Heard, Status] = {"heard": "ok", "late": "timeout", "ended": "died"}


class Pipes:
    """A running command with one pipe to it and one from it, errors included."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  what the user named
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._heard = b""

    def send(self, data: bytes, last: bool = False) -> None:
        """Writes; a block is small enough for the pipe, whether or not anybody reads."""
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(BrokenPipeError):
                stdin.write(data)
                stdin.flush()
                if last:
                    stdin.close()

    def hear(self, timeout_s: float, until: bytes | None) -> Heard:
        """Reads until `until` has come, or the process has ended, or time is up."""
        deadline = time.monotonic() + timeout_s
        stdout = self._process.stdout
        with selectors.DefaultSelector() as selector:
            if stdout is not None:
                selector.register(stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = selector.select(min(left, 0.05))
                if ready:
                    chunk = os.read(ready[0][0].fd, _CHUNK)
                    self._take(chunk)
                    if until is not None and until in self._heard[-_CHUNK - len(until) :]:
                        return "heard"
                    if not chunk:
                        return "ended"
                elif self._process.poll() is not None:
                    return "ended"  # though something that it started may hold the pipe
        return "late"

    def _take(self, chunk: bytes) -> None:
        """Keeps the start and the last of what is heard."""
        self._heard += chunk
        if len(self._heard) > 2 * _TEXT_BYTES:
            self._heard = self._heard[:_TEXT_BYTES] + self._heard[-_CHUNK:]

    def taken(self, until: bytes | None = None) -> str:
        """Returns what was heard (before `until`) since the last call."""
        heard, self._heard = self._heard, b""
        if until is not None:
            heard = heard.partition(until)[0]
        return heard.decode("utf-8", "replace")

    def interrupt(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> int:
        """Kills the process and its group; returns its exit status."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)  # it may just be ending by itself
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        return self._process.wait()


class FreshSession:
    """A process for each block, which is all that it is sent."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def run(self, code: str, timeout_s: float) -> Answer:
        pipes = Pipes(self._command)
        pipes.send(code.encode() + b"\n", last=True)
        late = pipes.hear(timeout_s, None) == "late"
        failed = pipes.end() != 0
        return Answer(pipes.taken(), "timeout" if late else "error" if failed else "ok")

    def close(self) -> None:
        """Every process has ended with its block."""


class KeptSession:
    """One process for all blocks. A late block is interrupted; if that does not help, the process
    is killed, and the next block meets a new one."""

    def __init__(self, command: Sequence[str], end: str | None) -> None:
        self._command = command
        self._end = end
        self._pipes: Pipes | None = None

    def run(self, code: str, timeout_s: float) -> Answer:
        if self._pipes is None:
            self._pipes = Pipes(self._command)
        first, second = secrets.token_hex(8), secrets.token_hex(8)
        until = (first + second).encode()
        shows_end = f"print('{first}' + '{second}')"
        joined = _comes_to_its_end(code)
        apart = self._framed(shows_end)
        sent = self._framed(f"{code}\n{shows_end}") if joined else self._framed(code) + apart
        self._pipes.send(sent)
        found = self._pipes.hear(timeout_s, until)
        if found == "late":
            self._pipes.interrupt()
            if joined:
                self._pipes.send(apart)
            if self._pipes.hear(_INTERRUPT_S, until) != "heard":
                text = self._pipes.taken()
                self.close()
                return Answer(text, "timeout")
        text = self._pipes.taken(until)
        if found == "ended":
            self.close()
        return Answer(text, _STATUS[found])

    def _framed(self, code: str) -> bytes:
        if self._end is not None:
            return f"{code}\n{self._end}\n".encode()
        return f"exec({code!a})\n".encode()  # one line, as a REPL takes it at once

    def close(self) -> None:
        if self._pipes is not None:
            self._pipes.end()
        self._pipes = None


def _comes_to_its_end(code: str) -> bool:
    """Whether a block catches its own errors and prints last. It then shows its end itself, and is
    one block to a target that counts blocks; after any other its end is shown by a second block,
    which comes to run though the first failed, and leaves it its last expression."""
    return code.startswith("try:\n") and code.rpartition("\n")[2].startswith("print(")


class PythonTarget:
    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec

    def open(self) -> FreshSession | KeptSession:
        command = self._spec.command
        return KeptSession(command, self._spec.end) if self._spec.keep else FreshSession(command)

    def close(self) -> None:
        """Its processes are its sessions'."""


def make(spec: TargetSpec) -> PythonTarget:
    return PythonTarget(spec)
