"""The surface of the experts' blocks: names, wording, batches; never what a block does.

Traces that always read alike teach their wording instead of their contract. So a style can be drawn
from a seed and the task's prompt: the two experts of a pair are given the same one.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from random import Random

LISTINGS = (
    "json.loads(list_items())",
    "sorted(json.loads(list_items()))",
    "json.loads(list_items())[::-1]",
)
THOUGHTS = {
    "start": (
        "I list the items and look at the first ones.",
        "First I list what there is and inspect some of it.",
        "Let me see the items and inspect a few.",
        "To begin, I list the items and check some.",
    ),
    "look": (
        "I look at more items.",
        "I inspect the next items.",
        "There is budget left, so I look at others.",
        "Next I check others.",
    ),
    "rank": (
        "I try items by value per weight.",
        "Now I take the best value per weight first.",
        "I rank what I saw and start to take.",
        "Enough is known to take the best.",
    ),
    "take": (
        "I try the next items.",
        "I go on down the list.",
        "More items may still fit.",
        "Those below may fit as well.",
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

    seen: str = "seen"
    """Item to value per weight; 0.0 where the budget did not reach."""
    todo: str = "todo"
    """Items to look at."""
    rest: str = "rest"
    """Items to take, best first, that are not tried yet."""
    item: str = "item"
    facts: str = "facts"
    look: str = "look"
    grab: str = "grab"


CHOICES = Names(
    seen="seen known worth ratios",
    todo="todo pending unseen ahead",
    rest="rest order queue others",
    item="item key one thing",
    facts="facts info data entry",
    look="look check study examine",
    grab="grab pick attempt collect",
)
"""What `draw` chooses from: the first of each field, or the second, and so on, as one hand would
write them, with its own thoughts. No name is part of another field's choice."""


@dataclass(frozen=True, slots=True)
class Style:
    names: Names = Names()
    wording: int = 0
    """Index into each of `THOUGHTS`."""
    listing: str = LISTINGS[0]
    helpers: bool = True
    """Whether what is done to each item stands in a function."""
    spare: int = 0
    """Tool calls that each block leaves unused, where the cap allows."""


PLAIN = Style()


def draw(rng: Random) -> Style:
    """Returns a style; helpers in three of four."""
    hands = list(zip(*(names.split() for names in astuple(CHOICES)), strict=True))
    hand = rng.randrange(len(hands))
    return Style(
        names=Names(*hands[hand]),
        wording=hand,
        listing=rng.choice(LISTINGS),
        helpers=rng.random() < 0.75,
        spare=rng.randrange(2),
    )
