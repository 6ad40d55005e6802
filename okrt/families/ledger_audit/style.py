"""The surface of the experts' blocks: names, wording, batches; never what a block does.

Traces that always read alike teach their wording instead of their contract. So a style can be drawn
from a seed and the task's prompt: the two experts of a pair are given the same one.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from random import Random

THOUGHTS = {
    "start": (
        "I list the pages of both tables and read the first ones.",
        "First I set up the sums and read a few pages.",
        "Let me read the accounts and begin to add up.",
        "To begin, I look which accounts count.",
    ),
    "read": (
        "I read the next pages.",
        "I go on with the pages that are left.",
        "There is more to add up.",
        "Next I read further on.",
    ),
    "answer": (
        "All pages are read. I ask for the contact and submit.",
        "The sums are complete, so I can answer.",
        "Now I take the largest sum and hand in the answer.",
        "Everything is added up. I submit.",
    ),
}
"""A text for each hand, in each phase."""
REPAIRS = {
    "retry": "A name was wrong. I write the block again.",
    "rebuild": "A name is not there. I set up again what was printed.",
}
"""What stands in the thought's place once a block has ended in a NameError."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a block calls its variables and functions; all differ."""

    totals: str = "totals"
    """Account in the region to what its entries add up to so far."""
    pages: str = "pages"
    """What there is to read: table and first row."""
    done: str = "done"
    """How many of the pages are read."""
    row: str = "row"
    add: str = "add"
    best: str = "best"
    found: str = "found"
    """The answer."""


CHOICES = Names(
    totals="totals sums amounts ledger",
    pages="pages parts chunks queue",
    done="done reached offset position",
    row="row line record item",
    add="add count book load",
    best="best top largest leader",
    found="found answer result report",
)
"""What `draw` chooses from: the first of each field, or the second, and so on, as one hand would
write them, with its own thoughts."""


@dataclass(frozen=True, slots=True)
class Style:
    names: Names = Names()
    wording: int = 0
    """Index into each of `THOUGHTS`."""
    spare: int = 0
    """Tool calls that each reading block leaves unused, where the cap allows."""


PLAIN = Style()


def draw(rng: Random) -> Style:
    hands = list(zip(*(names.split() for names in astuple(CHOICES)), strict=True))
    hand = rng.randrange(len(hands))
    return Style(names=Names(*hands[hand]), wording=hand, spare=rng.randrange(2))
