"""Runs the blocks of one session inside its sandboxed process.

The zygote loads this file by path: standard library only, no import of okrt. Frames on the wire are
four bytes of length and a JSON object. The host sends `step` and `reply`, the child `call` and
`done`; nothing else is ever sent, and nothing between `done` and the next `step`.
"""

from __future__ import annotations

import builtins
import io
import json
import linecache
import math
import os
import random
import re
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NoReturn

MAX_FRAME = 1 << 20
"""Bytes of the largest frame that a child may send."""
MAX_DEPTH = 64
"""Levels of nesting in arguments and results: every JSON reader and writer copes with these."""
MAX_VALUES = 500_000
"""Values in arguments and results: more do not fit a frame."""
ERROR_CHARS = 20_000
"""Longest error text; what is longer is cut in the middle."""


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

REHEARSAL: Mapping[str, Any] = {"step": None, "turn": -1, "code": "", "seed": "", "tools": []}


def pack(message: Mapping[str, Any]) -> bytes:
    """Returns the frame of a message."""
    payload = json.dumps(message).encode()
    return len(payload).to_bytes(4, "big") + payload


def not_json(value: object) -> str | None:
    """Returns what keeps a value from being JSON data that survives any reader, or None.

    Strict where `json.dumps` is lax: no keys that would turn into text, no nan, no integer beyond
    64 bits, no lone surrogate, at most MAX_DEPTH levels. Tuples count as lists.
    """
    waiting: list[tuple[object, int]] = [(value, 0)]
    for _ in range(MAX_VALUES):
        if not waiting:
            return None
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"data nested deeper than {MAX_DEPTH} levels"
        if isinstance(item, (list, tuple)):
            waiting.extend((part, depth + 1) for part in item)
        elif isinstance(item, dict):
            for key, part in item.items():
                if not isinstance(key, str):
                    return f"a dict with a key of type {type(key).__name__}"
                waiting += [(key, depth), (part, depth + 1)]
        elif problem := _not_scalar(item):
            return problem
    return f"more than {MAX_VALUES:,} values"


def _not_scalar(item: object) -> str | None:
    if isinstance(item, str):
        return None if item.isascii() or _plain(item) == item else "text with a lone surrogate"
    if isinstance(item, int):
        return None if -(2**63) <= item < 2**64 else "an int beyond 64 bits"
    if isinstance(item, float):
        return None if math.isfinite(item) else f"the float {item}"
    return None if item is None else f"type {type(item).__name__}"


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


# -- errors as text -------------------------------------------------------------------------------


def describe(error: BaseException) -> dict[str, Any]:
    """Returns what the host is told of an uncaught exception."""
    kind = _shielded(lambda: type(error).__name__) or "BaseException"
    text = _shielded(lambda: _format(error)) or kind
    if len(text) > ERROR_CHARS:
        half = ERROR_CHARS // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half} characters cut]\n{text[-half:]}"
    return {
        "error_type": kind,
        "error": text,
        "missing_name": _shielded(lambda: missing_name(error)),
        "cap": isinstance(error, ToolCapExceeded),
    }


def _shielded(text: Callable[[], str | None]) -> str | None:
    """The exception is the block's, and so may be its name, its `__str__` and its attributes."""
    try:
        found = text()
        return None if found is None else _plain(found)
    except BaseException:
        return None


def _format(error: BaseException) -> str:
    """Returns the traceback with the lines of blocks only: no runner, no path of the machine."""
    whole = traceback.TracebackException.from_exception(error)
    waiting: list[traceback.TracebackException | None] = [whole]
    while waiting:
        part = waiting.pop()
        if part is not None:
            part.stack[:] = [line for line in part.stack if line.filename.startswith("<block ")]
            waiting += [part.__cause__, part.__context__, *(part.exceptions or ())]
    bare = not whole.stack and whole.__cause__ is None and whole.__context__ is None
    return "".join(whole.format_exception_only() if bare else whole.format())


def missing_name(error: BaseException) -> str | None:
    """Returns the name that a NameError missed, if it tells."""
    if not isinstance(error, NameError) or isinstance(error, UnboundLocalError):
        return None
    if isinstance(error.name, str):
        return error.name
    found = re.match(r"name '([^']+)' is not defined", str(error))
    return found[1] if found else None


# -- the process ----------------------------------------------------------------------------------


def serve(wire: int, output: int, renew: Callable[[], None]) -> NoReturn:
    """Runs blocks until the host hangs up."""
    worker = Worker(socket.socket(fileno=wire), output)
    # Once for nothing: a fork pays for each page at its first use, better now than in a block.
    worker.execute(json.loads(json.dumps(REHEARSAL)))
    while True:
        message = worker.receive()
        if message["type"] == "step":  # else: the answer to a call that its block abandoned
            renew()
            worker.run(message)


