"""Runs to make pages of: real episodes of the experts, and hostile ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from okrt import specs
from okrt.report.contrasts import claims
from okrt.report.html.page import Content, parts
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import RunDirectory
from okrt.types import Episode, Execution, ModelCard, Settings, ToolCall
from tests.analysis import build
from tests.analysis import test_caps as caps

EXPERTS = ("expert:persistent", "expert:stateless")
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<!-- <script> ",
    "<img src=x onerror='window.hacked = 3'>",
    "]]>{{7*7}}${7*7}`\\u003cscript>",
    "\x1b[31mred\x1b[0m \x07 \x00",
    "\u202eright to left\u202c \u200b\u2028\u2029",
    "x" * 1_000_000,
    "\n" * 3_000,
)
"""Texts that a model may write."""


def played(
    tasks: int, tier: str = "micro", tool_caps: Sequence[int | None] = (None,)
) -> list[Episode]:
    """Returns real episodes: both experts under both contracts. One of them loses variables."""
    family = specs.FAMILIES["opaque_knapsack"]
    agents = [specs.load_model(specs.model_spec(name), Settings(), family.name) for name in EXPERTS]
    cases = [
        Case(
            family,
            family.task(seed, tier),
            contract,
            agent.card,
            agent.model,
            Settings(tool_cap=cap),
        )
        for cap in tool_caps
        for seed in range(tasks)
        for agent in agents
        for contract in (PERSISTENT, STATELESS)
    ]
    with ZygoteRuntime() as runtime:
        return list(run_cases(cases, runtime))


def swept(file: Path) -> Path:
    """Writes the page of a sweep of which the truth is known: four cells under two caps, without
    transcripts."""
    made = caps.made()
    rows = [row for table in made for row in table.rows]
    content = Content("sweep", {}, None, made, claims(made), rows, {}, {})
    file.write_bytes(b"".join(parts(content, ())))
    return file


def hostile() -> list[Episode]:
    """Returns episodes of which every text that is not okrt's is hostile."""
    found = []
    for number, text in enumerate(HOSTILE):
        short = text[:10_000]
        ran = Execution(
            "raised",
            stdout=text,
            error_type=short,
            error=text,
            missing_name=short,
            calls=(ToolCall(short, (text,), text, None), ToolCall(short, (), None, text)),
            bound_names=(short,),
            carried_names=(short,),
        )
        card = ModelCard(short, short, "local", short, "persistent", short)
        task = replace(build.TASK, seed=number, family=short, tier=short, prompt=text)
        turns = [build.turn(text, execution=ran, reply=text, observation=text)] * 2
        for contract in ("persistent", short):
            one = build.episode(
                *turns, id=f"{number}-{contract}", task=task, contract=contract, model=card
            )
            found.append(one)
    return found


def write_run(path: Path, episodes: Sequence[Episode]) -> Path:
    """Writes a run directory of the episodes; returns its path."""
    run = {"okrt": "0", "created": "2026-01-01T00:00:00+00:00", "arguments": ["evals"]}
    with RunDirectory.create(path, {**run, "versions": {"python": "3.11"}}) as directory:
        for one in episodes:
            directory.append(one)
    return path
