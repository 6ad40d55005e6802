"""Cases: the coordinates of the episodes to be run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from okrt import specs
from okrt.plan import AXES, Key, axes_of, axis_words
from okrt.run import Case
from okrt.salt import PrivateFamily
from okrt.selection.arguments import Options
from okrt.specs import ModelSpec
from okrt.types import Contract, Settings, TaskFamily


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
    def key(self) -> Key:
        """Equal for two cases that are the same episode."""
        return Key(
            self.family.name,
            self.tier,
            "eval",
            self.model.label,
            self.contract.name,
            self.repeat,
            self.seed,
            *axes_of(self.settings),
        )

    @property
    def cell(self) -> tuple[str, ...]:
        return (
            self.family.name, self.tier, self.model.label, self.contract.name,
            *axis_words(axes_of(self.settings)),
        )  # fmt: skip

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
            **dict(zip(AXES, axes_of(self.settings), strict=True)),
        }


def key_of_case(case: Case) -> Key:
    """Returns the key of the coordinates that a case was made of."""
    task = case.task
    return Key(
        task.family,
        task.tier,
        task.split,
        case.card.label,
        case.contract.name,
        case.repeat,
        task.seed,
        *axes_of(case.settings),
    )


def cell_of_case(case: Case) -> tuple[str, ...]:
    """Returns the cell of the coordinates that a case was made of."""
    return (
        case.task.family, case.task.tier, case.card.label, case.contract.name,
        *axis_words(axes_of(case.settings)),
    )  # fmt: skip


def cases(
    family: TaskFamily, tiers: Iterable[str], seeds: Iterable[int], options: Options
) -> list[CaseSpec]:
    """Returns the cases of a family's tasks: models, then contracts, settings, tiers, repeats,
    seeds.

    A task's repeats stand apart: decoded side by side they would share the shape of every batch,
    and what that does to answers (A/A) would not show.

    Raises:
        SpecError: a model is an expert that the family does not have.
    """
    for model in options.models:
        if model.label not in options.own_cards:
            specs.check_expert(model, family.name)
    of = family if options.salt is None else PrivateFamily(family, options.salt)
    return [
        CaseSpec(of, model, contract, tier, seed, repeat, settings)
        for model, contract, settings, tier, repeat, seed in product(
            options.models,
            options.contracts,
            options.variants,
            tiers,
            range(options.repeats),
            seeds,
        )
    ]
