"""A recorded episode beside the same blocks run again: where the two depart. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from okrt.analysis.defuse import block
from okrt.analysis.missing import bound_before, bound_by, guarded_names, missing_variables
from okrt.replay.nouns import Demand, Kind, ReplayedTurn
from okrt.types import Episode, Execution, Trajectory, Turn

SHOWN = 80
"""Characters of a piece of text within a detail."""
_UNSTEADY = re.compile(
    r"\b(?:time|monotonic|perf_counter|process_time|datetime|uuid\d?|secrets|urandom|SystemRandom|"
    r"id|getpid|tempfile|getcwd|threading|asyncio|platform|gc)\b"
)
"""What blocks name whose output no two runs need to share."""


def demands(turns: Sequence[Turn]) -> tuple[Demand, ...]:
    """Returns the demand of each block that ran."""
    ran = [turn.execution for turn in turns if turn.execution is not None]
    return tuple(Demand(demand(done), done.refused_calls > 0) for done in ran)


def demand(execution: Execution) -> int:
    """Returns the tool calls that a block made or tried to make.

    Source: K_t of the follow-up to arXiv 2603.01209; differs: where the cap ended the block, what
    it would have gone on to call is not known.
    """
    return len(execution.calls) + execution.refused_calls


def differences(recorded: Episode, trajectory: Trajectory) -> tuple[ReplayedTurn, ...]:
    """Returns the turns of a replay beside those of the record.

    Args:
        trajectory: the replay's, of turns that the recorded completions made.
    """
    assert recorded.trajectory is not None
    there = recorded.trajectory.turns[: len(trajectory.turns)]
    return tuple(_Both(there, trajectory.turns, recorded.tools).turns())


class _Both:
    """The turns of the record and of the replay, as many."""

    def __init__(self, there: Sequence[Turn], here: Sequence[Turn], tools: Sequence[str]) -> None:
        self._there, self._here = there, here
        self._lost_there, self._lost_here = _lost(there, tools), _lost(here, tools)
        self._guarded = [
            sorted(now - then)
            for now, then in zip(guarded_names(here), guarded_names(there), strict=True)
        ]
        self._before = bound_before(here)

    def turns(self) -> Iterator[ReplayedTurn]:
        for i, (here, there) in enumerate(zip(self._here, self._there, strict=True)):
            seen = here.observation != there.observation  # empty where the episode has ended
            kind = self._kind(i, seen)
            done = here.execution
            yield ReplayedTurn(
                number=i + 1,
                status=None if done is None else done.status,
                departs=kind,
                detail="" if kind is None else self._detail(kind, i),
                seen=seen,
                lost=self._lost_here[i],
                demand=0 if done is None else demand(done),
                refused=0 if done is None else done.refused_calls,
            )

    def _kind(self, i: int, seen: bool) -> Kind | None:
        here, there = self._here[i].execution, self._there[i].execution
        if self._here[i].code != self._there[i].code or here is None or there is None:
            same = self._here[i].code == self._there[i].code
            return "reply" if not same else "ending" if seen else None
        found = _execution(here, there)
        if found is None:
            if not seen:
                return None
            spoken = self._here[i].observation and self._there[i].observation
            return "notes" if spoken else "ending"
        if self._lost_here[i] != self._lost_there[i]:
            return "lost" if self._lost_here[i] is not None else "found"
        return "guarded" if self._guarded[i] and found in ("error", "calls", "output") else found

    def _detail(self, kind: Kind, i: int) -> str:
        here, there = self._here[i].execution, self._there[i].execution
        if kind == "lost":
            name = self._lost_here[i] or ""
            origin = [j + 1 for j in range(i) if name in bound_by(self._here[j])]
            return f"{name}, last alive in block {origin[-1]}, is gone"
        if kind == "found":
            return f"{self._lost_there[i]} was gone in the record"
        if kind == "guarded":
            return f"is ready to miss {', '.join(self._guarded[i])}, and does"
        if kind == "reply":
            return "this okrt takes other code from the reply than the one that recorded it"
        if kind == "ending" or here is None or there is None:
            return "the episode ends here" if not self._here[i].observation else "it goes on here"
        told = _told(kind, here, there)
        gone = sorted(
            frozenset(block(self._here[i].code or "").read_at)
            & self._before[i] - frozenset(here.carried_names or ())
        )
        return told + (f"; reads {', '.join(gone)}, gone here" if gone else "")


def _lost(turns: Sequence[Turn], tools: Sequence[str]) -> list[str | None]:
    """Returns, for each turn, the lost variable that ended its block, or None."""
    return [
        turn.execution.missing_name if turn.execution is not None and found == "lost" else None
        for turn, found in zip(turns, missing_variables(turns, tools), strict=True)
    ]


def _execution(here: Execution, there: Execution) -> Kind | None:
    """Returns how one block departs, variables left aside."""
    calls = msgspec.json.encode(here.calls) != msgspec.json.encode(there.calls)
    counts = [(len(one.calls), one.refused_calls) for one in (here, there)]
    if here.refused_calls and counts[0] != counts[1]:
        return "cap"
    if there.refused_calls and not here.refused_calls:
        return "uncapped"
    if here.status != there.status:
        if here.status in ("died", "timeout"):
            return "died" if here.status == "died" else "timeout"
        return "survived" if there.status in ("died", "timeout") else "error"
    if (here.error_type, here.error) != (there.error_type, there.error):
        return "error"
    if calls:
        return "calls"
    same = (here.stdout, here.truncated_chars) == (there.stdout, there.truncated_chars)
    return None if same else "output"


def _told(kind: Kind, here: Execution, there: Execution) -> str:
    """Returns what differs, in words."""
    if kind in ("cap", "uncapped"):
        return f"calls refused: {here.refused_calls}, in the record {there.refused_calls}"
    if kind in ("error", "died", "timeout", "survived"):
        ended, was = (_last_line(one.error) or one.status for one in (here, there))
        if ended != was:
            return f"{ended[:SHOWN]!r}, {was[:SHOWN]!r} in the record"
        return _parted((here.error or "").splitlines(), (there.error or "").splitlines(), "line")
    if kind == "calls":
        return _parted(_calls(here), _calls(there), "call")
    if kind == "notes":
        return (
            "what is added to the output differs: the names alive, that of a restart, or the "
            "contract's note"
        )
    return _parted(here.stdout.splitlines(), there.stdout.splitlines(), "line")


def _calls(done: Execution) -> list[str]:
    return [msgspec.json.encode(call).decode() for call in done.calls]


def sources(code: str) -> list[str]:
    """Returns what the code names that may make its output unsteady; a hint, no proof."""
    return sorted(set(_UNSTEADY.findall(code)))


def _last_line(text: str | None) -> str:
    return next(reversed((text or "").strip().splitlines()), "")


def _parted(here: Sequence[str], there: Sequence[str], what: str) -> str:
    """Returns where two lists first part."""
    pairs = zip(here, there, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(here), len(there)))
    shown = [_from(one[first], other[first] if first < len(other) else "") if first < len(one)
             else "nothing" for one, other in ((here, there), (there, here))]  # fmt: skip
    return f"{what} {first + 1}: {shown[0]}, {shown[1]} in the record"


def _from(text: str, other: str) -> str:
    """Returns a piece of the text, from shortly before it parts from the other."""
    pairs = zip(text, other, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(text), len(other)))
    start = max(0, first - SHOWN // 2) if len(text) > SHOWN else 0
    return repr(text[start : start + SHOWN])
