"""Scripted agents: pure functions of a conversation, in two idioms that come to the same block.

They check the harness; they are no evidence about models. In the other families the idioms differ
in how a block gets at what earlier blocks held. Here it needs nothing of them, so there is nothing
to name and nothing to paste: `persistent` and `stateless` write the same block, in every turn and
after any error. The control, `no-inspection`, answers each ticket without a look.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from okrt.families.scripted import Expert, Past, look_back, misspelt, read_expert
from okrt.types import Conversation

CALLS = 3
"""That a ticket takes."""
THOUGHTS = (
    "I work off the next tickets.",
    "I look up the next records and answer.",
    "On with the queue.",
    "Next I answer a few tickets.",
)
"""A text for each hand."""
NAMES = (("job", "numbers"), ("task", "values"), ("now", "figures"), ("order", "data"))
_PROGRESS = re.compile(r"^\d{1,9} left$", re.ASCII | re.MULTILINE)


def expert(text: str) -> Callable[[Conversation], str]:
    """Returns the function of `NAME[,recovery=MODE][,slips=SHARE][,variety=SEED]`.

    Recovery shows in `give_up` alone, which answers blindly once a block has ended in a NameError:
    a misspelt one, for no other can happen.

    Raises:
        ValueError: the name, a setting or its value is unknown.
    """
    chosen = read_expert(text)

    def reply(conversation: Conversation) -> str:
        past = look_back(conversation)
        if past.cap < CALLS or _is_stalled(past):
            return past.reply("I cannot go on. I finish.", "finish()")
        style = _draw(chosen.style_rng(past.prompt))
        return past.reply(THOUGHTS[style.hand], _code(chosen, past, style))

    return reply


@dataclass(frozen=True, slots=True)
class _Style:
    hand: int = 0
    """Index into `THOUGHTS` and `NAMES`."""
    spare: int = 0
    """Tickets that each block leaves to the next, where the cap allows."""


def _draw(rng: Random | None) -> _Style:
    return _Style() if rng is None else _Style(rng.randrange(len(NAMES)), rng.randrange(2))


def _is_stalled(past: Past) -> bool:
    """Whether neither of the last two blocks met a ticket."""
    last = past.observations[-2:]
    return len(last) > 1 and not any(_PROGRESS.search(text) for text in last)


def _code(chosen: Expert, past: Past, style: _Style) -> str:
    job, numbers = NAMES[style.hand]
    count = max(past.cap // CALLS - style.spare, 1)
    named = misspelt(job) if chosen.slips_in(past.prompt, past.blocks) else job
    blind = past.ever_lost and chosen.recovery == "give_up"
    if chosen.name == "no-inspection" or blind:
        work = f'    answer({named}["ticket"], 0)'
    else:
        work = f"""\
    {numbers} = json.loads(record({named}["record"]))
    find = {{"sum": sum, "largest": max, "smallest": min}}[{job}["find"]]
    answer({job}["ticket"], find({numbers}))"""
    return f"""\
import json

for _ in range({count}):
    {job} = json.loads(ticket())
    print({job}["left"], "left")
    if {job}["left"] == 0:
        finish()
        break
{work}"""
