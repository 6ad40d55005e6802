"""A token counter that needs no vocabulary: it stands in where a model has no tokenizer."""

from __future__ import annotations

import re
from functools import lru_cache

COUNTER = "simple/1"
"""Names this counter where a tokenizer's digest would stand; another rule gets another name."""

_TOKEN = re.compile(r"[^\W\d_]+|\d{1,3}|[^\w\s]|_")


@lru_cache(maxsize=1024)
def count_tokens(text: str) -> int:
    """Returns the words, groups of up to three digits, and single signs in `text`; spaces are free.

    Counts are kept, because a history is counted again at each turn.
    """
    return len(_TOKEN.findall(text))


def first_tokens(text: str, limit: int) -> str:
    """Returns `text` up to the end of token number `limit`: all of it where it has no more."""
    if count_tokens(text) <= limit:
        return text
    end = 0
    for count, match in enumerate(_TOKEN.finditer(text)):
        if count == limit:
            break
        end = match.end()
    return text[:end]
