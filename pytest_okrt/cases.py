"""Cases: what a marked test is parametrized with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from okrt import specs
from okrt.errors import UsageError
from okrt.specs import ModelSpec
from okrt.types import Contract, Episode, Settings, TaskFamily
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
    task = episode.task
    return (
        task.family,
        task.tier,
        task.seed,
        episode.repeat,
        episode.model.label,
        episode.contract,
        episode.settings,
    )


def cases_of(mark: pytest.Mark, options: Options) -> Iterator[CaseSpec]:
    """Yields the cases of a marked test: models, then contracts, tiers, seeds, repeats.

    Raises:
        UsageError: the marker or an option names no family, tier or seed.
    """
    if mark.args or set(mark.kwargs) - set(_KEYS):
        raise UsageError(
            f"@pytest.mark.okrt takes {', '.join(_KEYS)} by keyword, got {mark.args or ''} "
            f"{', '.join(mark.kwargs)}"
        )
    family = specs.family(mark.kwargs.get("family", "opaque_knapsack"))
    tiers = options.tiers or tuple(mark.kwargs.get("tiers", family.tiers[:1]))
    seeds = options.seeds if options.seeds is not None else mark.kwargs.get("seeds", range(20))
    _check_seeds(seeds)
    for model in options.models:
        for contract in options.contracts:
            for tier in tiers:
                specs.tier(tier, family)
                for seed in seeds:
                    for repeat in range(options.repeats):
                        yield CaseSpec(
                            family, model, contract, tier, seed, repeat, options.settings
                        )


def case_id(case: CaseSpec, options: Options) -> str:
    """Returns `label-contract-tier-seed`, and the repeat where there are several."""
    name = f"{case.model.label}-{case.contract.name}-{case.tier}-{case.seed}"
    return f"{name}-r{case.repeat + 1}" if options.repeats > 1 else name


def _check_seeds(seeds: Iterable[int]) -> None:
    found = list(seeds)
    if not found:
        raise UsageError("the marker's seeds are empty: give at least one, like range(20)")
    wrong = [seed for seed in found if not isinstance(seed, int) or seed < 0]
    if wrong:
        raise UsageError(f"the marker's seed {wrong[0]!r} is no whole number of at least 0")
    if len(set(found)) < len(found):
        raise UsageError("the marker names a seed twice")
