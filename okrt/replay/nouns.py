"""What a replay is: an episode's turns beside the same blocks run again.

What holds of it (docs/replay.md): a recorded reply is evidence of what the model does where it
answers the very conversation that was recorded. So a turn is *faithful* if the prompt, and every
observation before the turn, are the recorded ones byte for byte; what its block then does is what
it would have done. The turn in which the model would first have been shown something else is the
last faithful one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from okrt.types import ExecutionStatus

Kind = Literal[
    "reply", "lost", "found", "cap", "uncapped", "died", "timeout", "survived", "guarded", "error",
    "calls", "output", "notes", "ending",
]  # fmt: skip
KINDS: dict[Kind, str] = {
    "reply": "reply read otherwise",
    "lost": "lost variable",
    "found": "variable there that was lost",
    "cap": "cap hit",
    "uncapped": "cap hit no more",
    "died": "process died",
    "timeout": "timeout",
    "survived": "process lost no more",
    "guarded": "guarded loss",
    "error": "other error",
    "calls": "other tool calls or results",
    "output": "other output",
    "notes": "other notes",
    "ending": "other ending",
}
"""How a turn departs, in words. Of several ways the first one here names it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The tool calls that a recorded block made or tried to make."""

    calls: int
    cut: bool
    """Whether its cap refused some: without it the block might have tried more."""


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """One turn, beside the recorded one."""

    number: int
    """From 1."""
    status: ExecutionStatus | None
    """How its block ended; None: it has none."""
    departs: Kind | None = None
    """In what it differs from the record; what only the interpreter knows, such as which names are
    alive, is not compared."""
    detail: str = ""
    """That in words; text of the model's may stand in it."""
    seen: bool = False
    """Whether the observation departs: the model would have been shown something else, or asked
    where it was not, or not asked where it was."""
    steady: bool | None = None
    """Of a departure: whether the contract or the cap is the cause. True: under the recorded ones
    the same block repeats what was recorded; of `lost` and `found`, it is not that there. False: it
    departs there as well, for a clock, an address or the machine. None: it was not tried."""
    lost: str | None = None
    """The variable that ended the block: an earlier block had bound it, and it was gone."""
    demand: int = 0
    """Tool calls that the block made or tried to make. Of a block that the cap ended, a lower
    bound."""
    refused: int = 0
    """Of these, calls beyond the cap."""


@dataclass(frozen=True, slots=True)
class Replay:
    """An episode's blocks, run again without a model."""

    episode_id: str
    task_id: str
    family: str
    tier: str
    seed: int
    repeat: int
    model: str
    recorded_contract: str
    recorded_cap: int
    recorded_turns: int
    recorded_demand: tuple[Demand, ...]
    """Of the recorded blocks, in order."""
    contract: str
    tool_cap: int
    prompt_same: bool
    """Whether the model would have been given the same prompt: it may state the cap or a cue."""
    turns: tuple[ReplayedTurn, ...]
    """Those replayed: up to the first departure that would have been seen. Under the recorded
    contract and cap, all."""

    @property
    def own(self) -> bool:
        """Whether it is a replay under the recorded contract and cap."""
        return (self.contract, self.tool_cap) == (self.recorded_contract, self.recorded_cap)

    @property
    def departure(self) -> ReplayedTurn | None:
        """The first turn that departs, seen by the model or not."""
        return next((turn for turn in self.turns if turn.departs), None)

    @property
    def same_turns(self) -> int:
        """Turns up to and with the first in which an observation departs."""
        return next((turn.number for turn in self.turns if turn.seen), len(self.turns))

    @property
    def faithful_turns(self) -> int:
        """Turns whose reply answers the recorded conversation: none where the prompt differs."""
        return self.same_turns if self.prompt_same else 0

    @property
    def compared(self) -> tuple[ReplayedTurn, ...]:
        """The turns up to and with the first in which an observation departs."""
        return self.turns[: self.same_turns]

    @property
    def first_lost(self) -> ReplayedTurn | None:
        """The first of them whose block a lost variable ended, in the record as well or not."""
        return next((turn for turn in self.compared if turn.lost is not None), None)
