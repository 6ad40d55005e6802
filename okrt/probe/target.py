"""Which target is asked, and what an adapter is: two small protocols and the answer to a block."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from okrt.errors import InfrastructureError

KINDS = ("jupyter", "python", "mcp", "smolagents")

Status = Literal["ok", "error", "timeout", "died"]


class ProbeError(InfrastructureError):
    """A target could not be probed: it did not answer, ended, or sent without end."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Which interpreter to ask, and how to reach it."""

    kind: str
    """One of `KINDS`, `contract` or `own`."""
    detail: str = ""
    """Kernel, URL, modules that smolagents may import, contract, or `module:attribute`."""
    command: tuple[str, ...] = ()
    keep: bool = False
    """`python`: one process is fed all blocks of a session, instead of a fresh one for each."""
    end: str | None = None
    """`python`, kept: the line that ends a block; None: the process is fed as a REPL is."""
    tool: str | None = None
    argument: str | None = None
    """`mcp`: the tool that runs code and its argument; None: found by their names."""

    @property
    def name(self) -> str:
        """The target as the user wrote it."""
        if self.kind in ("contract", "own"):
            return self.detail
        if self.command:
            return shlex.join([self.kind, *self._kept(), "--", *self.command])
        joint = " " if self.kind == "mcp" else ":"
        return f"{self.kind}{joint}{self.detail}" if self.detail else self.kind

    def _kept(self) -> Sequence[str]:
        if self.end is not None:
            return ["--end", self.end]
        return ["--keep"] if self.keep else []


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one block."""

    text: str
    """All that an agent would be shown: output, and the error if there was one."""
    status: Status = "ok"
    """`error`: the target said that the block failed; `timeout`: nothing was heard within the time
    given; `died`: the interpreter ended. A target that tells no errors apart answers `ok`."""


class Session(Protocol):
    """One interpreter, as one agent would have it."""

    def run(self, code: str, timeout_s: float) -> Answer:
        """Runs a block; returns after `timeout_s` at the latest and then stops the block, if there
        is a way to. The next call meets whatever is left."""
        ...

    def close(self) -> None: ...


class Target(Protocol):
    """Where sessions come from. `module:attribute` names one, or a function that makes one."""

    def open(self) -> Session:
        """Returns a new session, apart from those that are open.

        Raises:
            Exception: none can be had; its text is shown to the user.
        """
        ...

    def close(self) -> None: ...
