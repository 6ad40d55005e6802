"""Which contrasts a report states of a table: train x runtime where the training is known.

Where exactly one model was trained under each contract, the study's four cells; of any other model,
its two runtimes; of every model, each further runtime. What several models of one training say by
themselves is also taken over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from okrt.analysis.brief import Brief, is_expert
from okrt.analysis.cells import Table
from okrt.analysis.claims import Contrast
from okrt.analysis.estimands import (
    Bound,
    FourCells,
    any_lost,
    any_missing,
    character_ratio,
    contrasts,
    difference,
    four_cells,
    rate_contrast,
    score_per_1k_ratio,
    token_ratio,
)
from okrt.analysis.pairing import Cell, identical_tasks
from okrt.analysis.stats import Inference, OverSeeds, over_seeds

Unit = Literal["score", "rate", "ratio"]

SCORE_MARGIN = 0.05
"""Less than a quarter of what lies between blind play and the reference player on easy tasks, about
0.70 and 0.92: a score that moves by less cannot turn a fit into a misfit."""
RATIO_FACTOR = 1.10
"""A tenth of the cost, where misfits were found to cost three times and more (arXiv 2603.01209)."""
_KINDS = ("persistent", "stateless")


@dataclass(frozen=True, slots=True)
class Compared:
    """A contrast, and how it is shown."""

    what: str
    """With the names of further runtimes: text from outside, like `whom`."""
    whom: str
    """Labels of the models."""
    unit: Unit
    contrast: Contrast
    headline: bool = True
    """Whether it is among the few that a terminal shows."""


@dataclass(frozen=True, slots=True)
class Over:
    """A figure over several models of one training: shown, and no claim."""

    what: str
    whom: str
    unit: Unit
    seeds: OverSeeds


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a report says of a table beyond its cells."""

    claims: tuple[Compared, ...] = ()
    """Each is corrected for all of the report."""
    over: tuple[Over, ...] = ()


def comparison(table: Table, experts: bool = False) -> Comparison:
    """Returns the contrasts of a table's models, or of its scripted experts alone.

    Figures that no task bears are left out, and so is a table whose packages differ.
    """
    rows = [row for row in table.rows if is_expert(row) == experts]
    if len({tuple(row.packages) for row in rows}) > 1:
        return Comparison()
    trained = {row.model: row.trained_under for row in rows}
    models = {k: sorted(m for m, under in trained.items() if under == k) for k in _KINDS}
    pair = [names[0] for names in models.values() if len(names) == 1]
    found: list[Compared] = []
    if len(pair) == 2:
        found += _of_four(four_cells(rows, (pair[0], pair[1])), *pair)
    else:
        pair = []
    alone = {
        model: _of_one(model, under, *(_cell(rows, model, contract) for contract in _KINDS))
        for model, under in sorted(trained.items())
        if model not in pair
    }
    found += [one for contrasts in alone.values() for one in contrasts]
    found += [one for each in sorted(trained.items()) for one in _further(*each, rows)]
    over = [
        one
        for kind, labels in models.items()
        if len(labels) > 1
        for one in _over(kind, {label: alone[label] for label in labels})
    ]
    return Comparison(tuple(one for one in found if _value(one) is not None), tuple(over))


def _cell(rows: Cell, model: str, contract: str) -> list[Brief]:
    return [row for row in rows if row.model == model and row.contract == contract]


def _value(one: Compared) -> float | None:
    return one.contrast.inference.estimate().value


def _of_four(cells: FourCells, p: str, s: str) -> list[Compared]:
    """The contrasts of a persistent-trained model `p` and a stateless-trained one `s`."""
    scores = contrasts(cells)
    at_p, at_s = identical_tasks(cells.pp, cells.ps), identical_tasks(cells.ss, cells.sp)
    everywhere = at_p if _identical(at_p) and _identical(at_s) else None
    in_stateless = identical_tasks(cells.ps, cells.ss)
    return [
        _score(_G_P, p, scores["G_P"], at_p),
        _score(_G_S, s, scores["G_S"], at_s),
        _score("D = G_P + G_S", "", scores["D"], everywhere),
        _score("M: score in stateless", f"{p} - {s}", scores["M"], in_stateless),
        *_costs("at home", f"{s} / {p}", cells.ss, cells.pp),
        *_away(p, cells.ps, cells.pp),
        *_away(s, cells.sp, cells.ss),
    ]


_G_P = "G_P: score at home - away"
_G_S = "G_S: score at home - away"


