"""Cases: what a marked test is parametrized with."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from okrt import specs
from okrt.errors import UsageError
from okrt.run import Case
from okrt.specs import ModelSpec
from okrt.types import Contract, Episode, Settings, Task, TaskFamily
from pytest_okrt.arguments import Options

FIXTURES = ("episode", "okrt_model", "okrt_contract", "okrt_task")
_KEYS = ("family", "tiers", "seeds")


@dataclass(frozen=True, slots=True)
class CaseSpec:
    """The coordinates of one episode; cheap to make, so that ten thousand can be collected."""

    family: TaskFamily
    model: ModelSpec
    contract: Contract
    tier: str
    seed: int
    repeat: int
    settings: Settings

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for two cases that are the same episode."""
        return (
            self.family.name,
            self.tier,
            self.seed,
            self.repeat,
            self.model.label,
            self.contract.name,
            self.settings,
        )

    @property
    def cell(self) -> tuple[str, ...]:
        return (self.family.name, self.tier, self.model.label, self.contract.name)

    def manifest(self) -> dict[str, str | int]:
        """Returns the coordinates as JSON data."""
        return {
            "family": self.family.name,
            "tier": self.tier,
            "seed": self.seed,
            "repeat": self.repeat,
            "model": self.model.label,
            "model_spec": self.model.spec,
            "contract": self.contract.name,
        }


def key_of(episode: Episode) -> tuple[Any, ...]:
    """Returns the key of the case that an episode is of."""
    return _key(
        episode.task, episode.repeat, episode.model.label, episode.contract, episode.settings
    )


def key_of_case(case: Case) -> tuple[Any, ...]:
    """Returns the key of the coordinates that a case was made of."""
    return _key(case.task, case.repeat, case.card.label, case.contract.name, case.settings)


def cell_of_case(case: Case) -> tuple[str, ...]:
    """Returns the cell of the coordinates that a case was made of."""
    return (case.task.family, case.task.tier, case.card.label, case.contract.name)


def _key(task: Task, repeat: int, model: str, contract: str, settings: Settings) -> tuple[Any, ...]:
    return (task.family, task.tier, task.seed, repeat, model, contract, settings)


def cases_of(mark: pytest.Mark, options: Options) -> list[CaseSpec]:
    """Returns the cases of a marked test: models, then contracts, tiers, seeds, repeats.

    Raises:
        UsageError: the marker or an option names no family, tier or seed.
    """
    if mark.args or set(mark.kwargs) - set(_KEYS):
        raise UsageError(
            f"@pytest.mark.okrt takes {', '.join(_KEYS)} by keyword, got "
            f"{', '.join([*map(repr, mark.args), *mark.kwargs])}"
        )
    family = specs.family(mark.kwargs.get("family", "opaque_knapsack"))
    tiers = options.tiers or _tiers(mark.kwargs.get("tiers", family.tiers[:1]))
    for tier in tiers:
        specs.tier(tier, family)
    seeds = options.seeds or _seeds(mark.kwargs.get("seeds", range(20)))
    return [
        CaseSpec(family, model, contract, tier, seed, repeat, options.settings)
        for model, contract, tier, seed, repeat in product(
            options.models, options.contracts, tiers, seeds, range(options.repeats)
        )
    ]


def case_id(case: CaseSpec, options: Options) -> str:
    """Returns `label-contract-tier-seed`, and the repeat where there are several."""
    name = f"{case.model.label}-{case.contract.name}-{case.tier}-{case.seed}"
    return f"{name}-r{case.repeat + 1}" if options.repeats > 1 else name


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
