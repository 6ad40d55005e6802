"""What an expert knows: read off the conversation, and nothing else.

The experts' blocks end by printing what they hold, as `NAME = LITERAL` lines. Lines of any other
shape are passed over, so cut, odd or hostile observations cost knowledge, never a crash; and what
is pasted into a block can be nothing but such a literal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from okrt.families.ledger_audit.style import Names
from okrt.families.scripted import Past

_DICT = r"\{(?:'acct_\w{1,64}': \d{1,12}(?:, (?='))?)*\}"
_ANSWER = r"\{'total': \d{1,12}, 'account': 'acct_\w{1,64}', 'contact': 'person_\w{1,64}'\}"
_QUESTION = re.compile(
    r"^Table accounts: (?P<accounts>\d{1,6}) rows.*\n"
    r"Table entries: (?P<entries>\d{1,6}) rows.*\n"
    r"Rows shown at a time: (?P<page>[1-9]\d{0,5})\n"
    r"(?:.*\n){2}"
    r"Look at the entries of kind (?P<kind>\w{1,20}) "
    r"whose account is in region (?P<region>\w{1,20})",
    re.ASCII | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the prompt says."""

    accounts: int
    entries: int
    page: int
    kind: str
    region: str

    @property
    def pages(self) -> int:
        return -(-self.accounts // self.page) + -(-self.entries // self.page)


@dataclass(frozen=True, slots=True)
class Held:
    """What the last printed lines say that the variables hold, as Python literals."""

    totals: str = "{}"
    done: int = 0
    found: str | None = None
    """None until the contact is known."""
    submitted: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    question: Question | None
    """None where the prompt is no ledger's."""
    held: Held | None
    """None until something was printed."""
    stalled: bool
    """Neither of the last two observations told anything new."""


def recall(past: Past, names: Names) -> Memory:
    """Returns what the conversation tells; never raises, whatever the observations hold."""
    asked = _QUESTION.search(past.prompt)
    held = read(past.observations, names)
    question = None
    if asked:
        question = Question(
            accounts=int(asked["accounts"]),
            entries=int(asked["entries"]),
            page=int(asked["page"]),
            kind=asked["kind"],
            region=asked["region"],
        )
    stalled = len(past.observations) > 1 and held == read(past.observations[:-2], names)
    return Memory(question, held, stalled)


def read(observations: Sequence[str], names: Names) -> Held | None:
    """Returns what the observations say in their last complete lines, or None."""
    reading = re.compile(
        rf"^{names.totals} = ({_DICT})\n{names.done} = (\d{{1,6}})$", re.ASCII | re.MULTILINE
    )
    answering = re.compile(rf"^{names.found} = ({_ANSWER})$", re.ASCII | re.MULTILINE)
    submitted = any("submitted" in text.splitlines() for text in observations)
    for text in reversed(observations):
        if found := answering.search(text):
            return Held(found=found[1], submitted=submitted)
        if found := reading.search(text):
            return Held(found[1], int(found[2]), submitted=submitted)
    return Held(submitted=True) if submitted else None
