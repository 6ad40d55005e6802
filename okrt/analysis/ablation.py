"""What telling a model about its runtime does: a note in the prompt (`cue`), and a list of the
names alive in every observation (`names`), crossed.

The effect of one is taken over the values of the other, each task kept together. A model that never
saw a note varied in training may take no notice of it, or take it amiss: its contrasts say so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from okrt.analysis.brief import Brief, is_expert
from okrt.analysis.cells import Table
from okrt.analysis.claims import Contrast
from okrt.analysis.contrasts import RATIO_FACTOR, SCORE_MARGIN, Compared
from okrt.analysis.estimands import (
    TOKENIZERS,
    any_lost,
    bounded,
    linear,
    score,
    total_tokens,
)
from okrt.analysis.pairing import Cell, paired
from okrt.analysis.stats import Inference, Unknown, ratio

AXES = ("cue", "names")
UNTRAINED = "untrained cue"
_VALUES: Mapping[str, tuple[Any, ...]] = {"cue": ("none", "true", "false"), "names": (False, True)}
"""Of each axis, what all that follows is compared with first."""
_HOME = {"persistent": "stateless", "stateless": "persistent"}
"""By training, which is the runtime at home: the runtime away."""

Told = tuple[Any, Any]
"""Cue and names."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """The tables of one family and tier that differ in nothing but cue and names."""

    family: str
    tier: str
    axes: Mapping[str, str | int | float | bool]
    """Of the other axes that took several values, this one's."""
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """One value of an axis against the first."""

    axis: str
    value: Any
    against: Any
    pairs: tuple[tuple[Told, Told], ...]
    """With it, and without: one of each value of the other axis."""

    @property
    def text(self) -> str:
        if self.axis == "names":
            return "names on - off"
        return f"cue {self.value} - {self.against}"


def ablations(tables: Sequence[Table]) -> list[Ablation]:
    """Returns the ablations that the tables of a report hold, in their order."""
    groups: dict[tuple[object, ...], list[Table]] = {}
    for table in tables:
        if any(axis in table.axes for axis in AXES):
            others = tuple((n, value) for n, value in table.axes.items() if n not in AXES)
            groups.setdefault((table.family, table.tier, others), []).append(table)
    return [
        Ablation(
            some[0].family,
            some[0].tier,
            {name: value for name, value in some[0].axes.items() if name not in AXES},
            tuple(some),
        )
        for some in groups.values()
        if len(some) > 1
    ]


def effects(ablation: Ablation, experts: bool = False) -> list[Compared]:
    """Returns the contrasts of an ablation's models, or of its scripted experts alone.

    Of each model in each runtime, score, tokens and lost variables; and of its score at home less
    away.

    Figures that no task bears are left out, and so is an ablation whose packages differ.
    """
    rows = [row for table in ablation.tables for row in table.rows if is_expert(row) == experts]
    if len({tuple(row.packages) for row in rows}) > 1:
        return []
    cells: dict[tuple[str, str], dict[Told, list[Brief]]] = {}
    for row in rows:
        told = cells.setdefault((row.model, row.contract), {})
        told.setdefault((row.cue, row.names), []).append(row)
    trained = {row.model: row.trained_under for row in rows}
    found = []
    for (model, contract), told in sorted(cells.items()):
        for effect in _effects(told):
            found += _of_cell(effect, told, model, contract, trained[model])
    for model, under in sorted(trained.items()):
        home, away = cells.get((model, under)), cells.get((model, _HOME.get(under, "")))
        if home is not None and away is not None:
            for effect in _effects({told: [] for told in home if told in away}):
                found.append(_of_gap(effect, home, away, model, under))
    return [one for one in found if one.contrast.inference.estimate().value is not None]


def _effects(told: Collection[Told]) -> list[Effect]:
    """Those of which both sides are there, under one value of the other axis at least."""
    found = []
    for place, axis in enumerate(AXES):
        there = [value for value in _VALUES[axis] if any(one[place] == value for one in told)]
        for value in there[1:]:
            pairs = [
                (one, other)
                for one in sorted(told, key=str)
                if one[place] == value
                and (other := (there[0], one[1]) if place == 0 else (one[0], there[0])) in told
            ]
            if pairs:
                found.append(Effect(axis, value, there[0], tuple(pairs)))
    return found


def _of_cell(
    effect: Effect, told: Mapping[Told, Cell], model: str, contract: str, under: str
) -> list[Compared]:
    first = [told[one] for one, _ in effect.pairs]
    second = [told[other] for _, other in effect.pairs]
    what = _labelled(effect, under)
    return [
        _compared(f"score in {contract}, {what}", model, _mean_effect(first, second)),
        Compared(
            name := f"total tokens in {contract}, {what.replace(' - ', ' / ')}",
            model,
            "ratio",
            Contrast(f"{name}, {model}", _token_effect(first, second), 1, RATIO_FACTOR),
            headline=False,
        ),
        Compared(
            name := f"lost-variable episodes in {contract}, {what}",
            model,
            "rate",
            Contrast(f"{name}, {model}", _mean_effect(first, second, lost=True)),
            headline=False,
        ),
    ]


def _of_gap(
    effect: Effect, home: Mapping[Told, Cell], away: Mapping[Told, Cell], model: str, under: str
) -> Compared:
    """How the gap between home and away changes: does a note make up for the wrong training?"""
    pairs, share = effect.pairs, 1 / len(effect.pairs)
    cells = [side[one] for pair in pairs for one in pair for side in (home, away)]
    weights = [share, -share, -share, share] * len(pairs)
    found = linear(cells, weights, apart=AXES, width=2)
    return _compared(f"score at home - away, {_labelled(effect, under)}", model, found)


def _compared(what: str, model: str, inference: Inference) -> Compared:
    contrast = Contrast(f"{what}, {model}", inference, margin=SCORE_MARGIN)
    return Compared(what, model, "score", contrast)


def _labelled(effect: Effect, under: str) -> str:
    """A mixed set is refused unless its prompts say which contract holds (training.dataset): there
    the note was varied. A list of names is in all observations of a set or in none."""
    trained = effect.axis == "cue" and under == "mixed"
    return effect.text if trained else f"{effect.text} ({UNTRAINED})"


def _mean_effect(first: Sequence[Cell], second: Sequence[Cell], lost: bool = False) -> Inference:
    share = 1 / len(first)
    weights = [*[share] * len(first), *[-share] * len(second)]
    return linear([*first, *second], weights, any_lost if lost else score, AXES, width=1)


def _token_effect(first: Sequence[Cell], second: Sequence[Cell]) -> Inference:
    """The tokens of all first cells over those of all second ones."""
    found = paired(*first, *second, apart=AXES)
    if len(found.tokenizers()) > 1:
        return Unknown(None, TOKENIZERS, len(found.tasks), "task")
    columns, cut = found.means(total_tokens), found.censored()
    one, other = (_sums(some) for some in (columns[: len(first)], columns[len(first) :]))
    return bounded(ratio(one, other), [any(cut[: len(first)]), any(cut[len(first) :])])


def _sums(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """By task, None where a value is missing."""
    return [
        None if None in values else sum(value for value in values if value is not None)
        for values in zip(*columns, strict=True)
    ]