class Worker:
    """One namespace, the tools in it, and the wire they use."""

    def __init__(self, wire: socket.socket, output: int) -> None:
        self._wire = wire
        self._output = output
        self._lock = threading.Lock()
        self._home = os.getpid()
        self._step: str | None = None
        self._call_id = 0
        self._provided = dict(PROVIDED)
        main = sys.modules["__main__"] = ModuleType("__main__")
        self._names = main.__dict__
        self._names["__builtins__"] = builtins  # the real ones: this file runs on a copy
        self._streams: list[io.TextIOWrapper] = []
        self._reseed = random.seed  # noqa: TID251 - the block's generator, seeded by the host

    def run(self, step: Mapping[str, Any]) -> None:
        """Runs a block and tells the host how it ended."""
        report = self.execute(step)
        if os.getpid() != self._home:
            os._exit(0)  # a copy that the block forked off must not answer for it
        with self._lock:  # a call from a thread that is under way gets its answer first
            self._step = None
            names = self._bound()
            self._wire.sendall(
                pack({"type": "done", "step": step["step"], "bound": names, **report})
            )

    def execute(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """Runs a block and returns what is to be told of its end."""
        filename, code = f"<block {step['turn'] + 1}>", step["code"]
        lines = io.StringIO(f"{code}\n", newline=None).readlines()
        linecache.cache[filename] = (len(code), None, lines, filename)
        self._restore_streams()
        self._provide(step["tools"])
        self._reseed(f"{step['seed']}/{step['turn']}")
        self._step = step["step"]
        report: dict[str, Any] = {}
        try:
            exec(compile(code, filename, "exec", dont_inherit=True), self._names)  # noqa: S102
        except BaseException as error:  # SystemExit and its like are data
            report = describe(error)
        sys.settrace(None)
        sys.setprofile(None)
        self._flush()
        return report

    def _provide(self, tools: list[str]) -> None:
        """Tools and error classes are in place unless the agent has given their names to others."""
        for name in tools:
            if name not in self._provided:
                self._provided[name] = self._tool(name)
        for name, value in self._provided.items():
            self._names.setdefault(name, value)

    def _bound(self) -> list[str]:
        missing = object()
        return [
            _plain(name)
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
            if self._step is None or os.getpid() != self._home:
                raise RuntimeError(f"{name}() can be called only by the block that is running")
            self._call_id += 1
            message = {"type": "call", "step": self._step, "id": self._call_id, "tool": name}
            frame = pack({**message, "args": args, "kwargs": kwargs})
            if len(frame) > MAX_FRAME:
                raise ValueError(f"the arguments of {name}() are longer than {MAX_FRAME:,} bytes")
            self._wire.sendall(frame)
            reply = self.receive()
            while reply.get("id") != self._call_id:  # a signal handler broke off an earlier call
                reply = self.receive()
        if "error" in reply:
            raise RAISED[reply["error"]](*reply["args"])
        return reply["result"]

    # -- the wire

    def receive(self) -> dict[str, Any]:
        """Returns the next message; ends the process when the host has hung up."""
        length = int.from_bytes(self._read(4), "big")
        message: dict[str, Any] = json.loads(self._read(length))
        return message

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._wire.recv(min(length - len(parts), 1 << 16))
            if not part:
                os._exit(0)
            parts += part
        return bytes(parts)

    # -- output

    def _restore_streams(self) -> None:
        """The three standard streams are the session's own again, open and on their descriptors."""
        os.dup2(self._output, 1)
        os.dup2(self._output, 2)
        self._install_streams()  # first, since what it replaces may close ours as it goes
        if not self._streams or any(_closed(stream) for stream in self._streams):
            source = os.open(os.devnull, os.O_RDONLY)
            os.dup2(source, 0)
            os.close(source)
            self._streams = _open_streams()
            self._install_streams()

    def _install_streams(self) -> None:
        for name, stream in zip(("stdin", "stdout", "stderr"), self._streams, strict=False):
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def _flush(self) -> None:
        replaced = (getattr(sys, name, None) for name in ("stdout", "stderr"))
        for stream in (*replaced, *self._streams[1:]):
            try:
                stream.flush()  # type: ignore[union-attr]  # None fails like any other object
            except BaseException:  # noqa: S112 - closed, or an object of the block's
                continue


def _open_streams() -> list[io.TextIOWrapper]:
    """Returns stdin, stdout and stderr for descriptors 0 and 1.

    Both outputs write through one buffer, flushed at every line end: they stay in order, and a
    block that is killed has shown what it printed.
    """
    stdin = io.BufferedReader(io.FileIO(0, closefd=False))
    buffer = io.BufferedWriter(io.FileIO(1, "w", closefd=False))
    return [
        io.TextIOWrapper(stdin, "utf-8"),
        *(
            io.TextIOWrapper(
                buffer, "utf-8", "backslashreplace", line_buffering=True, write_through=True
            )
            for _ in range(2)
        ),
    ]


def _closed(stream: io.TextIOWrapper) -> bool:
    try:
        return stream.closed
    except ValueError:  # detached
        return True
