"""Runs the blocks of one session inside its sandboxed process.

Standard library only, and two files like it. On the wire, the host sends `step` and `reply`, the
child `call` and `done`; nothing else is ever sent, and nothing between `done` and the next `step`.

A block may patch whatever it can import, and the session has to survive it. So this file runs on a
copy of the builtins; what it needs of the library between blocks it took by name when it was
loaded, and that is written in C: a function written in Python would look up patched builtins. The
rest, tracebacks above all, runs with the builtins put right and may fail.
"""

from __future__ import annotations

import builtins
import linecache
import random
import select
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from io import BufferedReader, BufferedWriter, FileIO, StringIO, TextIOWrapper
from os import O_RDONLY, _exit, close, devnull, dup2, getpid
from os import open as open_descriptor
from resource import RLIM_INFINITY, RLIMIT_CPU, getrlimit, setrlimit
from sys import getrecursionlimit, setprofile, setrecursionlimit, settrace
from time import process_time
from types import ModuleType, TracebackType
from typing import Any, NoReturn

from okrt.runtimes.describing import describe
from okrt.runtimes.frames import MAX_FRAME, not_json, pack, plain, unpack


class ToolError(Exception):
    """A tool refused; the message says why."""


class ToolCapExceeded(RuntimeError):
    """This block has used up its tool calls."""


ToolError.__module__ = ToolCapExceeded.__module__ = "__main__"  # tracebacks name them plainly
PROVIDED: Mapping[str, Any] = {"ToolError": ToolError, "ToolCapExceeded": ToolCapExceeded}
RAISED: Mapping[str, type[Exception]] = {
    **PROVIDED,
    **{kind.__name__: kind for kind in (TypeError, ValueError, LookupError, KeyError, IndexError)},
}
"""What the host may have a tool call raise, by name."""

ROOM = 1000
"""Levels of recursion that the library may need to describe an error."""

QUIET_MS = 1
"""How long the host is silent before a process sets out for the next block: until then it may need
the processor, to take in the end of the last one."""

REHEARSAL: Mapping[str, Any] = {"step": None, "turn": -1, "code": "", "seed": "", "tools": []}


_LIVE = vars(builtins)
_PATCHABLE = dict(_LIVE)
"""The builtins as they were, and where a block meets them."""
# -- the process ----------------------------------------------------------------------------------


def serve(wire: int, output: int, cpu_s: int) -> NoReturn:
    """Runs blocks, each with so much CPU time, until the host hangs up."""
    worker = Worker(socket.socket(fileno=wire), output, cpu_s)
    worker.rehearse()
    while True:
        message = worker.receive()
        if message["type"] == "step":  # else: the answer to a call that its block abandoned
            worker.run(message)
            worker.expect(message["turn"] + 1, message["seed"], message["tools"])


def _attempt(action: Callable[[], object]) -> None:
    """What is the block's to break may be broken."""
    try:
        action()
    except BaseException:
        return


class _Room:
    """While it is entered, recursion is deep enough for the library."""

    def __enter__(self) -> None:
        self._limit = getrecursionlimit()
        if self._limit < ROOM:
            setrecursionlimit(ROOM)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._limit < ROOM:
            _attempt(lambda: setrecursionlimit(self._limit))


class _Unpatched:
    """While it is entered, the builtins are such that the library works.

    To look for patches takes a fifth of the time that an empty block takes in here, so it is
    entered only where something written in Python is called.
    """

    def __enter__(self) -> None:
        self._added: dict[str, Any] = {}
        self._deleted: list[str] = []
        try:
            if _LIVE == _PATCHABLE:
                return
        except BaseException:  # noqa: S110 - a comparison of the block's
            pass
        self._added = {
            name: value
            for name, value in list(_LIVE.items())
            if type(name) is str and value is not _PATCHABLE.get(name, _PATCHABLE)
        }
        self._deleted = [name for name in _PATCHABLE if name not in _LIVE]
        _LIVE.update(_PATCHABLE)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _LIVE.update(self._added)
        for name in self._deleted:
            _LIVE.pop(name, None)


