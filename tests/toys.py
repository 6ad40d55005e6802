"""Small parts for tests of the spine: a family, a session that runs nothing, a scripted talker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Environment,
    Execution,
    Limits,
    Outcome,
    Session,
    Split,
    Task,
    Usage,
)


@dataclass
class Counter:
    """An environment: `add(n)` until `finish()`; solved at the target."""

    target: int
    total: int = 0
    finished: bool = False

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        return {"add": self.add, "finish": self.finish}

    def add(self, n: int) -> int:
        self.total += int(n)
        return self.total

    def finish(self) -> None:
        self.finished = True

    def outcome(self) -> Outcome:
        score = max(0.0, 1 - abs(self.target - self.total) / self.target)
        return Outcome(score, self.total == self.target)


class Counting:
    """A family of such tasks."""

    name = "counting"
    tiers = ("low", "high")

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        target = (
            seed + {"low": 1, "high": 100}[tier] + {"eval": 0, "train": 1000, "val": 2000}[split]
        )
        prompt = f"Count to {target}. Tools: add(n), finish()."
        return Task("counting", tier, split, seed, 1, prompt, {"target": target}, tool_cap=5)

    def environment(self, task: Task) -> Environment:
        return Counter(task.private["target"])


FAMILY = Counting()


class Unordered(Counting):
    """Writes a set into its prompt."""

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        words = {f"word{n}" for n in range(50)}
        return replace(super().task(seed, tier, split), prompt=f"{split} {seed} {words}")


UNORDERED = Unordered()


@dataclass
class FakeSession:
    """Answers blocks from a function of (environment's tools, code)."""

    tools: Mapping[str, Callable[..., Any]]
    run: Callable[[Mapping[str, Callable[..., Any]], str], Execution]
    closed: int = 0
    ran: list[str] = field(default_factory=list)

    def execute(self, code: str) -> Execution:
        self.ran.append(code)
        return self.run(self.tools, code)

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def obey(tools: Mapping[str, Callable[..., Any]], code: str) -> Execution:
    """Runs the code with nothing but the tools, in this process: for code the tests wrote."""
    exec(code, dict(tools))
    return Execution("ok", bound_names=())


class FakeRuntime:
    """A runtime of such sessions; remembers them."""

    isolation = "none"
    landlock_abi = None

    def __init__(
        self, run: Callable[[Mapping[str, Callable[..., Any]], str], Execution] = obey
    ) -> None:
        self.run = run
        self.sessions: list[FakeSession] = []

    def open(
        self,
        contract: Contract,
        tools: Mapping[str, Callable[..., Any]],
        limits: Limits,
        seed: str = "",
    ) -> Session:
        self.sessions.append(FakeSession(tools, self.run))
        return self.sessions[-1]

    def close(self) -> None:
        pass


class Says:
    """A model that says the given texts, one a turn, the last one for ever."""

    def __init__(self, *texts: str, name: str = "says") -> None:
        self.name = name
        self.texts = texts
        self.asked: list[Conversation] = []
        self.batches: list[int] = []

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        self.asked += conversations
        self.batches.append(len(conversations))
        return [
            completion(self.texts[min(len(c.completions), len(self.texts) - 1)])
            for c in conversations
        ]


def completion(text: str, **changes: Any) -> Completion:
    values: dict[str, Any] = {
        "text": text,
        "finish_reason": "stop",
        "usage": Usage(prompt_tokens=10, completion_tokens=len(text.split())),
    }
    return Completion(**(values | changes))


def block(*lines: str) -> str:
    return "```python\n" + "\n".join(lines) + "\n```"


def blocks(*codes: Iterable[str] | str) -> list[str]:
    return [block(code) if isinstance(code, str) else block(*code) for code in codes]
