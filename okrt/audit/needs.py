"""What a block wants of the blocks before it, what it leaves behind, and what hides either.

Nothing is run. `okrt.audit.bodies` walks the code; this module knows what is no Python, and why.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from okrt.analysis.defuse import UNREADABLE, parsed
from okrt.audit.bodies import Module
from okrt.audit.shields import Read


@dataclass(frozen=True, slots=True)
class Needs:
    """What is seen of one block."""

    reads: tuple[Read, ...] = ()
    """One for each name, in the order met; of several reads the least shielded."""
    bound: frozenset[str] = frozenset()
    """Bound when the block has ended; what its functions bind by `global` included."""
    deleted: frozenset[str] = frozenset()
    """Taken away by `del` and not bound again."""
    hidden: tuple[str, ...] = ()
    """What hides names: `exec`, `globals()`, `star import`, `magic`."""
    unreadable: str | None = None
    """Why the block could not be read, or None."""
    tree: ast.Module | None = None
    """The syntax tree, where it could."""


def needs(code: str) -> Needs:
    """Returns what is seen of a block; no code is too broken for an answer."""
    code, magics = _without_magics(code)
    hidden = ("magic",) if magics else ()
    try:
        tree = parsed(code)
        reader = Module(_has_lazy_annotations(tree))
        reader.visit(tree)
    except UNREADABLE as error:
        return Needs(hidden=hidden, unreadable=_why(code, error))
    return Needs(
        reads=tuple(reader.reads.values()),
        bound=frozenset(reader.left),
        deleted=frozenset(reader.deleted),
        hidden=hidden + tuple(sorted(reader.hidden)),
        tree=tree,
    )


_MAGIC = re.compile(r"^([ \t]*)(?:([A-Za-z_]\w*)[ \t]*=[ \t]*)?(?:[!%]|\?\s*\w).*$", re.MULTILINE)
_HARMLESS = re.compile(r"^[ \t]*(?:!|%(?:matplotlib|pip|conda|timeit|time|config|cd|pwd|ls)\b|\?)")
_PYTHON_2 = re.compile(r"^[ \t]*print[ \t]+[^\s(=.]|\bexcept \w+, \w+:", re.MULTILINE)


def _without_magics(code: str) -> tuple[str, bool]:
    """Returns the code with IPython's lines made Python, and whether one of them may bind names.

    `x = !ls` and `x = %sql ...` bind x; the rest is a `pass`. Only code that is no Python without
    that is touched: a line of a string may begin with `%` or `!`.
    """
    if not _MAGIC.search(code) or _parses(code):
        return code, False
    found = [match.group() for match in _MAGIC.finditer(code) if match.group(2) is None]
    plain = _MAGIC.sub(lambda m: f"{m[1]}{m[2]} = None" if m[2] else f"{m[1]}pass", code)
    return plain, any(not _HARMLESS.match(line) for line in found)


def _has_lazy_annotations(tree: ast.Module) -> bool:
    futures = (s for s in tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__")
    return any(alias.name == "annotations" for future in futures for alias in future.names)


def _parses(code: str) -> bool:
    try:
        parsed(code)
    except UNREADABLE:
        return False
    return True


def _why(code: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and _PYTHON_2.search(code):
        return "Python 2"
    if isinstance(error, SyntaxError):
        return "syntax error"
    return "too deeply nested" if isinstance(error, RecursionError | MemoryError) else str(error)
