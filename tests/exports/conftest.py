"""A run that holds what exports may meet: both formats, repeats, limits, failures, hostile text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from okrt.store import RunDirectory
from okrt.types import (
    Completion,
    Episode,
    Failure,
    FunctionTool,
    ModelCard,
    Outcome,
    Settings,
    ToolRequest,
    Turn,
    Usage,
)
from tests.analysis.build import CARD, TASK, episode, missing, ran, sample, turn

LOCAL = ModelCard("=m|1", "path/to/m", "local", "sha256:1", "stateless", "abc")
HOSTILE = "</script>\x1b[31m\u202e\0\n=1+1\ud800"
RUN = {
    "okrt": "0.1.0",
    "created": "2026-11-21T15:01:00+00:00",
    "arguments": ["okrt", "run"],
    "versions": {"python": "3.11"},
}


def call(number: int, arguments: str) -> Turn:
    """A turn of an agent that acts by calling a function."""
    before = f"Step {number}.\n"
    reply = f"{before}<tool_call>\n{arguments}\n</tool_call>"
    request = ToolRequest(f"call-{number}", "python", arguments, len(before))
    said = Completion(reply, "stop", Usage(20, 5, 1, 10))
    return Turn(said, reply, "pass", ran(), f"saw {number}", call=request)


def calling() -> Episode:
    function = FunctionTool("Runs code.", "The code.")
    asked = Settings(format="tool_call", token_budget=50)
    whole = episode(
        call(1, '{"code": "print(1)"}'),
        call(2, "{broken"),
        call(3, "[1]"),
        id="calling",
        model=LOCAL,
        asked=asked,
        ending="token_budget",
    )
    assert whole.trajectory is not None
    return replace(whole, trajectory=replace(whole.trajectory, function=function))


def made() -> list[Episode]:
    """Ten episodes of four cells, one of them broken off."""
    found = [sample(), replace(sample(), id="again", repeat=1), calling()]
    for seed in range(3):
        task = replace(TASK, seed=seed)
        for contract in ("persistent", "stateless"):
            lost = missing("state") if contract == "stateless" else ran()
            turns = (turn(execution=lost, tokens=(100, 20)), turn(tokens=(130, 9), observation=""))
            outcome = Outcome(0.5, seed == 0, {"floor_score": 0.7, "reference_score": 0.9})
            found.append(
                episode(*turns, id=f"{contract}-{seed}", task=task, contract=contract, model=LOCAL,
                        outcome=outcome, ending="max_turns" if seed == 2 else "finished")
            )  # fmt: skip
    broken = Failure("model", "TimeoutError", f"no answer {HOSTILE}")
    return [*found, episode(id="broken", model=LOCAL, failure=broken, task=replace(TASK, seed=9))]


def write(path: Path, episodes: list[Episode], **run: Any) -> Path:
    with RunDirectory.create(path, {**RUN, **run}) as directory:
        for one in episodes:
            directory.append(one)
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("exports") / "the-run", made())


def oddest() -> list[Episode]:
    """Nothing measured, names of 10,000 characters, text that is no text."""
    card = ModelCard("M" * 10_000, "s" * 10_000, "server")
    task = replace(TASK, family="f" * 10_000, tier=HOSTILE, prompt=HOSTILE)
    said = turn(None, reply=HOSTILE, observation=HOSTILE, tokens=(None, None))
    unknown = Outcome(0.0, False, {"floor_score": None, "reference_score": None})
    return [
        episode(id="x" * 10_000, task=task, model=card, outcome=unknown, ending="context"),
        episode(said, id="=cmd()", model=replace(CARD, label="-1+1"), outcome=unknown),
        replace(episode(said, id="y", repeat=1), timing={"wall_s": "?", "@x": HOSTILE}),
    ]


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
