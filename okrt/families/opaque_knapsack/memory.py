"""What an expert knows: read off the conversation, and nothing else.

The experts' blocks end by printing what they hold, as `NAME = LITERAL` lines: `seen` and `todo`
while they inspect, `rest` once they take. The last complete set is what is known.
Lines of any other shape are passed over, so cut, odd or hostile observations cost knowledge, never
a crash; and what is pasted into a block can be nothing but such a literal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from okrt.families.opaque_knapsack.style import Names
from okrt.families.scripted import Past

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
    lost: bool
    """The last block ended in a NameError."""
    ever_lost: bool
    cut: bool
    """The tool cap cut the last block that met no NameError: its loop is to be gone on with."""
    stalled: bool
    """Neither of the last two observations told anything new."""


def recall(past: Past, names: Names) -> Memory:
    """Returns what the conversation tells; never raises, whatever the observations hold."""
    held = read(past.observations, names)
    return Memory(
        held=held,
        cap=past.cap,
        lost=past.lost,
        ever_lost=past.ever_lost,
        cut=past.cut,
        stalled=len(past.observations) > 1 and held == read(past.observations[:-2], names),
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