def _of_one(model: str, under: str, persistent: Cell, stateless: Cell) -> list[Compared]:
    """The contrasts of one model between its two runtimes."""
    if under not in _KINDS:
        return _between(model, "stateless", stateless, "persistent", persistent)
    home, away = (persistent, stateless) if under == "persistent" else (stateless, persistent)
    name = _G_P if under == "persistent" else _G_S
    g = _score(name, model, difference(home, away), identical_tasks(home, away))
    return [g, *_away(model, away, home)]


def _further(model: str, under: str, rows: Cell) -> list[Compared]:
    """Each further runtime against the one at home; else against persistent, else stateless."""
    ran = {row.contract for row in rows if row.model == model}
    base = next((kind for kind in (under, *_KINDS) if kind in ran & {*_KINDS}), None)
    if base is None:
        return []
    with_it = _cell(rows, model, base)
    return [
        one
        for contract in sorted(ran - {*_KINDS})
        for one in _between(model, contract, _cell(rows, model, contract), base, with_it)
    ]


def _between(model: str, name: str, first: Cell, other: str, second: Cell) -> list[Compared]:
    """The contrasts of one model between two runtimes."""
    less, over = f"{name} - {other}", f"{name} / {other}"
    same = identical_tasks(first, second)
    return [
        _score(f"score, {less}", model, difference(first, second), same),
        *_costs(over, model, first, second),
        *_rates(less, model, first, second),
    ]


def _away(model: str, away: Cell, home: Cell) -> list[Compared]:
    return [
        *_costs("away / at home", model, away, home),
        *_rates("away - at home", model, away, home),
    ]


def _score(what: str, whom: str, inference: Inference, same: tuple[int, int] | None) -> Compared:
    contrast = Contrast(_name(what, whom), inference, margin=SCORE_MARGIN, same=same)
    return Compared(what, whom, "score", contrast)


def _costs(where: str, whom: str, first: Cell, second: Cell) -> list[Compared]:
    """Tokens, or between tokenizers characters; and the score that 1,000 tokens bring."""
    what, inference = f"total tokens, {where}", token_ratio(first, second)
    if inference.estimate().value is None:
        what, inference = f"transcript characters, {where}", character_ratio(first, second)
    per_1k = score_per_1k_ratio(first, second)
    same = identical_tasks(first, second)
    return [
        _ratio(what, whom, inference, same, headline=not _identical(same)),
        _ratio(f"score per 1k tokens, {where}", whom, per_1k, same, headline=False),
    ]


def _ratio(
    what: str, whom: str, inference: Inference, same: tuple[int, int], headline: bool
) -> Compared:
    contrast = Contrast(_name(what, whom), inference, 1, RATIO_FACTOR, same)
    return Compared(what, whom, "ratio", contrast, headline)


def _rates(where: str, whom: str, first: Cell, second: Cell) -> list[Compared]:
    same = identical_tasks(first, second)
    found = []
    for event, measure in (("lost", any_lost), ("missing", any_missing)):
        what = f"{event}-variable episodes, {where}"
        contrast = Contrast(_name(what, whom), rate_contrast(first, second, measure), same=same)
        shown = event == "lost" and not _identical(same)
        found.append(Compared(what, whom, "rate", contrast, shown))
    return found


def _name(what: str, whom: str) -> str:
    return f"{what}, {whom}" if whom else what


def _identical(same: tuple[int, int]) -> bool:
    """Whether two cells say the same throughout: the line of the score tells it for all."""
    return same[0] == same[1] > 0


def _over(kind: str, models: Mapping[str, Sequence[Compared]]) -> list[Over]:
    """What models of one training say one by one, taken over them."""
    found = []
    for same_figure in zip(*models.values(), strict=True):
        first = same_figure[0]
        if not any(one.headline for one in same_figure):
            continue
        alike = [one for one in same_figure if one.what == first.what]
        seeds = over_seeds({one.whom: _value(one) for one in alike})
        if len(seeds.values) > 1:
            whom = f"{len(seeds.values)} {kind}-trained models"
            found.append(Over(first.what, whom, first.unit, _bounded(seeds, alike)))
    return found


def _bounded(seeds: OverSeeds, models: Sequence[Compared]) -> OverSeeds:
    """A mean of what is "at least" so much is no more than that, and likewise "at most"."""
    inferences = [one.contrast.inference for one in models]
    sides = {one.side for one in inferences if isinstance(one, Bound)}
    estimate = seeds.estimate
    if sides - {"at most"}:
        estimate = replace(estimate, high=None)
    if sides - {"at least"}:
        estimate = replace(estimate, low=None)
    return replace(seeds, estimate=estimate)
