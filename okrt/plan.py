"""What a run must hold: coordinates of episodes, short enough for a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from okrt.types import Episode


class Key(NamedTuple):
    """The coordinates of an episode: no two in a run share them."""

    family: str
    tier: str
    split: str
    model: str
    """The model's label."""
    contract: str
    repeat: int
    seed: int


@dataclass(frozen=True, slots=True)
class Planned:
    """Episodes that differ in their seeds alone."""

    family: str
    tier: str
    split: str
    model: str
    contract: str
    repeat: int
    seeds: tuple[tuple[int, int], ...]
    """Ranges, sorted, the last seed of each left out: `[[0, 100]]` is the first hundred."""


Plan = tuple[Planned, ...]


def key_of(episode: Episode) -> Key:
    """Returns the coordinates of an episode."""
    task = episode.task
    return Key(
        task.family,
        task.tier,
        task.split,
        episode.model.label,
        episode.contract,
        episode.repeat,
        task.seed,
    )


def case_id(key: Key, repeats: bool = False) -> str:
    """Returns the name of a case, `label-contract-tier-seed`, with the repeat where there are
    `repeats`."""
    name = f"{key.model}-{key.contract}-{key.tier}-{key.seed}"
    return f"{name}-r{key.repeat + 1}" if repeats else name


def plan_of(keys: Iterable[Key]) -> Plan:
    """Returns the plan that holds each of the keys once, whatever their order."""
    seeds: dict[tuple[str, str, str, str, str, int], list[int]] = {}
    for key in sorted(set(keys)):
        seeds.setdefault(key[:6], []).append(key.seed)
    return tuple(Planned(*common, seeds=tuple(_ranges(some))) for common, some in seeds.items())


def keys_of(plan: Plan) -> Iterator[Key]:
    """Yields the keys of a plan, sorted."""
    for one in plan:
        common = (one.family, one.tier, one.split, one.model, one.contract, one.repeat)
        for first, end in one.seeds:
            yield from (Key(*common, seed) for seed in range(first, end))


def size(plan: Plan) -> int:
    """Returns the number of episodes in a plan."""
    return sum(end - first for one in plan for first, end in one.seeds)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns a line for each leaf in which two trees of JSON data differ: its path, what the one
    has, and what the other; "nothing" where it is missing."""
    mine, theirs = dict(_leaves(one)), dict(_leaves(other))
    return [
        f"{path}: {mine.get(path, 'nothing')} and {theirs.get(path, 'nothing')}"
        for path in dict.fromkeys([*mine, *theirs])
        if mine.get(path, "nothing") != theirs.get(path, "nothing")
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    else:
        yield path, repr(value)


def _ranges(seeds: Iterable[int]) -> list[tuple[int, int]]:
    """Returns the ranges of whole numbers that are sorted and differ."""
    ranges: list[tuple[int, int]] = []
    for seed in seeds:
        if ranges and ranges[-1][1] == seed:
            ranges[-1] = (ranges[-1][0], seed + 1)
        else:
            ranges.append((seed, seed + 1))
    return ranges
