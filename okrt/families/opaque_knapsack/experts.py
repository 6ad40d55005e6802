"""Scripted agents: pure functions of a conversation, each in the idiom of one contract.

They check the harness, show what a contract costs and write traces to train on; they are no
evidence about models. All but the control play alike: inspect until the budget is spent, try to
take by falling value per weight (a refused take is free), then the items not looked at, finish.
Each block ends by printing what it holds. They differ in how a block gets at what earlier blocks
held: by name, or as literals copied from what was printed last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from okrt.families.opaque_knapsack import blocks
from okrt.families.opaque_knapsack.memory import Held, Memory, recall
from okrt.families.opaque_knapsack.style import (
    PLAIN,
    REPAIRS,
    THOUGHTS,
    Names,
    Style,
    draw,
    misspelt,
)
from okrt.types import Conversation

EXPERTS = ("persistent", "stateless", "no-inspection")
RECOVERIES = ("rebuild", "retry", "give_up")
SLIP_BLOCKS = (1, 2)
"""Which block, counted from 0, may hold the misspelt name; every episode has as many."""


@dataclass(frozen=True, slots=True)
class Expert:
    """What an expert is; two of equal fields answer alike."""

    name: str
    """`persistent`, `stateless`, or `no-inspection`, the negative control."""
    recovery: str = "rebuild"
    """What it does once a block has ended in a NameError. `rebuild`: sets its names up again from
    what was printed and goes on; `retry`: writes the block again, as it was meant; `give_up`:
    forgets what it learned and takes the items blindly. The control never has such a loss."""
    slips: float = 0.0
    """Share of episodes in which one block misspells a name, in [0, 1]."""
    variety: str | None = None
    """Seed of the surface (see `style`) and of the slips; None: one plain style."""


def expert(text: str) -> Callable[[Conversation], str]:
    """Returns the function of `NAME[,recovery=MODE][,slips=SHARE][,variety=SEED]`.

    Raises:
        ValueError: the name, a setting or its value is unknown.
    """
    chosen = _read(text)

    def reply(conversation: Conversation) -> str:
        prompt = conversation.messages[0].content
        # The prompt decides, so that both experts of a pair are given the same.
        style = PLAIN
        if chosen.variety is not None:
            style = draw(Random(f"style/{chosen.variety}/{prompt}"))
        rng = Random(f"slips/{chosen.variety}/{prompt}")
        slip = rng.choice(SLIP_BLOCKS) if rng.random() < chosen.slips else None
        memory = recall(conversation, style.names)
        thought, code = _Block(chosen, style, memory, slip == memory.blocks).write()
        opening, close = ("<code>", "</code>") if memory.code_tags else ("```python", "```")
        return f"{thought}\n{opening}\n{code}\n{close}"

    return reply


def _read(text: str) -> Expert:
    name, *settings = text.split(",")
    if name not in EXPERTS:
        raise ValueError(f"unknown expert {name!r}; known: {', '.join(EXPERTS)}")
    found = Expert(name)
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "recovery" and value in RECOVERIES:
            found = replace(found, recovery=value)
        elif key == "slips" and _is_share(value):
            found = replace(found, slips=float(value))
        elif key == "variety" and value:
            found = replace(found, variety=value)
        else:
            raise ValueError(
                f"unknown setting {setting!r}; write recovery={'|'.join(RECOVERIES)}, "
                "slips=0.3 (a share of the episodes) or variety=SEED"
            )
    return found


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Block:
    """The next block of an episode."""

    expert: Expert
    style: Style
    memory: Memory
    slips: bool

    def write(self) -> tuple[str, str]:
        """Returns thought and code."""
        held, recovery = self.memory.held, self.expert.recovery
        retrying = self.memory.lost and recovery == "retry"
        if (self.memory.stalled and not retrying) or (held and not held.items):
            return "Nothing is left to do. I finish.", "finish()"
        if self.expert.name == "no-inspection" or (self.memory.ever_lost and recovery == "give_up"):
            return self._take_blindly()
        if held is None:
            return self._thought("start"), self._start()
        if held.to_inspect:
            return self._thought("look"), self._look(held)
        return self._thought("rank" if held.rest is None else "take"), self._take(held)

    def _thought(self, kind: str) -> str:
        if self.memory.lost:
            return REPAIRS[self.expert.recovery]
        return THOUGHTS[kind][self.style.wording]

    @property
    def _sets_up(self) -> bool:
        """Whether the block counts on no name of an earlier one."""
        rebuilds = self.memory.lost and self.expert.recovery != "retry"
        return self.expert.name == "stateless" or rebuilds

    def _start(self) -> str:
        n, count = self.style.names, self._calls(self.memory.cap - 1, least=0)
        start = blocks.start(n, self.style.listing)
        function, looks = self._each(n.look, blocks.look_each, f"{n.todo}[:{count}]")
        lines = [start, looks, blocks.end_looking(n, count)]
        return f"{blocks.IMPORT}\n{function}" + "\n".join(lines)

    def _look(self, held: Held) -> str:
        n, count = self.style.names, self._calls(self.memory.cap)
        batch = f"{self._called(n.todo)}[:{count}]"
        function, looks = self._each(n.look, blocks.look_each, batch)
        lines = [looks, blocks.end_looking(n, count)]
        if not self._sets_up:
            return "\n".join(lines)
        lines = [f"{n.seen} = {held.seen}", f"{n.todo} = {held.todo}", *lines]
        return f"{blocks.IMPORT}\n{function}" + "\n".join(lines)

    def _take(self, held: Held) -> str:
        n, count = self.style.names, self._calls(self.memory.cap - 1)
        ranks = held.rest is None
        batch = n.rest if ranks else self._called(n.rest)
        function, takes = self._each(n.grab, blocks.take_each, f"{batch}[:{count}]")
        lines = [takes, blocks.end_taking(n, count, finishes=self.memory.cap > 1)]
        if ranks:
            lines.insert(0, blocks.rank(n, self._called(n.seen)))
        if not self._sets_up:
            return (function if ranks else "") + "\n".join(lines)
        pasted = f"{n.seen} = {held.seen}" if ranks else f"{n.rest} = {held.rest}"
        return function + "\n".join([pasted, *lines])

    def _take_blindly(self) -> tuple[str, str]:
        n, held, cap = self.style.names, self.memory.held, self.memory.cap
        if held is None:
            thought, count = "I list the items and take what I can get.", max(cap - 2, 0)
            start = f"{blocks.IMPORT}\n{n.rest} = {self.style.listing}"
        else:
            thought, count = "I try the next items without looking at them.", max(cap - 1, 1)
            start = f"{n.rest} = {held.items}"
        takes = blocks.take_each(n, f"{n.rest}[:{count}]")
        return thought, "\n".join([start, takes, blocks.end_taking(n, count, finishes=cap > 1)])

    def _calls(self, limit: int, least: int = 1) -> int:
        """Returns how many items a block looks at or tries, of the `limit` that the cap allows."""
        return max(limit - self.style.spare, min(limit, 1), least)

    def _each(self, name: str, each: Callable[[Names, str], str], batch: str) -> tuple[str, str]:
        """Returns the function that does it to each item, where the style has one, and the call."""
        n = self.style.names
        if self.style.helpers:
            return blocks.function(name, each(n, "batch")), f"{name}({batch})"
        return "", each(n, batch)

    def _called(self, name: str) -> str:
        """Returns the name, misspelt if this block slips."""
        return misspelt(name) if self.slips else name
