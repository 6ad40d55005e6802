"""Text from outside, made safe to show."""

from __future__ import annotations

import unicodedata

_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that a terminal may act on instead of showing: control, format (bidirectional
overrides among them), surrogates, line and paragraph separators."""


def plain(text: str) -> str:
    """Returns the text with all control characters but newline and tab written as escapes."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in _ESCAPED
        else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str, limit: int = 200) -> str:
    """Returns the text on one line of at most `limit` characters, safe to show."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 3] + "..."
