"""Scripted agents: pure functions of a conversation, each in the idiom of one contract.

They check the harness, show what a contract costs and write traces to train on; they are no
evidence about models. All but the control play alike: inspect until the budget is spent, try to
take by falling value per weight (a refused take is free), then the items not looked at, finish.
Each block ends by printing what it holds. They differ in how a block gets at what earlier blocks
held: by name, or as literals copied from what was printed last.

No block wants more tool calls than the cap allows, unless `batch=all` lets the persistent idiom
work through all there is. A block that the cap cut has not printed what it holds: the next one goes
on with its variables, and where they are gone, begins anew. The stateless idiom counts its calls
all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from okrt.families.opaque_knapsack import blocks
from okrt.families.opaque_knapsack.memory import Held, Memory, recall
from okrt.families.opaque_knapsack.style import (
    PLAIN,
    REPAIRS,
    THOUGHTS,
    Names,
    Style,
    draw,
)
from okrt.families.scripted import BATCHES, Expert, look_back, misspelt, read_expert
from okrt.types import Conversation


def expert(text: str) -> Callable[[Conversation], str]:
    """Returns the function of `NAME[,recovery=MODE][,slips=SHARE][,variety=SEED][,batch=WHAT]`.

    Raises:
        ValueError: the name, a setting or its value is unknown.
    """
    chosen = read_expert(text, BATCHES)

    def reply(conversation: Conversation) -> str:
        past = look_back(conversation)
        rng = chosen.style_rng(past.prompt)
        style = PLAIN if rng is None else draw(rng)
        slips = chosen.slips_in(past.prompt, past.blocks)
        thought, code = _Block(chosen, style, recall(past, style.names), slips).write()
        return past.reply(thought, code)

    return reply


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
        through = self.expert.batch == "all" and self.expert.name == "persistent"
        goes_on = (self.memory.lost and recovery == "retry") or (through and self.memory.cut)
        if (self.memory.stalled and not goes_on) or (held and not held.items):
            return "Nothing is left to do. I finish.", "finish()"
        if self.expert.name == "no-inspection" or (self.memory.ever_lost and recovery == "give_up"):
            return self._take_blindly()
        if through:
            return self._work_through(held)
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

    def _work_through(self, held: Held | None) -> tuple[str, str]:
        """Returns thought and code of a block of `batch=all`."""
        n, goes_on = self.style.names, self.memory.cut and not self._sets_up
        if held is None or held.to_inspect:
            thought, shown = self._thought("look" if goes_on else "start"), blocks.show_looking(n)
            function, loop = self._each(n.look, blocks.look_all, self._called(n.todo))
            function = f"{blocks.IMPORT}\n{function}"
            begin = blocks.start(n, self.style.listing)
            if held is not None:
                begin = f"{n.seen} = {held.seen}\n{n.todo} = {held.todo}"
        else:
            thought = self._thought("take" if goes_on else "rank")
            shown = f"{blocks.show_taking(n)}\nfinish()"
            batch = self._called(n.rest) if goes_on else n.rest
            function, loop = self._each(n.grab, blocks.take_all, batch)
            begin = blocks.rank(n, self._called(n.seen))
            if self._sets_up:
                begin = f"{n.seen} = {held.seen}\n{begin}"
            if held.rest is not None:
                begin = f"{n.rest} = {held.rest}"
        code = f"{loop}\n{shown}"
        return thought, code if goes_on else f"{function}{begin}\n{code}"

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
