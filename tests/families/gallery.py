"""The gallery, as Markdown on standard output: seeds 0 to 2 of every family, and an expert's play.

`docs/gallery.md` is what this prints: `python -m tests.families.gallery > docs/gallery.md`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from okrt import specs
from okrt.types import Task
from tests.families.driver import FENCED, Played, play

TIER, SEEDS = "micro", range(3)
HEADER = """\
# Gallery

Tasks 0 to 2 of the smallest tier of every family, as the agent reads them, and how the experts
begin with the first. Printed by `python -m tests.families.gallery`; a test holds the page to it.
What the families measure, their sizes and costs: [families.md](families.md).
"""


def page() -> str:
    return "\n".join([HEADER, *(line for name in specs.FAMILIES for line in family(name))])


def family(name: str) -> Iterator[str]:
    made = specs.family(name)
    tasks = [made.task(seed, TIER) for seed in SEEDS]
    tools = ", ".join(f"`{tool}`" for tool in made.environment(tasks[0]).tools)
    yield f"## {name}\n"
    yield f"Tiers: {', '.join(made.tiers)}. Tools: {tools}.\n"
    for task in tasks:
        yield f"### `{task.id}`\n"
        yield f"At most {task.tool_cap} tool calls a block.{_figures(task)}\n"
        yield text(task.prompt)
    yield from begun(tasks[0])


def _figures(task: Task) -> str:
    """Returns the sizes of the private data, and the two marks of a score."""
    sizes = [f"{len(v)} {k}" for k, v in task.private.items() if isinstance(v, list)]
    metrics = specs.family(task.family).environment(task).outcome().metrics
    floor, reference = metrics["floor_score"], metrics["reference_score"]
    return f" Behind it: {', '.join(sizes)}. Floor {floor:.2f}, reference {reference:.2f}."


def begun(task: Task) -> Iterator[str]:
    """The first two blocks of the persistent expert, and the second of the stateless one."""
    persistent, stateless = (
        play(task, specs.EXPERTS[task.family](name), "persistent")
        for name in ("persistent", "stateless")
    )
    yield f"### How `expert:persistent` begins with `{task.id}`\n"
    yield text(block(persistent, 0))
    yield "What it prints:\n"
    yield text(persistent.messages[2].content)
    yield "Its second block:\n"
    yield text(block(persistent, 1))
    if block(stateless, 1) == block(persistent, 1):
        yield "The second block of `expert:stateless` is the same.\n"
    else:
        yield "The second block of `expert:stateless`:\n"
        yield text(block(stateless, 1))


def block(played: Played, turn: int) -> str:
    found = FENCED.search(played.replies[turn])
    if found is None:
        raise ValueError(f"reply {turn} holds no block")
    return found[1]


def text(body: str) -> str:
    return f"```text\n{body.strip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(page())
