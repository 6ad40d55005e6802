"""HTML as text that cannot be forgotten to be escaped: only `Markup` goes in as it is."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from okrt.report.plain import plain

LONGEST = 2_000
"""Characters of a text or an attribute; what is longer is cut. Transcripts are no part of this."""
VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Iterable[str]


def element(name: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """Returns an element.

    Children that are no `Markup` are escaped, with their control characters made visible. In names
    of attributes `_` stands for `-`, a last one is dropped (`class_`); those that are None or False
    are left out.
    """
    named = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{named}>")
    return Markup(f"<{name}{named}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Returns the children one after another."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    return escape(plain(_cut(child))) if isinstance(child, str) else join(child)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(plain(_cut(value)))}"'
