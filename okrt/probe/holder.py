"""The near side of `okrt.probe.serve`: starts it, asks it, bounds it, and leaves nothing of it."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

import msgspec

from okrt.errors import UsageError
from okrt.probe.processes import kill, kill_descendants
from okrt.probe.serve import FLOODED
from okrt.probe.target import Answer, ProbeError, TargetSpec

_SERVE = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); "
    "from okrt.probe.serve import main; main(sys.argv[2], float(sys.argv[3]))"
)
"""Modules are found as they are here, and in the working directory; by no variable of the
environment, which the target would inherit."""
CLOSE_S = 10.0
"""How long sessions and target may take to close."""
GRACE_S = 3.0
"""How much later than its own time limit a reply may come."""
_REPLY_BYTES = 1 << 25
_CHUNK = 1 << 16
_TAIL_BYTES = 4096


class Holder:
    """A target in a process of its own; a context manager, after which nothing of it is left.

    Temporary files of the target lie in a folder that is removed in the end; its working directory
    is the user's, since a command may name files in it.
    """

    def __init__(self, spec: TargetSpec, start_s: float, close_s: float = CLOSE_S) -> None:
        """Raises:
        UsageError: the target cannot be had as it was asked for.
        ProbeError: it does not start within `start_s`.
        """
        self._folder = tempfile.mkdtemp(prefix="okrt-probe-")
        self._close_s = close_s
        self._buffer = b""
        self._tail = b""
        """The last of its standard error, for a message."""
        self._hears_errors = True
        arguments = json.dumps(sys.path), msgspec.json.encode(spec).decode(), str(close_s)
        self._process = subprocess.Popen(  # noqa: S603  this very interpreter
            [sys.executable, "-c", _SERVE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this side, which then closes the other
            env={**os.environ, "TMPDIR": self._folder, "JUPYTER_RUNTIME_DIR": self._folder},
        )
        try:
            self._receive(start_s)
        except BaseException:
            self.kill()
            raise

    def open(self, timeout_s: float) -> int:
        """Returns the number of a new session. Raises UsageError, ProbeError: none can be had."""
        number: int = self._ask({"op": "open"}, timeout_s)["session"]
        return number

    def run(self, session: int, code: str, timeout_s: float) -> Answer:
        """Returns the answer to a block.

        Raises:
            ProbeError: the adapter broke, or did not come back.
        """
        request = {"op": "run", "session": session, "code": code, "timeout_s": timeout_s}
        return msgspec.convert(self._ask(request, timeout_s + GRACE_S), Answer)

    def close(self) -> None:
        """Has everything closed, and kills what is not closed in time."""
        try:
            with suppress(BrokenPipeError):
                if self._process.stdin is not None:
                    self._process.stdin.close()
            if self._process.poll() is None:
                self._wait_for_end()
        finally:
            self.kill()

    @property
    def closed(self) -> bool:
        """Whether everything ended in time when it was closed."""
        return self._process.returncode == 0

    def kill(self) -> None:
        """Everything is gone when this returns, closed or not."""
        process = self._process
        if process.poll() is None:
            kill_descendants(process.pid)
            kill([process.pid])
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Holder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.kill()  # it has failed, or the user has interrupted: neither is worth a wait

    # -- one request

    def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(msgspec.json.encode(request) + b"\n")
                stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        return self._receive(timeout_s)

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            if not self._pump(deadline):
                raise self._gone()
            if len(self._buffer) > _REPLY_BYTES:
                raise ProbeError("the target's adapter sent without end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = msgspec.json.decode(line)
        if "usage" in reply:
            raise UsageError(reply["usage"])
        if "failed" in reply:
            raise ProbeError(reply["failed"])
        return reply

    def _pump(self, deadline: float) -> bool:
        """Takes in what has come on either stream; False: the process closed its replies.

        Raises:
            ProbeError: nothing came until the deadline.
        """
        out, err = self._process.stdout, self._process.stderr
        with selectors.DefaultSelector() as selector:
            for stream in (out, err):
                if stream is not None and (stream is out or self._hears_errors):
                    selector.register(stream, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        if not ready or time.monotonic() > deadline:
            raise ProbeError("the target did not come back in time")
        for key, _ in ready:
            chunk = os.read(key.fd, _CHUNK)
            if key.fileobj is err:
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
                self._hears_errors = bool(chunk)
            elif not chunk:
                return False
            else:
                self._buffer += chunk
        return True

    def _wait_for_end(self) -> None:
        """Waits while reading, since a process that nobody reads cannot go on."""
        deadline = time.monotonic() + self._close_s + 1
        with suppress(ProbeError):
            while self._pump(deadline):
                self._buffer = b""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.1, deadline - time.monotonic()))

    def _gone(self) -> ProbeError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        if self._process.returncode == FLOODED:
            return ProbeError("the target sent without end, until the memory allowed was full")
        said = self._tail.decode("utf-8", "replace").strip().splitlines()
        return ProbeError(f"the target's process ended: {said[-1] if said else 'without a word'}")
