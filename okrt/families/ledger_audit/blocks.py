"""The code of the experts' blocks, piece by piece, in whatever names a style chose."""

from __future__ import annotations

from okrt.families.ledger_audit.memory import Question
from okrt.families.ledger_audit.style import Names

IMPORT = "import json\n"


def start(n: Names, asked: Question, totals: str, done: int) -> str:
    """Returns the names that reading needs."""
    return f"""\
{IMPORT}
{n.totals} = {totals}
{n.done} = {done}
{n.pages} = [("accounts", n) for n in range(0, {asked.accounts}, {asked.page})]
{n.pages} += [("entries", n) for n in range(0, {asked.entries}, {asked.page})]

def {n.add}(table, start):
    for {n.row} in json.loads(rows(table, start)):
        if table == "accounts":
            if {n.row}["region"] == "{asked.region}":
                {n.totals}[{n.row}["account"]] = 0
        elif {n.row}["kind"] == "{asked.kind}" and {n.row}["account"] in {n.totals}:
            {n.totals}[{n.row}["account"]] += {n.row}["amount"]

"""


def go_on(n: Names, pages: str, count: int) -> str:
    """A page is counted as soon as it is added, so that no error makes it count twice."""
    return f"""\
for table, start in {pages}[{n.done}:{n.done} + {count}]:
    {n.add}(table, start)
    {n.done} += 1
print(f"{{{n.totals} = }}\\n{{{n.done} = }}")"""


def find(n: Names, totals: str) -> str:
    return f"""\
{n.best} = max({totals}, key={n.totals}.get)
{n.found} = {{
    "total": sum({n.totals}.values()),
    "account": {n.best},
    "contact": json.loads(contact({n.best}))["contact"],
}}
print(f"{{{n.found} = }}")"""


def submit(value: str) -> str:
    return f"print(submit({value}))"


FINISH = "finish()"
BLIND = '{"total": 0, "account": "unknown", "contact": "unknown"}'
