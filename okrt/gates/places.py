"""Where in a gate file something stands: `tomllib` tells the lines of syntax errors alone.

A line is found by its table and key as they are usually written; of what is written otherwise (one
table inside another's braces), the line where that begins.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[(\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*["']?([A-Za-z0-9_-]+)["']?\s*[=.]""")


def line_of(text: str, table: str, number: int = 0, key: str = "") -> int:
    """Returns the line, from 1, of a key in a table: of the `number`-th of that name, from 0.

    Of a key that is not there the line of the table's header, of a table that is not there 1.
    """
    seen, header, inside = -1, 1, False
    for at, line in enumerate(text.splitlines(), 1):
        if match := _HEADER.match(line):
            name = match.group(2).replace('"', "").replace(" ", "")
            inside = name == table or name.endswith(f".{table}")
            seen += inside
            if inside and seen == number:
                header = at
        elif (match := _KEY.match(line)) and match.group(1) == (key if inside else table):
            if inside and seen == number:
                return at
            if not inside and seen < 0:
                header = at  # `gate = [...]`
    return header
