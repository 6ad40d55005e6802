"""Text from outside, made safe to show."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that a terminal may act on instead of showing: control, format (bidirectional
overrides among them), surrogates, line and paragraph separators."""


_DOUBTFUL = re.compile(r"[^ -~\n\t]")
"""Characters to look at: nearly all text has none."""


def plain(text: str) -> str:
    """Returns the text with all control characters but newline and tab written as escapes."""
    return _DOUBTFUL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _ESCAPED:
        return character
    return character.encode("unicode_escape").decode()


def plain_json(document: bytes) -> str:
    """Returns a JSON document, which reads the same, with such characters as JSON's own escapes."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in _ESCAPED
        else json.dumps(character)[1:-1]
        for character in document.decode()
    )


def one_line(text: str, limit: int = 200) -> str:
    """Returns the text on one line of at most `limit` characters, safe to show."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def pieces(line: str, width: int) -> Iterator[str]:
    """Yields a line in pieces that take at most `width` columns of a terminal, at least one
    character each; an empty line as it is."""
    start, taken = 0, 0
    for at, character in enumerate(line):
        wide = _columns(character)
        if taken + wide > width and at > start:
            yield line[start:at]
            start, taken = at, 0
        taken += wide
    yield line[start:]


def _columns(character: str) -> int:
    """At most; how far a tab goes hangs on where it stands."""
    if character == "\t":
        return 8
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