class Worker:
    """One namespace, the tools in it, and the wire they use."""

    def __init__(self, wire: socket.socket, output: int, cpu_s: int) -> None:
        self._send: Callable[[bytes], object] = wire.sendall
        self._receive = wire.recv
        news = select.poll()
        news.register(wire, select.POLLIN)
        self._news = news.poll
        self._arrived = b""
        self._cpu_s = cpu_s
        self._wire = wire
        self._output = output
        self._lock = threading.Lock()
        self._home = getpid()
        self._step: str | None = None
        self._set_for: tuple[Any, ...] | None = None
        """The block for which all is in place: see `_set_out`."""
        self._call_id = 0
        self._provided = dict(PROVIDED)
        main = sys.modules["__main__"] = ModuleType("__main__")
        self._names = main.__dict__
        self._streams: _Streams | None = None
        self._reseed = random.seed  # noqa: TID251 - the block's generator, seeded by the host

    def rehearse(self) -> None:
        """Runs a block for nothing and tells nobody: a fork pays for each page at its first use,
        better now than when somebody waits."""
        send, self._send = self._send, len
        self._arrived = pack(REHEARSAL)
        self.run(self.receive())
        self._send = send

    def run(self, step: Mapping[str, Any]) -> None:
        """Runs a block and tells the host how it ended."""
        report = self.execute(step)
        if getpid() != self._home:
            _exit(0)  # a copy that the block forked off must not answer for it
        with self._lock:  # a call from a thread that is under way gets its answer first
            self._step = None
            names = self._bound()
            self._send(pack({"type": "done", "step": step["step"], "bound": names, **report}))

    def expect(self, turn: int, session_seed: str, tools: list[str]) -> None:
        """Sets out for a block that has not come yet, while the model thinks."""
        if not self._news(QUIET_MS):
            with _Room():
                self._set_out(turn, session_seed, tools)

    def execute(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """Runs a block and returns what is to be told of its end."""
        filename, code = f"<block {step['turn'] + 1}>", step["code"]
        lines = StringIO(f"{code}\n", newline=None).readlines()
        with _Room():
            _attempt(lambda: linecache.cache.update({filename: (len(code), None, lines, filename)}))
            self._set_out(step["turn"], step["seed"], step["tools"])
        self._step = step["step"]
        report: dict[str, Any] = {}
        failed: BaseException | None = None
        try:
            exec(compile(code, filename, "exec", dont_inherit=True), self._names)  # noqa: S102
        except BaseException as error:  # SystemExit and its like are data
            failed = error
        for stop in (settrace, setprofile) * 2:
            try:
                stop(None)  # called from here, since a call of a function of ours would be traced
            except BaseException:  # noqa: S112 - what is stopped may see it coming, and raise
                continue
        with _Room():
            if failed is not None:
                with _Unpatched():
                    report = {**describe(failed), "cap": isinstance(failed, ToolCapExceeded)}
            self._flush()
        return report

    def _set_out(self, turn: int, session_seed: str, tools: list[str]) -> None:
        """What a block finds is in place, if it was not already."""
        if self._set_for == (turn, session_seed, tools):
            return
        self._set_for = turn, session_seed, tools
        seed = f"{session_seed}/{turn}"
        _attempt(self._renew_cpu)
        self._restore_streams()
        self._provide(tools)
        try:
            self._reseed(seed)
        except BaseException:  # it is written in Python
            with _Unpatched():
                _attempt(lambda: self._reseed(seed))

    def _renew_cpu(self) -> None:
        """CPU time for one more block, and for threads until then: a backstop for when the host
        itself is held up."""
        _, hard = getrlimit(RLIMIT_CPU)
        soft = int(process_time()) + self._cpu_s
        soft = soft if hard == RLIM_INFINITY else min(soft, hard)
        setrlimit(RLIMIT_CPU, (soft, hard))

    def _provide(self, tools: list[str]) -> None:
        """Tools and error classes are in place unless the agent has given their names to others."""
        self._names["__builtins__"] = builtins
        for name in tools:
            if name not in self._provided:
                self._provided[name] = self._tool(name)
        for name, value in self._provided.items():
            self._names.setdefault(name, value)

    def _bound(self) -> list[str]:
        missing = object()
        return [
            name if name.isascii() else plain(name)
            for name, value in list(self._names.items())
            if type(name) is str
            and not name.startswith("__")
            and value is not self._provided.get(name, missing)
        ]

    # -- tools

    def _tool(self, name: str) -> Callable[..., Any]:
        def tool(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, args, kwargs)

        tool.__name__ = tool.__qualname__ = name
        return tool

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if problem := not_json([args, kwargs]):
            raise TypeError(f"{name}() takes JSON data, not {problem}")
        with self._lock:
            if self._step is None or getpid() != self._home:
                raise RuntimeError(f"{name}() can be called only by the block that is running")
            self._call_id += 1
            message = {"type": "call", "step": self._step, "id": self._call_id, "tool": name}
            frame = pack({**message, "args": args, "kwargs": kwargs})
            if len(frame) > MAX_FRAME:
                raise ValueError(f"the arguments of {name}() are longer than {MAX_FRAME:,} bytes")
            self._send(frame)
            reply = self.receive()
            while reply.get("id") != self._call_id:  # a signal handler broke off an earlier call
                reply = self.receive()
        if "error" in reply:
            raise RAISED[reply["error"]](*reply["args"])
        return reply["result"]

    # -- the wire

    def receive(self) -> dict[str, Any]:
        """Returns the next message; ends the process when the host has hung up."""
        while len(self._arrived) < 4 or len(self._arrived) < self._end():
            part = self._receive(1 << 16)
            if not part:
                _exit(0)
            self._arrived += part
        end = self._end()
        payload, self._arrived = self._arrived[4:end], self._arrived[end:]
        message: dict[str, Any] = unpack(payload)
        return message

    def _end(self) -> int:
        return 4 + int.from_bytes(self._arrived[:4], "big")

    # -- output

    def _restore_streams(self) -> None:
        """The three standard streams are the session's own again, open and on their descriptors."""
        dup2(self._output, 1)
        dup2(self._output, 2)
        if self._streams is not None:
            _install(self._streams)  # first, since what it replaces may close ours as it goes
        if self._streams is None or _closed(self._streams):
            source = open_descriptor(devnull, O_RDONLY)
            dup2(source, 0)
            close(source)
            with _Unpatched():
                self._streams = _open_streams()
            _install(self._streams)

    def _flush(self) -> None:
        assert self._streams is not None
        _, stdout, stderr = self._streams
        used = getattr(sys, "stdout", None), getattr(sys, "stderr", None)
        if used[0] is not stdout or used[1] is not stderr:
            with _Unpatched():
                for stream in used:
                    _flush(stream)
        _flush(stdout)
        _flush(stderr)


_Streams = tuple[TextIOWrapper, TextIOWrapper, TextIOWrapper]


def _open_streams() -> _Streams:
    """Returns stdin, stdout and stderr for descriptors 0 and 1.

    Both outputs write through one buffer, flushed at every line end: they stay in order, and a
    block that is killed has shown what it printed.
    """
    stdin = BufferedReader(FileIO(0, closefd=False))
    buffer = BufferedWriter(FileIO(1, "w", closefd=False))
    stdout, stderr = (
        TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True, write_through=True)
        for _ in range(2)
    )
    return TextIOWrapper(stdin, "utf-8"), stdout, stderr


def _install(streams: _Streams) -> None:
    sys.stdin, sys.stdout, sys.stderr = streams
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]  # a block's too


def _closed(streams: _Streams) -> bool:
    stdin, stdout, stderr = streams
    try:
        return stdin.closed or stdout.closed or stderr.closed
    except ValueError:  # detached
        return True


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except BaseException:  # closed, or an object of the block's
        return
