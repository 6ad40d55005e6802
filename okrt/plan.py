"""What a run must hold: coordinates of episodes, short enough for a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from okrt.types import Episode, Settings

AXES = ("tool_cap", "cue", "names")
"""Settings of which one run may hold several values, as fields of a key and of `Settings`."""


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
    tool_cap: int = 0
    """What was asked for; 0: the task's own."""
    cue: str = "none"
    names: bool = False


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
    tool_cap: int = 0
    cue: str = "none"
    names: bool = False


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
        *axes_of(episode.settings),
    )


def axes_of(settings: Settings) -> tuple[int, str, bool]:
    """Returns what a key says of settings, in the order of `AXES`."""
    return settings.tool_cap or 0, settings.cue, settings.names


def with_axes(settings: Settings, key: Key) -> Settings:
    """Returns the settings of a key's episode, of which `settings` are one of the run's."""
    cue: Any = key.cue
    return replace(settings, tool_cap=key.tool_cap or None, cue=cue, names=key.names)


def case_id(key: Key, repeats: bool = False, swept: Collection[str] = ()) -> str:
    """Returns the name of a case, `label-contract-tier-seed`, with those of `AXES` of which the run
    holds several values (`swept`), and with the repeat where there are `repeats`."""
    name = f"{key.model}-{key.contract}-{key.tier}-{key.seed}"
    for axis in AXES:
        if axis in swept:
            name += f"-{axis_text(axis, getattr(key, axis))}"
    return f"{name}-r{key.repeat + 1}" if repeats else name


def axis_text(axis: str, value: Any) -> str:
    """Returns a value of one of `AXES` as names have it: `cap25`, `cue_true`, `names_on`."""
    match axis:
        case "tool_cap":
            return f"cap{value or '_of_task'}"
        case "names":
            return f"names_{'on' if value else 'off'}"
    return f"{axis}_{value}"


def axis_words(axes: tuple[Any, ...]) -> list[str]:
    """Returns what of the values of `AXES` is not the default, as names have it."""
    found = zip(AXES, axes, axes_of(Settings()), strict=True)
    return [axis_text(axis, value) for axis, value, default in found if value != default]


def swept(plan: Plan) -> tuple[str, ...]:
    """Returns those of `AXES` of which a plan holds several values."""
    return tuple(axis for axis in AXES if len({getattr(one, axis) for one in plan}) > 1)


def plan_of(keys: Iterable[Key]) -> Plan:
    """Returns the plan that holds each of the keys once, whatever their order."""
    seeds: dict[tuple[tuple[Any, ...], tuple[Any, ...]], list[int]] = {}
    for key in set(keys):
        seeds.setdefault((key[:6], key[7:]), []).append(key.seed)
    return tuple(
        Planned(*(*common, tuple(_ranges(sorted(some))), *axes))
        for (common, axes), some in sorted(seeds.items())
    )


def keys_of(plan: Plan) -> Iterator[Key]:
    """Yields the keys of a plan, by axes, then by seeds."""
    for one in plan:
        common = (one.family, one.tier, one.split, one.model, one.contract, one.repeat)
        axes = (one.tool_cap, one.cue, one.names)
        for first, end in one.seeds:
            yield from (Key(*common, seed, *axes) for seed in range(first, end))


def size(plan: Plan) -> int:
    """Returns the number of episodes in a plan."""
    return sum(end - first for one in plan for first, end in one.seeds)


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], form: str = "{} and {}"
) -> list[str]:
    """Returns a line for each leaf in which two trees of JSON data differ: its path, and in that
    form what the one has and what the other; "nothing" where it is missing."""
    mine, theirs = dict(_leaves(one)), dict(_leaves(other))
    return [
        f"{path}: {form.format(mine.get(path, 'nothing'), theirs.get(path, 'nothing'))}"
        for path in dict.fromkeys([*mine, *theirs])
        if mine.get(path, "nothing") != theirs.get(path, "nothing")
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    else:
        unset = "the tier's" if path.endswith("tool_cap") else "none"
        yield path, unset if value is None else repr(value)


def _ranges(seeds: Iterable[int]) -> list[tuple[int, int]]:
    """Returns the ranges of whole numbers that are sorted and differ."""
    ranges: list[tuple[int, int]] = []
    for seed in seeds:
        if ranges and ranges[-1][1] == seed:
            ranges[-1] = (ranges[-1][0], seed + 1)
        else:
            ranges.append((seed, seed + 1))
    return ranges
