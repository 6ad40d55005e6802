"""A law that a runtime keeps, and a way to write one: blocks, and what is wanted of each.

A law asks through the protocol of `okrt.types` alone, so that it holds anybody's runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from okrt.errors import ToolError
from okrt.types import Contract, Limits, Runtime

Wanted = Mapping[str, Any]
"""What an `okrt.types.Execution` has to say, by field."""
Block = tuple[str, Wanted]
"""Code, and what is wanted of it."""


@dataclass(frozen=True, slots=True)
class Law:
    """A sentence that is true of a runtime."""

    name: str
    """Says what the runtime does that keeps it."""
    broken: Callable[[Runtime], str | None]
    """Returns what was found against it, or None."""


def hold(law: Law, runtime: Runtime) -> None:
    """Raises AssertionError, its message begun with the law, unless the runtime keeps it."""
    try:
        found = law.broken(runtime)
    except Exception as error:
        text = f"{law.name}: the runtime raised {type(error).__name__}: {error}"
        raise AssertionError(text) from error
    if found is not None:
        raise AssertionError(f"{law.name}: {found}")


def plays(
    name: str,
    contract: Contract,
    *blocks: Block,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Law:
    """Returns the law that one session runs these blocks as wanted; it has the tools TOOLS."""

    def broken(runtime: Runtime) -> str | None:
        with runtime.open(contract, TOOLS, limits, "check") as session:
            for code, wanted in blocks:
                execution = session.execute(code)
                for field, value in wanted.items():
                    if getattr(execution, field) != value:
                        return f"{field} should be {value!r} after {code!r}: {execution!r:.600}"
        return None

    return Law(name, broken)


OK: Wanted = {"status": "ok"}
ON: Block = ("print('on')", {"status": "ok", "stdout": "on\n"})


def shows(text: object) -> Wanted:
    """A block that ends well and prints this."""
    return {"status": "ok", "stdout": f"{text}\n"}


def raises(kind: str) -> Wanted:
    """A block that ends in an exception of this type."""
    return {"status": "raised", "error_type": kind}


def _refuse(reason: str) -> None:
    raise ToolError(reason)


def _find(key: str) -> None:
    raise KeyError(key)


TOOLS: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "echo": lambda value: value,
    "refuse": _refuse,
    "find": _find,
}
