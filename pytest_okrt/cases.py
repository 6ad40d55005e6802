"""Cases: what a marked test is parametrized with."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import pytest

from okrt import specs
from okrt.errors import UsageError
from okrt.selection.arguments import Options
from okrt.selection.cases import CaseSpec, cases
from okrt.selection.options import OPTIONS

FIXTURES = ("episode", "okrt_model", "okrt_contract", "okrt_task")
_KEYS = ("family", "tiers", "seeds")


def cases_of(mark: pytest.Mark, options: Options) -> list[CaseSpec]:
    """Returns the cases of a marked test (see `okrt.selection.cases.cases`).

    Raises:
        UsageError: the marker or an option names no family, tier or seed.
    """
    unknown = [*map(repr, mark.args), *(_told(key) for key in mark.kwargs if key not in _KEYS)]
    if unknown:
        raise UsageError(
            f"@pytest.mark.okrt takes {', '.join(_KEYS)} by keyword, not {', '.join(unknown)}"
        )
    family = specs.family(mark.kwargs.get("family", "opaque_knapsack"))
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
