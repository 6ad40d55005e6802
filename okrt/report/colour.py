"""Colour in the terminal: few, each with a meaning, and none where it is not wanted.

By hand, as `rich` would be 10 MB of packages for five escape sequences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Literal, TextIO

Style = Literal["heading", "bad", "lost", "code", "faint"]
"""`bad`: what went wrong. `lost`: a variable was missing. `faint`: what is beside the point."""
Paint = Callable[[Style, str], str]
"""Returns a text, of one line, in a style. What is painted and what is not read the same."""

_CODES: Mapping[Style, str] = {
    "heading": "1",
    "bad": "31",
    "lost": "1;35",
    "code": "36",
    "faint": "2",
}


def unpainted(style: Style, text: str) -> str:
    """Returns the text as it is."""
    return text


def painted(style: Style, text: str) -> str:
    """Returns the text between ANSI escape sequences; the text itself must hold none."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if text else text


def painter(stream: TextIO) -> Paint:
    """Returns `painted` where a stream is to have colours, else `unpainted`."""
    return painted if colours(stream) else unpainted


def colours(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Whether what is written to a stream is to have colours.

    NO_COLOR, if it is not empty, forbids them (no-color.org), and goes before FORCE_COLOR, which
    asks for them anywhere (force-color.org); else a terminal has them that is not TERM=dumb. The
    order is that of Python's own tracebacks.
    """
    given = os.environ if environment is None else environment
    if given.get("NO_COLOR"):
        return False
    if given.get("FORCE_COLOR"):
        return True
    return given.get("TERM") != "dumb" and stream.isatty()
