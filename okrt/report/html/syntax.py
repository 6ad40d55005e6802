"""Which characters of a block are keywords, strings, names of tools: colours for a page.

Tokens come from the standard library's tokenizer. A block that it cannot read to its end keeps the
colours up to where it stopped, so code that is no Python at all has none.
"""

from __future__ import annotations

import builtins
import io
import keyword
import tokenize
from collections.abc import Iterator
from functools import lru_cache

LONGEST = 50_000
"""Characters. A longer block stays plain: nobody reads all of it, and colours take their time."""

_KEYWORDS = frozenset(keyword.kwlist)
_BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("_"))
_STARTS = frozenset(
    kind for kind, name in tokenize.tok_name.items() if name.endswith("STRING_START")
)
_ENDS = frozenset(kind for kind, name in tokenize.tok_name.items() if name.endswith("STRING_END"))
"""From Python 3.12 on, an f-string is many tokens; here it is one string on every version."""

_KINDS = {tokenize.STRING: "s", tokenize.NUMBER: "n", tokenize.COMMENT: "c"}

Token = tuple[str, tuple[int, int], tuple[int, int]]
"""A kind, where it begins and where it ends: line from 1, column from 0."""


@lru_cache(maxsize=256)  # a model that is stuck writes the same block again
def colours(code: str, tools: tuple[str, ...] = ()) -> str:
    """Returns runs of equal colour as text, `7-3k1-4s`: the rest of the block is plain.

    Each is a length in UTF-16 code units, as JavaScript counts, and a kind: `k` keyword, `s`
    string, `n` number, `c` comment, `b` builtin, `d` name that is defined, `t` name of a tool,
    `-` plain.
    """
    if len(code) > LONGEST:
        return ""
    starts, units = _starts(code), len if code.isascii() else _units
    parts: list[str] = []
    done = 0
    for kind, (line, column), (end_line, end_column) in _tokens(code, frozenset(tools)):
        start, end = starts[line - 1] + column, starts[end_line - 1] + end_column
        if done < start:
            parts.append(f"{units(code[done:start])}-")
        parts.append(f"{units(code[start:end])}{kind}")
        done = end
    return "".join(parts)


def _starts(code: str) -> list[int]:
    """Where each line begins, as the tokenizer counts lines."""
    starts = [0]
    for line in io.StringIO(code, newline=""):
        starts.append(starts[-1] + len(line))
    return starts


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _tokens(code: str, tools: frozenset[str]) -> Iterator[Token]:
    """Yields the tokens that have a colour, as far as the code can be read."""
    before, opened, start = "", 0, (1, 0)
    lines = io.StringIO(code, newline="").readline
    try:
        for token in tokenize.generate_tokens(lines):
            if token.type in _STARTS:
                start = start if opened else token.start
                opened += 1
            elif token.type in _ENDS:
                opened -= 1
                if not opened:
                    yield "s", start, token.end
            elif not opened and (kind := _kind(token, before, tools)):
                yield kind, token.start, token.end
            before = token.string
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _kind(token: tokenize.TokenInfo, before: str, tools: frozenset[str]) -> str:
    if token.type == tokenize.NAME:
        return _name(token.string, before, tools)
    return _KINDS.get(token.type, "")


def _name(name: str, before: str, tools: frozenset[str]) -> str:
    if name in _KEYWORDS:
        return "k"
    if before in ("def", "class"):
        return "d"
    if before == ".":
        return ""
    if name in tools:
        return "t"
    return "b" if name in _BUILTINS else ""
