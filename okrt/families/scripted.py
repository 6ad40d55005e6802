"""What the scripted agents of every family share: their names, what they look back on, a reply.

An expert is a pure function of a conversation, named `NAME[,recovery=MODE][,slips=SHARE]
[,variety=SEED]` alike in each family, so that one run may play several families with one name; the
knapsack's take `batch=all` besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from okrt.types import Conversation, Message

EXPERTS = ("persistent", "stateless", "no-inspection")
RECOVERIES = ("rebuild", "retry", "give_up")
BATCHES = ("cap", "all")
SLIP_BLOCKS = (1, 2)
"""Which block, counted from 0, may hold the misspelt name; every episode has as many."""
DEFAULT_CAP = 25
"""Where the first message names no cap."""

_CAP = re.compile(r"at most (\d{1,9}) tool calls?\b", re.ASCII)
_LOSS = re.compile(r"^NameError: name ", re.MULTILINE)
_CUT = re.compile(r"^ToolCapExceeded: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Expert:
    """What an expert is; two of equal fields answer alike."""

    name: str
    """`persistent`, `stateless`, or `no-inspection`, the negative control."""
    recovery: str = "rebuild"
    """What it does once a block has ended in a NameError. `rebuild`: sets its names up again from
    what was printed and goes on; `retry`: writes the block again, as it was meant; `give_up`:
    forgets what it learned and goes on blindly. The control never has such a loss."""
    slips: float = 0.0
    """Share of episodes in which one block misspells a name, in [0, 1]."""
    variety: str | None = None
    """Seed of the surface (the names and wording of its blocks) and of the slips; None: one plain
    style."""
    batch: str = "cap"
    """What a block of the persistent idiom takes on. `cap`: as much as the tool cap allows; `all`:
    all there is, so that a cap may cut it, and the next block goes on with the variables."""

    def style_rng(self, prompt: str) -> Random | None:
        """Returns what a style is drawn from, None for the plain one. The prompt decides, so that
        both experts of a pair are given the same."""
        return None if self.variety is None else Random(f"style/{self.variety}/{prompt}")

    def slips_in(self, prompt: str, block: int) -> bool:
        """Whether this block of the episode, counted from 0, misspells a name."""
        rng = Random(f"slips/{self.variety}/{prompt}")
        slip = rng.choice(SLIP_BLOCKS) if rng.random() < self.slips else None
        return slip == block


def read_expert(text: str, batches: Sequence[str] = BATCHES[:1]) -> Expert:
    """Returns the expert of a name with its settings.

    Args:
        text: `NAME[,KEY=VALUE]...`.
        batches: what a family's experts know of `BATCHES`.

    Raises:
        ValueError: the name, a setting or its value is unknown.
    """
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
        elif key == "batch" and value in batches:
            found = replace(found, batch=value)
        else:
            batch_too = f", batch={'|'.join(batches)}" if len(batches) > 1 else ""
            raise ValueError(
                f"unknown setting {setting!r}; write recovery={'|'.join(RECOVERIES)}, "
                f"slips=0.3 (a share of the episodes){batch_too} or variety=SEED"
            )
    return found


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Past:
    """What any conversation tells, whatever its task."""

    prompt: str
    observations: tuple[str, ...]
    cap: int
    """Tool calls a block may make."""
    code_tags: bool
    """Whether the first message asks for `<code>` tags instead of a fenced block."""
    blocks: int
    """Replies given so far."""

    @property
    def lost(self) -> bool:
        """The last block ended in a NameError."""
        return any(_LOSS.search(text) for text in self.observations[-1:])

    @property
    def cut(self) -> bool:
        """The tool cap cut the last block that met no NameError."""
        run = [text for text in self.observations if not _LOSS.search(text)]
        return any(_CUT.search(text) for text in run[-1:])

    @property
    def ever_lost(self) -> bool:
        return any(_LOSS.search(text) for text in self.observations)

    def reply(self, thought: str, code: str) -> str:
        """Returns the thought and one block, in the form that was asked for."""
        opening, close = ("<code>", "</code>") if self.code_tags else ("```python", "```")
        return f"{thought}\n{opening}\n{code}\n{close}"


def look_back(conversation: Conversation) -> Past:
    """Returns what a conversation tells; never raises, whatever the observations hold."""
    prompt = conversation.messages[0].content
    return Past(
        prompt=prompt,
        observations=_texts(conversation.messages[1:], "user", "tool"),
        cap=max(int([str(DEFAULT_CAP), *_CAP.findall(prompt)][-1]), 1),
        code_tags="<code>" in prompt,
        blocks=len(_texts(conversation.messages, "assistant")),
    )


def _texts(messages: Iterable[Message], *roles: str) -> tuple[str, ...]:
    return tuple(message.content for message in messages if message.role in roles)


def misspelt(name: str) -> str:
    """Returns the name with its last two letters swapped, or the last one dropped if equal."""
    swapped = name[:-2] + name[-1] + name[-2]
    return swapped if swapped != name else name[:-1]
