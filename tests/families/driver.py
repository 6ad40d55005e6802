"""A runtime small enough to read: `exec` in one dict, or in a fresh one for every block.

Stands in for the sandbox so that the experts are tested apart from it. Blocks come from the experts
alone, so they run in this process.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

from okrt import specs
from okrt.errors import ToolError
from okrt.types import Conversation, Environment, Message, Outcome, Task

FENCED = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
CODE_TAG = re.compile(r"<code>\n(.*?)\n</code>", re.DOTALL)
TOKEN = re.compile(r"[^\W\d_]+|\d{1,3}|[^\w\s]|_")


class ToolCapExceeded(RuntimeError):
    pass


@dataclass(frozen=True, slots=True)
class Played:
    outcome: Outcome
    finished: bool
    messages: tuple[Message, ...]

    @property
    def replies(self) -> list[str]:
        return [message.content for message in self.messages if message.role == "assistant"]

    @property
    def errors(self) -> list[str]:
        """The last line of each observation that is an error's."""
        texts = [message.content for message in self.messages[1:] if message.role == "user"]
        last = [text.splitlines()[-1] for text in texts]
        return [line for line in last if re.match(r"\w+(Error|Exceeded): ", line)]

    @property
    def completion_tokens(self) -> int:
        return sum(len(TOKEN.findall(reply)) for reply in self.replies)


def instructions(cap: int, code_tag: bool = False) -> str:
    mark = "<code>...</code>" if code_tag else "a fenced block"
    return f"Answer with {mark}. A block may make at most {cap} tool calls."


def play(
    task: Task,
    reply: Callable[[Conversation], str],
    contract: Literal["persistent", "stateless"],
    cap: int | None = None,
    max_turns: int = 40,
    code_tag: bool = False,
    told_cap: int | None = None,
) -> Played:
    """Plays one episode. `told_cap`: what the instructions say where it is not the truth."""
    cap = task.tool_cap if cap is None else cap
    environment = specs.FAMILIES[task.family].environment(task)
    messages = [Message("user", f"{instructions(told_cap or cap, code_tag)}\n\n{task.prompt}")]
    session = blocks(environment, cap, contract == "persistent")
    next(session)
    for _ in range(max_turns):
        text = reply(Conversation(tuple(messages)))
        messages.append(Message("assistant", text))
        found = (CODE_TAG if code_tag else FENCED).fullmatch(text.split("\n", 1)[1])
        assert found, text
        observation = session.send(found[1])
        if environment.finished:
            break
        messages.append(Message("user", observation))
    return Played(environment.outcome(), environment.finished, tuple(messages))


def blocks(environment: Environment, cap: int, persistent: bool) -> Generator[str, str, None]:
    """Sent a block, yields the observation."""
    names: dict[str, Any] = {}
    observation = ""
    while True:
        code = yield observation
        if not persistent:
            names = {}
        names.update(capped(environment, cap), ToolError=ToolError, ToolCapExceeded=ToolCapExceeded)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                exec(compile(code, "<block>", "exec"), names)
            except Exception as error:
                print(
                    f"Traceback (most recent call last):\n{type(error).__name__}: {error}", file=out
                )
        observation = out.getvalue() or "(no output)"


def capped(environment: Environment, cap: int) -> dict[str, Callable[..., Any]]:
    """Returns the tools, all together good for `cap` calls."""
    calls = iter(range(cap))

    def limit(tool: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if next(calls, None) is None:
                raise ToolCapExceeded(f"a block may make at most {cap} tool calls")
            return tool(*args)

        return call

    return {name: limit(tool) for name, tool in environment.tools.items()}
