"""The process that holds an adapter and its target; `okrt.probe.holder` speaks with it.

One line of JSON each way: requests on descriptor 0, replies on what was descriptor 1. Whatever a
target does to this process, hanging, flooding and forking included, ends with it.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import shutil
import signal
import threading
import time
import traceback
from typing import Any, BinaryIO

import msgspec

from okrt.errors import SpecError, UsageError
from okrt.probe.processes import adopt_orphans, kill_descendants, memory_bytes
from okrt.probe.target import Answer, Session, Target, TargetSpec

TEXT_CHARS = 2_000_000
"""Of one answer; what is beyond stays here."""
MEMORY_BYTES = 1 << 30
"""Beyond what it began with; a target that floods fills this process before any other."""
FLOODED = 77
"""Exit status: the target filled the memory."""


def main(spec: str, close_s: float) -> None:
    """Serves the target of a spec (JSON) until its requests end, then closes everything, for which
    there are `close_s` seconds."""
    adopt_orphans()
    # A shell has what it starts in the background ignore interrupts, and every process below
    # inherits that: a target could not be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wire = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a target prints by itself is no reply
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    source = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    threading.Thread(target=_read, args=[source, requests, close_s], daemon=True).start()
    threading.Thread(target=_watch_memory, daemon=True).start()
    status = 1
    try:
        _serve(msgspec.json.decode(spec, type=TargetSpec), wire, requests)
        status = 0
    except Exception:
        traceback.print_exc()  # its last line is what the other side tells the user
    finally:
        _leave(status)


def _serve(
    spec: TargetSpec, wire: BinaryIO, requests: queue.SimpleQueue[dict[str, Any] | None]
) -> None:
    try:
        target = make(spec)
    except UsageError as error:
        return _reply(wire, {"usage": str(error)})
    except Exception as error:  # an adapter may be anybody's
        return _reply(wire, {"failed": _told(error)})
    _reply(wire, {"ready": True})
    sessions: list[Session] = []
    while (request := requests.get()) is not None:
        try:
            _reply(wire, _answer(target, sessions, request))
        except UsageError as error:
            _reply(wire, {"usage": str(error)})
        except Exception as error:
            _reply(wire, {"failed": _told(error)})
    for session in sessions:
        session.close()
    target.close()
    return None


def make(spec: TargetSpec) -> Target:
    """Returns the target of a spec.

    Raises:
        UsageError: a package or command is missing, or the spec names nothing.
    """
    if spec.command and shutil.which(spec.command[0]) is None:
        raise SpecError(f"no command {spec.command[0]!r}: it is not on the PATH")
    try:
        # Only the module that was asked for: each needs a package that the others do not.
        adapter = importlib.import_module(f"okrt.probe.adapters.{spec.kind}")
    except ModuleNotFoundError as error:
        raise SpecError(
            f"{spec.kind} needs the package {error.name}: pip install 'okrt[probe]'"
        ) from None
    target: Target = adapter.make(spec)
    return target


def _answer(target: Target, sessions: list[Session], request: dict[str, Any]) -> dict[str, Any]:
    if request["op"] == "open":
        sessions.append(target.open())
        return {"session": len(sessions) - 1}
    answer = sessions[request["session"]].run(request["code"], request["timeout_s"])
    if not isinstance(answer, Answer):
        raise TypeError(f"run() must return an okrt.probe.target.Answer, not {answer!r:.80}")
    return {"status": answer.status, "text": answer.text[:TEXT_CHARS]}


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _reply(wire: BinaryIO, reply: dict[str, Any]) -> None:
    text = json.dumps(reply, ensure_ascii=False)
    wire.write(text.encode("utf-8", "replace") + b"\n")  # lone surrogates are no JSON elsewhere
    wire.flush()


def _read(
    source: BinaryIO, requests: queue.SimpleQueue[dict[str, Any] | None], close_s: float
) -> None:
    for line in source:
        requests.put(json.loads(line))
    requests.put(None)
    time.sleep(close_s)  # the other side has gone, and the main thread may never come back
    _leave(1)


def _watch_memory() -> None:
    first = memory_bytes()
    while first is not None:
        time.sleep(0.05)
        if (memory_bytes() or 0) > first + MEMORY_BYTES:
            _leave(FLOODED)


def _leave(status: int) -> None:
    """Ends at once: a thread that hangs is not waited for."""
    kill_descendants(os.getpid())
    os._exit(status)
