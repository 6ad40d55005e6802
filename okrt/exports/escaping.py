"""Text from outside in other people's markup: shown as it is, obeyed nowhere."""

from __future__ import annotations

import re

from okrt.report.plain import plain

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\symbol{34}",
    "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
"""Brackets and stars would belong to the end of the line before."""
_MARKDOWN = re.compile(r"([\\`*|]|(?<=\])\(|(?<=!)\[)")


def latex_text(text: str) -> str:
    """Returns the text as LaTeX that any engine takes: what is not ASCII is written as its code
    point, as the fonts at hand may not have it."""
    escaped = (
        _LATEX.get(character, character) if character.isascii() else f"(U+{ord(character):04X})"
        for character in plain(" ".join(text.split()))
    )
    return "".join(escaped).replace("--", "-{}-").replace("--", "-{}-")  # of three, two were left


def markdown_text(text: str) -> str:
    """Returns the text as Markdown that is shown as it is, in a table too; it may hold HTML."""
    line = plain(" ".join(text.split()))
    line = _MARKDOWN.sub(r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
