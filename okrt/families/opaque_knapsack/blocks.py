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
    return f"""\
for {n.item} in {batch}:
    try:
        {n.facts} = json.loads(inspect({n.item}))
        {n.seen}[{n.item}] = round({n.facts}["value"] / {n.facts}["weight"], 1)
    except ToolError:
        {n.seen}[{n.item}] = 0.0"""


def take_each(n: Names, batch: str) -> str:
    return f"""\
for {n.item} in {batch}:
    try:
        take_item({n.item})
        print("took", {n.item})
    except ToolError:
        pass"""


def function(name: str, each: str) -> str:
    """Returns a function of `batch` around a loop over `batch`."""
    return f"def {name}(batch):\n{indent(each, '    ')}\n\n"


def rank(n: Names, seen: str) -> str:
    return f"{n.rest} = sorted({seen}, key={n.seen}.get, reverse=True)"


def end_looking(n: Names, count: int) -> str:
    return f"""\
{n.todo} = {n.todo}[{count}:]
print(f"{{{n.seen} = }}\\n{{{n.todo} = }}")"""


def end_taking(n: Names, count: int, finishes: bool) -> str:
    shown = f"""\
{n.rest} = {n.rest}[{count}:]
print(f"{{{n.rest} = }}")"""
    return f"{shown}\nif not {n.rest}:\n    finish()" if finishes else shown
