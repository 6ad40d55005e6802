"""Where the episodes of a run lie, and what it must hold: read without the episodes themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

import msgspec

from okrt.errors import StoreError
from okrt.plan import AXES, Key, Plan, plan_of
from okrt.store import EPISODES, Head, Problem, decode_episode, decode_head, lines, problem_of
from okrt.types import Episode, Failure

Shard = tuple[int, int]
"""Its number, from 1, and how many there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """One episode of `episodes.jsonl`."""

    id: str
    key: Key
    failed: bool
    """Whether infrastructure broke it off."""
    offset: int
    length: int
    """Bytes of the line, the newline included where there is one."""


class _Task(msgspec.Struct):
    family: str
    tier: str
    split: str
    seed: int


class _Model(msgspec.Struct):
    label: str


class _Settings(msgspec.Struct):
    tool_cap: int | None = None
    cue: str = "none"
    names: bool = False

    def axes(self) -> tuple[int, str, bool]:
        return self.tool_cap or 0, intern(self.cue), self.names


class _Coordinates(Head):
    id: str
    task: _Task
    repeat: int
    contract: str
    model: _Model
    settings: _Settings
    failure: Failure | None


_DECODER = msgspec.json.Decoder(_Coordinates)
_FROM, _TO = b',"trajectory":', b',"outcome":'


def places(run: Path) -> Iterator[Place | Problem]:
    """Yields where each episode of a run directory lies, in the order of writing, and the lines
    that are none. Changes nothing. What happened in an episode is passed over unread.

    Raises:
        StoreError: the directory holds no `episodes.jsonl`.
    """
    for line in lines(run):
        try:
            found = _coordinates(line.content)
        except StoreError as error:
            yield problem_of(run, line, error)
        else:
            failed = found.failure is not None
            yield Place(found.id, _key(found), failed, line.offset, len(line.content))


def _coordinates(line: bytes) -> _Coordinates:
    """Leaves the trajectory, nearly all of a line, out before decoding, which takes a fifth of the
    time. A quote within text is escaped, so that what is looked for is a key; if it is one of
    another object, the rest lacks fields or is no JSON, and the whole line is decoded."""
    first, behind = line.find(_FROM), line.rfind(_TO)
    if 0 < first < behind and line.endswith(b"\n"):
        try:
            return decode_head(line[:first] + line[behind:], _DECODER)
        except StoreError:
            pass
    return decode_head(line, _DECODER)


def _key(found: _Coordinates) -> Key:
    task = found.task
    return Key(
        intern(task.family),
        intern(task.tier),
        intern(task.split),
        intern(found.model.label),
        intern(found.contract),
        found.repeat,
        task.seed,
        *found.settings.axes(),
    )


def read_line(run: Path, place: Place) -> bytes:
    """Returns the line of a place, ending in a newline.

    Raises:
        StoreError: the run cannot be read, or has changed since.
    """
    try:
        with (run / EPISODES).open("rb", buffering=0) as episodes:
            episodes.seek(place.offset)
            line = episodes.read(place.length)
    except OSError as error:
        raise StoreError(f"cannot read {run / EPISODES}: {error.strerror}") from None
    line = line.removesuffix(b"\n") + b"\n"
    try:
        same = _coordinates(line).id == place.id
    except StoreError:
        same = False
    if not same:
        raise StoreError(f"{run} was changed while it was read; read it again")
    return line


def read_place(run: Path, place: Place) -> Episode:
    """Returns the episode of a place.

    Raises:
        StoreError: the run cannot be read, has changed since, or the line is no episode.
    """
    return decode_episode(read_line(run, place))


def plan_in(run: Mapping[str, Any]) -> Plan | None:
    """Returns the plan that a `run.json` states, or None. Earlier versions stated cases, all of
    them of the split `eval`. What a plan does not say of an axis is what the settings say: a run
    held one value of each.

    Raises:
        StoreError: it is no plan.
    """
    try:
        if "plan" in run:
            stated = msgspec.convert(run["plan"], list[Any])
            return msgspec.convert(_with_axes(stated, run), Plan)
        if "manifest" in run:
            stated = _with_axes(list(run["manifest"].values()), run)
            cases = msgspec.convert(stated, list[_Case])
            return plan_of(case.key() for case in cases)
    except msgspec.ValidationError as error:
        raise StoreError(f"what the run must hold cannot be read: {error}") from None
    return None


def _with_axes(stated: Sequence[Any], run: Mapping[str, Any]) -> Any:
    parts = [one for one in stated if isinstance(one, Mapping)]
    if all(axis in one for one in parts for axis in AXES):
        return stated
    axes = msgspec.convert(run.get("settings") or {}, _Settings).axes()
    known = dict(zip(AXES, axes, strict=True))
    return [{**known, **one} if isinstance(one, Mapping) else one for one in stated]


class _Case(msgspec.Struct):
    family: str
    tier: str
    seed: int
    repeat: int
    model: str
    contract: str
    split: str = "eval"
    tool_cap: int = 0
    cue: str = "none"
    names: bool = False

    def key(self) -> Key:
        return Key(
            self.family, self.tier, self.split, self.model, self.contract, self.repeat, self.seed,
            self.tool_cap, self.cue, self.names,
        )  # fmt: skip


def shards_in(run: Mapping[str, Any]) -> frozenset[Shard]:
    """Returns the shards that a `run.json` is of; none where it is of the whole work.

    Raises:
        StoreError: one is no shard.
    """
    return frozenset(map(_shard, [*run.get("shards", ()), *filter(None, [run.get("shard")])]))


def _shard(text: str) -> Shard:
    number, slash, count = text.partition("/")
    if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise StoreError(f"run.json is damaged: {text!r} is no shard")


def missing_shards(shards: frozenset[Shard]) -> tuple[str, ...]:
    """Returns the shards that are not there; none where one division of the work is whole."""
    counts = sorted({count for _, count in shards})
    missing = {c: [n for n in range(1, c + 1) if (n, c) not in shards] for c in counts}
    if not all(missing.values()):
        return ()
    return tuple(f"{number}/{count}" for count in counts for number in missing[count])
