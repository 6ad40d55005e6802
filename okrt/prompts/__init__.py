"""Prompt sets: what stands before the task's own text.

`matched` is byte-identical under every contract; `coached` gives each contract rules and an example
of its own. The cue (a sentence about the runtime) is an axis of its own, appended to either.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from importlib import resources

from okrt.errors import UsageError
from okrt.types import Contract, Format, FunctionTool, Settings, Task

PROMPT_SETS = ("matched", "coached")
_MARKS: dict[Format, tuple[str, str]] = {
    "fenced": ("```python", "```"),
    "code_tag": ("<code>", "</code>"),
}
"""What stands around the code of the coached sets' examples."""


def render_prompt(task: Task, contract: Contract, settings: Settings) -> str:
    """Returns the first user message of an episode.

    Raises:
        UsageError: the prompt set is unknown, or has no text for this contract.
    """
    return instructions(contract, settings, tool_cap(task, settings)) + "\n\n" + task.prompt


def prompt_digest(task: Task, contract: Contract, settings: Settings) -> str:
    """Returns 12 hex digits that change whenever the instructions do; the task's text left out."""
    text = instructions(contract, settings, tool_cap(task, settings))
    if (offered := function(settings.format)) is not None:
        text += json.dumps(asdict(offered), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def function(format: Format) -> FunctionTool | None:
    """Returns the function that the model is offered to call; None where it writes its code."""
    return FunctionTool(**json.loads(_read("function.json"))) if format == "tool_call" else None


def tool_cap(task: Task, settings: Settings) -> int:
    """Returns the tool calls a block may make: the user's cap, else the task's."""
    return settings.tool_cap if settings.tool_cap is not None else task.tool_cap


def instructions(contract: Contract, settings: Settings, cap: int) -> str:
    """Returns everything before the task's text. Raises: see `render_prompt`."""
    if settings.prompt_set == "coached" and settings.format == "tool_call":
        raise UsageError("prompt set 'coached' has no text for the format tool_call; use matched")
    opening, close = _MARKS.get(settings.format, ("", ""))
    text = _template(settings.prompt_set, contract.name).format(
        act=_read(f"{settings.format}.txt"),
        tool_cap=cap,
        max_turns=settings.max_turns,
        open=opening,
        close=close,
    )
    if settings.cue != "none":
        text += "\n\n" + (contract.notice if settings.cue == "true" else contract.false_notice)
    return text


def _template(prompt_set: str, contract: str) -> str:
    if prompt_set not in PROMPT_SETS:
        raise UsageError(f"unknown prompt set {prompt_set!r}; known: {', '.join(PROMPT_SETS)}")
    name = "matched.txt" if prompt_set == "matched" else f"coached-{contract}.txt"
    try:
        return _read(name)
    except FileNotFoundError:
        raise UsageError(
            f"prompt set {prompt_set!r} has no text for the contract {contract!r}; use matched"
        ) from None


@cache
def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8").rstrip("\n")
