"""Cases: what a marked test is parametrized with."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import pytest

from okrt import specs
from okrt.errors import UsageError
from okrt.selection.arguments import Options, family_source
from okrt.selection.cases import CaseSpec, cases
from okrt.selection.options import OPTIONS
from okrt.types import TaskFamily

FIXTURES = ("episode", "okrt_model", "okrt_contract", "okrt_task")
_KEYS = ("family", "tiers", "seeds")


class Families:
    """The families that the markers of a session name, each under a name of its own: by that alone
    their cases are told apart."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[TaskFamily, str]] = {}
        self._sources: dict[str, str] = {}

    def of(self, mark: pytest.Mark) -> TaskFamily:
        """Returns the family of a marker. Raises UsageError: there is none, or another of the same
        name."""
        given = mark.kwargs.get("family", "opaque_knapsack")
        family = specs.family(given)
        kind = type(family)
        told = given if isinstance(given, str) else f"{kind.__module__}.{kind.__qualname__} object"
        known, before = self._known.setdefault(family.name, (family, told))
        if not _same(known, family):
            raise UsageError(
                f"two families are named {family.name!r}, {before} and {told}: give each its own "
                "name"
            )
        self._sources = {**family_source(family.name, given), **self._sources}
        return family

    def sources(self, cases: Iterable[CaseSpec]) -> dict[str, str]:
        """Returns the sources of the families of cases, as `run.json` has them."""
        names = {f"family {case.family.name}" for case in cases}
        return {name: one for name, one in self._sources.items() if name in names}


def _same(one: TaskFamily, other: TaskFamily) -> bool:
    """Whether two objects make the same tasks: equal ones do, and those of one class and state."""
    states = [getattr(family, "__dict__", None) for family in (one, other)]
    return one == other or (
        type(one) is type(other) and states[0] is not None and states[0] == states[1]
    )


def cases_of(mark: pytest.Mark, options: Options, families: Families) -> list[CaseSpec]:
    """Returns the cases of a marked test (see `okrt.selection.cases.cases`).

    Raises:
        UsageError: the marker or an option names no family, tier or seed, or two families have one
            name.
    """
    unknown = [*map(repr, mark.args), *(_told(key) for key in mark.kwargs if key not in _KEYS)]
    if unknown:
        raise UsageError(
            f"@pytest.mark.okrt takes {', '.join(_KEYS)} by keyword, not {', '.join(unknown)}"
        )
    family = families.of(mark)
    tiers = options.tiers or _tiers(mark.kwargs.get("tiers", family.tiers[:1]))
    for tier in tiers:
        specs.tier(tier, family)
    seeds = options.seeds or _seeds(mark.kwargs.get("seeds", range(20)))
    return cases(family, tiers, seeds, options)


def _told(key: str) -> str:
    """Returns a keyword that the marker does not take, with what may be meant."""
    if near := get_close_matches(key, _KEYS, n=1):
        return f"{key} (did you mean {near[0]}?)"
    name = key.replace("_", "-")
    return f"{key} (an option: --okrt-{name})" if name in {one.name for one in OPTIONS} else key


def _tiers(value: Any) -> tuple[str, ...]:
    tiers = (value,) if isinstance(value, str) else _listed("tiers", value)
    if not tiers:
        raise UsageError("the marker's tiers are empty: name at least one")
    return tiers


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = tuple(range(value)) if isinstance(value, int) else _listed("seeds", value)
    if not seeds:
        raise UsageError("the marker's seeds are empty: give at least one, like range(20)")
    for seed in seeds:
        if not isinstance(seed, int) or seed < 0:
            raise UsageError(f"the marker's seed {seed!r} is no whole number of at least 0")
    if len(set(seeds)) < len(seeds):
        raise UsageError("the marker names a seed twice")
    return seeds


def _listed(key: str, value: Any) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except TypeError:
        raise UsageError(f"the marker's {key} {value!r} are no list") from None
