"""The code of the experts' blocks, piece by piece, in whatever names a style chose."""

from __future__ import annotations

from textwrap import indent

from okrt.families.opaque_knapsack.style import Names

IMPORT = "import json\n"


def start(n: Names, listing: str) -> str:
    return f"""\
{n.todo} = {listing}
{n.seen} = {{}}"""


def look_each(n: Names, batch: str) -> str:
    """What the budget does not reach is unknown, and so comes last."""
    return f"for {n.item} in {batch}:\n{indent(_look(n, n.item), '    ')}"


def take_each(n: Names, batch: str) -> str:
    return f"for {n.item} in {batch}:\n{indent(_take(n.item), '    ')}"


def look_all(n: Names, batch: str) -> str:
    """Likewise, of a list that is used up, so that a loop which was cut can be gone on with."""
    return _use_up(batch, _look(n, f"{batch}[0]"))


def take_all(n: Names, batch: str) -> str:
    return _use_up(batch, _take(f"{batch}[0]"))


def _use_up(batch: str, first: str) -> str:
    return f"while {batch}:\n{indent(first, '    ')}\n    {batch}.pop(0)"


def _look(n: Names, item: str) -> str:
    return f"""\
try:
    {n.facts} = json.loads(inspect({item}))
    {n.seen}[{item}] = round({n.facts}["value"] / {n.facts}["weight"], 1)
except ToolError:
    {n.seen}[{item}] = 0.0"""


def _take(item: str) -> str:
    return f"""\
try:
    take_item({item})
    print("took", {item})
except ToolError:
    pass"""


def function(name: str, each: str) -> str:
    """Returns a function of `batch` around a loop over `batch`."""
    return f"def {name}(batch):\n{indent(each, '    ')}\n\n"


def rank(n: Names, seen: str) -> str:
    return f"{n.rest} = sorted({seen}, key={n.seen}.get, reverse=True)"


def end_looking(n: Names, count: int) -> str:
    return f"{n.todo} = {n.todo}[{count}:]\n{show_looking(n)}"


def show_looking(n: Names) -> str:
    return f'print(f"{{{n.seen} = }}\\n{{{n.todo} = }}")'


def end_taking(n: Names, count: int, finishes: bool) -> str:
    shown = f"{n.rest} = {n.rest}[{count}:]\n{show_taking(n)}"
    return f"{shown}\nif not {n.rest}:\n    finish()" if finishes else shown


def show_taking(n: Names) -> str:
    return f'print(f"{{{n.rest} = }}")'
