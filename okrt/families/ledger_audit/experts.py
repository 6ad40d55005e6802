"""Scripted agents: pure functions of a conversation, each in the idiom of one contract.

They check the harness, show what a contract costs and write traces to train on; they are no
evidence about models. All but the control play alike: read both tables page by page, as many as the
cap allows in a block, and add up; then ask for the contact, submit and finish. Each block prints
what it holds. They differ in how a block gets at what earlier blocks held: by name, or as literals
copied from what was printed last. The control, `no-inspection`, submits what it made up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from okrt.families.ledger_audit import blocks
from okrt.families.ledger_audit.memory import Held, Memory, Question, recall
from okrt.families.ledger_audit.style import PLAIN, REPAIRS, THOUGHTS, Style, draw
from okrt.families.scripted import Expert, Past, look_back, misspelt, read_expert
from okrt.types import Conversation


def expert(text: str) -> Callable[[Conversation], str]:
    """Returns the function of `NAME[,recovery=MODE][,slips=SHARE][,variety=SEED]`.

    Raises:
        ValueError: the name, a setting or its value is unknown.
    """
    chosen = read_expert(text)

    def reply(conversation: Conversation) -> str:
        past = look_back(conversation)
        rng = chosen.style_rng(past.prompt)
        style = PLAIN if rng is None else draw(rng)
        return past.reply(*_Block(chosen, style, past, recall(past, style.names)).write())

    return reply


@dataclass(frozen=True, slots=True)
class _Block:
    """The next block of an episode."""

    expert: Expert
    style: Style
    past: Past
    memory: Memory

    def write(self) -> tuple[str, str]:
        """Returns thought and code."""
        asked, held = self.memory.question, self.memory.held or Held()
        blind = self.past.ever_lost and self.expert.recovery == "give_up"
        retrying = self.past.lost and self.expert.recovery == "retry"
        if asked is None or held.submitted or (self.memory.stalled and not retrying):
            return "Nothing is left to do. I finish.", blocks.FINISH
        if self.expert.name == "no-inspection" or blind:
            return "I submit a guess.", self._close([blocks.submit(blocks.BLIND)])
        if held.found is None and held.done < asked.pages:
            return self._thought("read" if held.done else "start"), self._read(asked, held)
        return self._thought("answer"), self._answer(held)

    def _thought(self, kind: str) -> str:
        if self.past.lost:
            return REPAIRS[self.expert.recovery]
        return THOUGHTS[kind][self.style.wording]

    @property
    def _sets_up(self) -> bool:
        """Whether the block counts on no name of an earlier one."""
        rebuilds = self.past.lost and self.expert.recovery != "retry"
        return self.expert.name == "stateless" or rebuilds

    def _read(self, asked: Question, held: Held) -> str:
        n, cap = self.style.names, self.past.cap
        code = blocks.go_on(n, self._called(n.pages), max(cap - self.style.spare, 1))
        if self._sets_up or self.memory.held is None:
            code = blocks.start(n, asked, held.totals, held.done) + code
        return code

    def _answer(self, held: Held) -> str:
        n = self.style.names
        if held.found is None:
            code = self._close([blocks.find(n, self._called(n.totals)), blocks.submit(n.found)])
            pasted = f"{blocks.IMPORT}\n{n.totals} = {held.totals}\n"
        else:
            code = self._close([blocks.submit(self._called(n.found))])
            pasted = f"{n.found} = {held.found}\n"
        return pasted + code if self._sets_up else code

    def _close(self, calls: list[str]) -> str:
        """Returns as many of these calls, and of the last, as the cap allows."""
        return "\n".join([*calls, blocks.FINISH][: self.past.cap])

    def _called(self, name: str) -> str:
        """Returns the name, misspelt if this block slips."""
        slips = self.expert.slips_in(self.past.prompt, self.past.blocks)
        return misspelt(name) if slips else name
