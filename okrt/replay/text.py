"""A replay as the terminal shows it. Pure: text out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from okrt.replay.nouns import KINDS, Replay, ReplayedTurn
from okrt.replay.summary import Cell, Missed, Quartiles
from okrt.report.plain import one_line

BAR = 40
"""Signs of the longest bar."""
_LABEL = 20
_DETAIL = 160
CLAIM = (
    "A turn is faithful if its model was shown there what it was shown in the record, to the byte; "
    "what its block does is then what it would have done. What the model would have written after "
    "the last faithful turn is not known."
)


def text(cells: Sequence[Cell], width: int = 100) -> str:
    """Returns the report, several lines, ending in a newline."""
    lines: list[str] = []
    for cell in cells:
        lines += [*_heading(cell, width), *_rows(cell, width), ""]
    lines += textwrap.wrap(CLAIM, max(40, width))
    return "\n".join(lines) + "\n"


def line(replay: Replay, name: str) -> str:
    """Returns one episode, of a case's name, on one line."""
    start = (
        f"{replay.episode_id}  {one_line(name, 120)}  "
        f"faithful {replay.faithful_turns} of {replay.recorded_turns}"
    )
    departure = replay.departure
    if departure is None:
        return f"{start}  departs in nothing"
    return f"{start}  {_departure(departure)}"


def _departure(turn: ReplayedTurn) -> str:
    assert turn.departs is not None
    unsteady = " (unsteady)" if turn.steady is False else ""
    unseen = "" if turn.seen else " (not shown to the model)"
    told = one_line(turn.detail, _DETAIL)
    return f"turn {turn.number}: {KINDS[turn.departs]}{unsteady}{unseen}: {told}"


def _heading(cell: Cell, width: int) -> list[str]:
    kept = (cell.contract, cell.tool_cap) == (cell.recorded_contract, cell.recorded_cap)
    contract = f"under {cell.contract}" + (", as it was" if kept else "")
    cap = f"with {cell.tool_cap} tool calls a block"
    if cell.tool_cap != cell.recorded_cap:
        cap += f" in place of {cell.recorded_cap}"
    told = (
        f"{one_line(cell.model, 60)} on {cell.family}/{cell.tier}, recorded under "
        f"{cell.recorded_contract}, replayed {contract}, {cap}: {_episodes(cell.episodes)}"
    )
    return textwrap.wrap(told, max(40, width), break_on_hyphens=False)


def _rows(cell: Cell, width: int) -> Iterator[str]:
    faithful, of = cell.faithful_turns, cell.recorded_turns
    yield _row("faithful turns", f"{_quartiles(faithful)}; recorded {_quartiles(of)}")
    if cell.prompts_same < cell.episodes:
        differ = cell.episodes - cell.prompts_same
        told = (
            f"differs for {_episodes(differ)}: they have no faithful turn, and what follows says "
            "what the recorded blocks meet, not what the model would have written"
        )
        first, *rest = textwrap.wrap(told, max(40, width - _LABEL - 2))
        yield _row("prompt", first)
        yield from (_row("", part) for part in rest)
    yield _row("departs in nothing", _episodes(cell.whole))
    label = "first departure"
    for kind, count in cell.first_departures.items():
        yield _row(label, f"{KINDS[kind]}: {_episodes(count)}")
        label = ""
    if cell.unsteady:
        told = "their own contract and cap do not repeat the record either"
        yield _row(label, f"unsteady: {_episodes(cell.unsteady)} ({told})")
    if cell.unchecked:
        yield _row("", f"of these not tried under the recorded contract: {cell.unchecked:,}")
    yield from _histogram(cell.departs_at)
    if cell.lost_at:
        turns = ", ".join(f"turn {turn}: {n:,}" for turn, n in cell.lost_at.items())
        yield _row("first lost variable", turns)
    if cell.prompts_same:
        yield from _missed(cell)
    most = f"{'>= ' if cell.most_calls > cell.recorded_cap else ''}{cell.most_calls:,}"
    maybe = f", {cell.maybe_over_cap:,} more may have" if cell.maybe_over_cap else ""
    yield _row(
        "over the cap",
        f"{cell.over_cap:,} of {cell.blocks:,} recorded blocks tried more than {cell.tool_cap} "
        f"calls{maybe}; the most: {most}",
    )


def _histogram(departs_at: Mapping[int, int]) -> Iterator[str]:
    most = max(departs_at.values(), default=0)
    label = "departs at turn"
    for turn, count in departs_at.items():
        bar = "#" * max(1, round(BAR * count / most))
        yield _row(label, f"{turn:>3} {bar} {count:,}")
        label = ""


def _missed(cell: Cell) -> Iterator[str]:
    """The turns at which the bounds move."""
    label, last = "misses a variable", (-1, -1)
    for one in cell.missed:
        if (one.at_least, one.at_most) != last:
            yield _row(label, f"by turn {one.turn}: {_share(one, cell.episodes)}")
            label, last = "", (one.at_least, one.at_most)


def _share(one: Missed, episodes: int) -> str:
    low, high = one.at_least / episodes, one.at_most / episodes
    if one.at_least == one.at_most:
        return f"{low:.0%} of the episodes"
    return f"{low:.0%} of the episodes at least, {high:.0%} at most"


def _quartiles(of: Quartiles) -> str:
    return f"median {of.median} (quartiles {of.low} to {of.high})"


def _episodes(count: int) -> str:
    return f"{count:,} episode{'' if count == 1 else 's'}"


def _row(label: str, told: str) -> str:
    return f"  {label:<{_LABEL}}{told}"
