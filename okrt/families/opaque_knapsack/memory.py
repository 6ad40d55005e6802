"""What an expert knows: read off the conversation, and nothing else.

The experts' blocks end by printing what they hold, as `NAME = LITERAL` lines: `seen` and `todo`
while they inspect, `rest` once they take. The last complete set is what is known.
Lines of any other shape are passed over, so cut, odd or hostile observations cost knowledge, never
a crash; and what is pasted into a block can be nothing but such a literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from okrt.families.opaque_knapsack.style import Names
from okrt.types import Conversation, Message

DEFAULT_CAP = 25
"""Where the first message names no cap."""

_CAP = re.compile(r"at most (\d{1,9}) tool calls?\b", re.ASCII)
_LOSS = re.compile(r"^NameError: name ", re.MULTILINE)
_ID = re.compile(r"'(item_\w{1,64})'", re.ASCII)
_LIST = r"\[(?:'item_\w{1,64}'(?:, (?='))?)*\]"
_DICT = r"\{(?:'item_\w{1,64}': \d{1,9}\.\d{1,9}(?:, (?='))?)*\}"


@dataclass(frozen=True, slots=True)
class Held:
    """What the last printed lines say that the variables hold, as Python literals."""

    seen: str | None
    """None once items are being taken; so is `todo`."""
    todo: str | None
    rest: str | None
    """None until items are being taken."""

    @property
    def items(self) -> list[str]:
        """Ids that were not tried, as far as the lines tell."""
        return _ID.findall(f"{self.seen}{self.todo}{self.rest}")

    @property
    def to_inspect(self) -> list[str]:
        return _ID.findall(self.todo or "")


@dataclass(frozen=True, slots=True)
class Memory:
    held: Held | None
    """None until something was printed."""
    cap: int
    """Tool calls a block may make."""
    code_tags: bool
    """Whether the first message asks for `<code>` tags instead of a fenced block."""
    blocks: int
    """Replies given so far."""
    lost: bool
    """The last block ended in a NameError."""
    ever_lost: bool
    stalled: bool
    """Neither of the last two observations told anything new."""


def recall(conversation: Conversation, names: Names) -> Memory:
    """Returns what the conversation tells; never raises, whatever the observations hold."""
    prompt = conversation.messages[0].content
    observations = _texts(conversation.messages[1:], "user", "tool")
    held = read(observations, names)
    return Memory(
        held=held,
        cap=max(_last_number(_CAP, prompt, DEFAULT_CAP), 1),
        code_tags="<code>" in prompt,
        blocks=len(_texts(conversation.messages, "assistant")),
        lost=any(_LOSS.search(text) for text in observations[-1:]),
        ever_lost=any(_LOSS.search(text) for text in observations),
        stalled=len(observations) > 1 and held == read(observations[:-2], names),
    )


def read(observations: Sequence[str], names: Names) -> Held | None:
    """Returns what the last observation with complete lines says, or None."""
    inspecting = re.compile(
        rf"^{names.seen} = ({_DICT})\n{names.todo} = ({_LIST})$",
        re.ASCII | re.MULTILINE,
    )
    taking = re.compile(rf"^{names.rest} = ({_LIST})$", re.ASCII | re.MULTILINE)
    for text in reversed(observations):
        if found := inspecting.search(text):
            return Held(found[1], found[2], None)
        if found := taking.search(text):
            return Held(None, None, found[1])
    return None


def _texts(messages: Iterable[Message], *roles: str) -> list[str]:
    return [message.content for message in messages if message.role in roles]


def _last_number(pattern: re.Pattern[str], text: str, default: int) -> int:
    return int([str(default), *pattern.findall(text)][-1])
