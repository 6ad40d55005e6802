"""Uncaught exceptions of a block, as the host is told of them.

Runs in the sandbox, on a copy of the builtins: standard library only.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

from okrt.runtimes.frames import plain

ERROR_CHARS = 20_000
"""Longest error text; what is longer is cut in the middle."""


def describe(error: BaseException) -> dict[str, Any]:
    """Returns what the host is told of an uncaught exception."""
    kind = _shielded(lambda: type(error).__name__) or "BaseException"
    text = _shielded(lambda: _format(error)) or _shielded(lambda: f"{kind}: {error}") or kind
    if len(text) > ERROR_CHARS:
        half = ERROR_CHARS // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half} characters cut]\n{text[-half:]}"
    return {
        "error_type": kind,
        "error": text,
        "missing_name": _shielded(lambda: missing_name(error)),
    }


def _shielded(text: Callable[[], str | None]) -> str | None:
    """The exception is the block's, and so may be its name, its `__str__` and its attributes."""
    try:
        found = text()
        return None if found is None else plain(found)
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
