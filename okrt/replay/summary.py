"""Replays of one cell, added up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from okrt.replay.nouns import Kind, Replay

CellKey = tuple[str, str, str, str, int, str, int]


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Of whole numbers, each one of them: the least that at least a quarter (half, three quarters)
    of them do not exceed."""

    low: int
    median: int
    high: int


@dataclass(frozen=True, slots=True)
class Missed:
    """Episodes in which a block misses a variable by a turn."""

    turn: int
    at_least: int
    """Of these it is known: their model, shown what was recorded, wrote the block."""
    at_most: int
    """Of the others it is known that they do not, or they departed otherwise, so that what their
    model would have written is not known."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The replays of episodes that share family, tier, model, contract and cap."""

    family: str
    tier: str
    model: str
    recorded_contract: str
    recorded_cap: int
    contract: str
    tool_cap: int
    episodes: int
    recorded_turns: Quartiles
    faithful_turns: Quartiles
    prompts_same: int
    """Episodes whose model would have been given the same prompt."""
    whole: int
    """Episodes that depart in nothing."""
    unsteady: int
    """Episodes whose first departure the recorded contract shows as well."""
    unchecked: int
    """Episodes of which that was not tried."""
    first_departures: Mapping[Kind, int]
    """Episodes by the kind of their first departure, the unsteady left out."""
    departs_at: Mapping[int, int]
    """Episodes by the turn of their first departure, the unsteady included."""
    lost_at: Mapping[int, int]
    """Episodes by the first turn that a lost variable ended, up to the last that compares."""
    missed: tuple[Missed, ...]
    """By turn, from 1. All is open where the prompt differs."""
    blocks: int
    """Recorded blocks."""
    over_cap: int
    """Of these, those that tried more calls than the cap of the replay allows."""
    maybe_over_cap: int
    """Of the others, those that the recorded cap, a lower one, may have kept from it."""
    most_calls: int
    """The most that one of them tried. Above the recorded cap it is a lower bound: that cap ends a
    block at the first refused call, unless the block catches that."""


def cells(replays: Iterable[Replay]) -> list[Cell]:
    """Returns one summary for each cell, sorted."""
    found: dict[CellKey, list[Replay]] = {}
    for one in replays:
        found.setdefault(_key(one), []).append(one)
    return [_cell(key, found[key]) for key in sorted(found)]


def _key(one: Replay) -> CellKey:
    return (
        one.family, one.tier, one.model, one.recorded_contract, one.recorded_cap, one.contract,
        one.tool_cap,
    )  # fmt: skip


def _cell(key: CellKey, replays: Sequence[Replay]) -> Cell:
    departures = [one.departure for one in replays if one.departure is not None]
    kinds = Counter(
        d.departs for d in departures if d.departs is not None and d.steady is not False
    )
    losses = [one.first_lost for one in replays]
    blocks = [demand for one in replays for demand in one.recorded_demand]
    within = [demand for demand in blocks if demand.calls <= key[-1]]
    return Cell(
        *key,
        episodes=len(replays),
        recorded_turns=quartiles([one.recorded_turns for one in replays]),
        faithful_turns=quartiles([one.faithful_turns for one in replays]),
        prompts_same=sum(one.prompt_same for one in replays),
        whole=sum(one.departure is None for one in replays),
        unsteady=sum(departure.steady is False for departure in departures),
        unchecked=sum(departure.steady is None for departure in departures),
        first_departures=dict(sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))),
        departs_at=_counted(departure.number for departure in departures),
        lost_at=_counted(turn.number for turn in losses if turn is not None),
        missed=_missed(replays),
        blocks=len(blocks),
        over_cap=len(blocks) - len(within),
        maybe_over_cap=sum(demand.cut for demand in within),
        most_calls=max((demand.calls for demand in blocks), default=0),
    )


def _counted(turns: Iterable[int]) -> dict[int, int]:
    return dict(sorted(Counter(turns).items()))


def quartiles(values: Sequence[int]) -> Quartiles:
    """Raises ValueError where there are no values."""
    if not values:
        raise ValueError("no values have no quartiles")
    ordered = sorted(values)
    return Quartiles(*(ordered[(len(ordered) * n - 1) // 4] for n in (1, 2, 3)))


def _missed(replays: Sequence[Replay]) -> tuple[Missed, ...]:
    """The bounds assume nothing: an episode whose model is past its last faithful turn may miss a
    variable in the next or never (worst-case bounds, Manski 1990)."""
    lost = [
        one.first_lost.number if one.prompt_same and one.first_lost else None for one in replays
    ]
    open_from = [
        None if at is not None else _open_from(one) for one, at in zip(replays, lost, strict=True)
    ]
    last = max((one.same_turns for one in replays), default=0)
    found = []
    for turn in range(1, last + 1):
        known = sum(at is not None and at <= turn for at in lost)
        possible = sum(begins is not None and begins <= turn for begins in open_from)
        found.append(Missed(turn, known, known + possible))
    return tuple(found)


def _open_from(one: Replay) -> int | None:
    """Returns the first turn of which is not known what the model would have written; None where
    the whole episode is known."""
    if not one.prompt_same:
        return 1
    goes_on = one.same_turns < one.recorded_turns or any(turn.seen for turn in one.turns)
    return one.same_turns + 1 if goes_on else None
