"""What an expert knows: read off the conversation, and nothing else.

The experts' blocks print the ids on one line, an inspected item as `<id> <class> <value> <weight>`,
and a tried one as `<id> {"taken": ...}` or `<id> refused: <reason>`. Lines of any other shape are
passed over, so cut, odd or hostile observations cost knowledge, never a crash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from okrt.types import Conversation, Message

DEFAULT_CAP = 25
"""Where the first message names no cap."""

_CAP = re.compile(r"at most (\d{1,9}) tool calls?\b", re.ASCII)
_BUDGET = re.compile(r"^Inspection budget: (\d{1,9})$", re.ASCII | re.MULTILINE)
_LOSS = re.compile(r"^NameError: name ", re.MULTILINE)
_LISTING = re.compile(r"^item_\w+(?: item_\w+)*$", re.ASCII | re.MULTILINE)
_INSPECTED = re.compile(r"^(item_\w+) ([A-Z]) (\d{1,9}) ([1-9]\d{0,8})$", re.ASCII | re.MULTILINE)
_TRIED = re.compile(r'^(item_\w+) (?:\{"taken": |refused: )', re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Seen:
    """What inspecting an item told."""

    letter: str
    value: int
    weight: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the observations tell about the items."""

    items: tuple[str, ...]
    """All ids in list order; empty until they were printed."""
    seen: dict[str, Seen]
    """In the order of inspection."""
    tried: frozenset[str]
    """Items whose take was tried, taken or refused."""


@dataclass(frozen=True, slots=True)
class Memory:
    facts: Facts
    cap: int
    """Tool calls a block may make."""
    budget: int
    code_tags: bool
    """Whether the first message asks for `<code>` tags instead of a fenced block."""
    lost: bool
    """The last block ended in a NameError."""
    ever_lost: bool
    stalled: bool
    """Neither of the last two observations told anything new."""
    last_reply: str

    @property
    def to_inspect(self) -> list[str]:
        facts = self.facts
        return [item for item in facts.items[: self.budget] if item not in facts.seen]

    @property
    def order(self) -> list[str]:
        """The order to try items in: the seen by falling value/weight, then the others."""
        seen = self.facts.seen
        ranked = sorted(seen, key=lambda item: seen[item].value / seen[item].weight, reverse=True)
        return ranked + [item for item in self.facts.items if item not in seen]

    @property
    def to_try(self) -> list[str]:
        return [item for item in self.order if item not in self.facts.tried]


def recall(conversation: Conversation) -> Memory:
    """Returns what the conversation tells; never raises, whatever the observations hold."""
    prompt = conversation.messages[0].content
    observations = _texts(conversation.messages[1:], "user")
    facts = read_facts(observations)
    return Memory(
        facts=facts,
        cap=max(_last_number(_CAP, prompt, DEFAULT_CAP), 1),
        budget=_last_number(_BUDGET, prompt, 0),
        code_tags="<code>" in prompt,
        lost=any(_LOSS.search(text) for text in observations[-1:]),
        ever_lost=any(_LOSS.search(text) for text in observations),
        stalled=len(observations) > 1 and facts == read_facts(observations[:-2]),
        last_reply="".join(_texts(conversation.messages, "assistant")[-1:]),
    )


def read_facts(observations: Sequence[str]) -> Facts:
    text = "\n".join(observations)
    listing = _LISTING.search(text)
    return Facts(
        items=tuple(dict.fromkeys(listing.group().split(" "))) if listing else (),
        seen={
            item: Seen(letter, int(value), int(weight))
            for item, letter, value, weight in _INSPECTED.findall(text)
        },
        tried=frozenset(_TRIED.findall(text)),
    )


def _texts(messages: Iterable[Message], role: str) -> list[str]:
    return [message.content for message in messages if message.role == role]


def _last_number(pattern: re.Pattern[str], text: str, default: int) -> int:
    return int([str(default), *pattern.findall(text)][-1])
