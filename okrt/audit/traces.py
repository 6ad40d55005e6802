"""What is audited: an episode as other people's files tell it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

TraceFormat = Literal["messages", "okrt", "harness"]
"""`messages`: a chat; `okrt`: a line of our `episodes.jsonl`; `harness`: a trace file of the
published harness (arXiv 2603.01209)."""


@dataclass(frozen=True, slots=True)
class TraceBlock:
    """The code of one turn."""

    code: str
    observation: str | None = None
    """What the model was shown; None: not known."""
    raised: bool = False
    """It is known to have ended in an error."""
    missing_name: str | None = None
    """The name of the NameError that ended it, where that is known."""


@dataclass(frozen=True, slots=True)
class Trace:
    id: str
    format: TraceFormat
    blocks: tuple[TraceBlock, ...]
    provided: frozenset[str] = frozenset()
    """Names that the runtime gives to every block: tools."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A line or file that gave no trace."""

    where: str
    reason: str


_ERROR = re.compile(
    r"^Traceback \(most recent call last\)|^[\w.]*(?:Error|Exception|Interrupt)\b:"
    r"|^[^\w\n]*error\W",
    re.MULTILINE | re.IGNORECASE,
)
_MISSING = re.compile(r"NameError: name '(\w+)' is not defined|The variable `(\w+)` is not defined")
_LONGEST_LOOK = 20_000
"""Characters at the end of an observation among which an error is looked for."""


def block(code: str, observation: str | None) -> TraceBlock:
    """Returns a block of which no more is known than the text that was shown.

    The second wording of a missing name is that of smolagents' own interpreter.
    """
    end = (observation or "")[-_LONGEST_LOOK:]
    missing = _MISSING.search(end)
    name = (missing.group(1) or missing.group(2)) if missing else None
    return TraceBlock(code, observation, bool(name or _ERROR.search(end)), name)
