"""What a cap of tool calls does: the study's estimands over caps, and dose and response.

`Q_XY(c)` is the mean quality of an X-trained model in runtime Y under the cap c. All contrasts are
paired by task; a cap is compared with another one only where it is said to be (`linear`'s `apart`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from okrt.analysis.brief import Brief, is_expert
from okrt.analysis.cells import Cell as CellFigures
from okrt.analysis.cells import Measure, Table
from okrt.analysis.estimands import (
    Bound,
    FourCells,
    contrasts,
    difference,
    four_cells,
    linear,
    quality,
    score,
    total_tokens,
)
from okrt.analysis.pairing import Cell
from okrt.analysis.stats import LEVEL, Estimate, Inference, OverSeeds, Unknown, over_seeds
from okrt.errors import UsageError

AXIS = "tool_cap"
PACKAGES = "none: the episodes ran with different packages"
_HOME: Mapping[str, tuple[str, str]] = {
    "persistent": ("persistent", "stateless"),
    "stateless": ("stateless", "persistent"),
}
"""By training: the runtime at home, and the other."""


# -- estimands -------------------------------------------------------------------------------------


def at_cap(cells: FourCells, measure: Measure = score) -> dict[str, Inference]:
    """Returns G_P(c), G_S(c), D(c) and M(c) by name, of the four cells of one cap."""
    return contrasts(cells, measure)


def between_caps(
    tight: FourCells, slack: FourCells, measure: Measure = score
) -> dict[str, Inference]:
    """Returns A_P, A_S and T by name: how much larger each gap is under the tighter cap.

    A_P = G_P(tight) - G_P(slack), A_S likewise of the stateless-trained, and T = D(tight) -
    D(slack) = A_P + A_S. Each task is kept together over all cells.

    Raises:
        UsageError: the cells cannot be compared: one holds several values of a setting, they
            differ in another setting than the cap, or the caps are not one on each side.
    """
    _check_caps(_all(tight), _all(slack))
    return {
        "A_P": gap_change(tight.pp, tight.ps, slack.pp, slack.ps, measure),
        "A_S": gap_change(tight.ss, tight.sp, slack.ss, slack.sp, measure),
        "T": linear(
            (*_all(tight), *_all(slack)),
            (1, -1, -1, 1, -1, 1, 1, -1),
            measure,
            apart={AXIS},
            width=4 if measure is score else None,
        ),
    }


def gap_change(
    home: Cell, away: Cell, slack_home: Cell, slack_away: Cell, measure: Measure = score
) -> Inference:
    """Returns what is known of (home - away) under a tight cap less the same under a slack one.

    Raises:
        UsageError: see `between_caps`.
    """
    _check_caps((home, away), (slack_home, slack_away))
    width = 2 if measure is score else None
    cells = (home, away, slack_home, slack_away)
    return linear(cells, (1, -1, -1, 1), measure, apart={AXIS}, width=width)


def _all(cells: FourCells) -> tuple[Cell, ...]:
    return cells.pp, cells.ps, cells.sp, cells.ss


def _check_caps(tight: Sequence[Cell], slack: Sequence[Cell]) -> None:
    """That each cell is of one cap is looked at where it is paired."""
    sides = [{cell[0].tool_cap for cell in side if cell} for side in (tight, slack)]
    for caps in sides:
        if len(caps) > 1:
            named = ", ".join(map(str, sorted(caps)))
            raise UsageError(f"the cells of one side differ in tool_cap ({named}): use one cap")
    if sides[0] and sides[0] == sides[1]:
        raise UsageError(f"both sides ran under the tool cap {sides[0].pop()}: compare two caps")


def over_training_seeds(
    rows: Cell, pairs: Mapping[str, tuple[str, str]], tight: int, slack: int, level: float = LEVEL
) -> dict[str, OverSeeds]:
    """Returns every estimand for each training seed, and its mean over them (docs/statistics.md).

    Args:
        rows: of all models, under both caps.
        pairs: by the seed's name, the persistent-trained and the stateless-trained model.

    Raises:
        UsageError: cells cannot be compared.
    """
    by_seed: dict[str, dict[str, float | None]] = {}
    for seed, models in pairs.items():
        cells = {
            cap: four_cells([row for row in rows if row.tool_cap == cap], models)
            for cap in (tight, slack)
        }
        known = {
            f"{name}({cap})": one for cap in cells for name, one in at_cap(cells[cap]).items()
        } | between_caps(cells[tight], cells[slack])
        for name, one in known.items():
            by_seed.setdefault(name, {})[seed] = one.estimate(level).value
    return {name: over_seeds(values, level) for name, values in by_seed.items()}


# -- a sweep of a report ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sweep:
    """The tables of one family and tier that differ in nothing but the cap."""

    family: str
    tier: str
    axes: Mapping[str, str | int | float | bool]
    """Of the other axes that took several values, this sweep's."""
    tables: Mapping[int, Table]
    """By cap, the tightest first; two at least."""

    @property
    def caps(self) -> tuple[int, ...]:
        return tuple(self.tables)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Model and contract, sorted."""
        return sorted({cell for table in self.tables.values() for cell in table.cells})

    def rows(self, cap: int, model: str, contract: str) -> list[Brief]:
        return [r for r in self.tables[cap].rows if (r.model, r.contract) == (model, contract)]


@dataclass(frozen=True, slots=True)
class Dose:
    """What one model did in one runtime under one cap: a point of each curve of the figure."""

    model: str
    trained_under: str
    contract: str
    tool_cap: int
    tasks: int
    score: Estimate
    total_tokens: Estimate
    """The mean over tasks; "at least" so many where limits cut many episodes."""
    missing_variable_rate: Estimate
    lost_rate: Estimate
    exposure: Estimate | None
    """E_c, over the blocks that ran under this cap."""
    max_demand: int | None
    """The most calls that a block tried to make, at least: the cap ends a block that goes on."""


@dataclass(frozen=True, slots=True)
class Response:
    """An estimand under one cap, or between two."""

    name: str
    """`G_P`, `G_S`, `D`, `M` at a cap; `A_P`, `A_S`, `T` from a tighter to the slackest."""
    whom: str
    """Labels of the models: text from outside."""
    tool_cap: int
    slack: int | None
    """The cap that it is compared with; None: of one cap alone."""
    inference: Inference

    @property
    def text(self) -> str:
        """The estimand with its caps: `A_P = G_P(25) - G_P(80)`."""
        if self.slack is None:
            return f"{self.name}({self.tool_cap})"
        of = {"T": "D"}.get(self.name, self.name.replace("A", "G", 1))
        return f"{self.name} = {of}({self.tool_cap}) - {of}({self.slack})"


def sweeps(tables: Sequence[Table]) -> list[Sweep]:
    """Returns the sweeps that the tables of a report hold, in their order."""
    groups: dict[tuple[object, ...], list[Table]] = {}
    for table in tables:
        if AXIS in table.axes:
            others = tuple((name, value) for name, value in table.axes.items() if name != AXIS)
            groups.setdefault((table.family, table.tier, others), []).append(table)
    found = []
    for some in groups.values():
        axes = {name: value for name, value in some[0].axes.items() if name != AXIS}
        by_cap = {int(table.axes[AXIS]): table for table in some}
        if len(by_cap) > 1:
            ordered = {cap: by_cap[cap] for cap in sorted(by_cap)}
            found.append(Sweep(some[0].family, some[0].tier, axes, ordered))
    return found


def doses(sweep: Sweep, level: float = LEVEL) -> list[Dose]:
    """Returns the points of the curves, by model and contract, then by cap."""
    return [
        _dose(sweep.tables[cap].cells[cell], cap, sweep.rows(cap, *cell), level)
        for cell in sweep.cells
        for cap in sweep.caps
        if cell in sweep.tables[cap].cells
    ]


def _dose(cell: CellFigures, cap: int, rows: Sequence[Brief], level: float) -> Dose:
    tokens = _tokens(rows)
    if cell.at_least:
        tokens = Bound(tokens, "at least")
    return Dose(
        model=cell.model,
        trained_under=rows[0].trained_under,
        contract=cell.contract,
        tool_cap=cap,
        tasks=cell.tasks,
        score=cell.score,
        total_tokens=tokens.estimate(level),
        missing_variable_rate=cell.missing_variable_rate,
        lost_rate=cell.lost_rate,
        exposure=cell.exposure,
        max_demand=cell.max_demand,
    )


def _tokens(rows: Sequence[Brief]) -> Inference:
    if len({tuple(row.packages) for row in rows}) > 1:  # they alone are no axis of tables
        return Unknown(None, PACKAGES, len({row.task_id for row in rows}), "task")
    return quality(rows, total_tokens)


def responses(sweep: Sweep, experts: bool = False) -> list[Response]:
    """Returns the estimands that the models of a sweep bear, those of scripted experts alone if
    asked for.

    Where exactly one model was trained under each of persistent and stateless, all of them; of any
    other model whose training is known, its gap and how that changes. What no common task bears is
    left out, and so is a sweep whose packages differ.
    """
    rows = {
        cap: [row for row in table.rows if is_expert(row) == experts]
        for cap, table in sweep.tables.items()
    }
    everything = [row for some in rows.values() for row in some]
    if len({tuple(row.packages) for row in everything}) > 1:
        return []
    trained = {row.model: row.trained_under for row in everything}
    models = {kind: sorted(m for m, u in trained.items() if u == kind) for kind in _HOME}
    found: list[Response] = []
    if all(len(names) == 1 for names in models.values()):
        pair = (models["persistent"][0], models["stateless"][0])
        found += _of_pair({cap: four_cells(some, pair) for cap, some in rows.items()}, *pair)
    else:
        for kind, names in models.items():
            for model in names:
                found += _of_one(model, kind, rows)
    return [one for one in found if one.inference.estimate().value is not None]


def _of_pair(cells: Mapping[int, FourCells], p: str, s: str) -> list[Response]:
    whom = {"G_P": p, "A_P": p, "G_S": s, "A_S": s, "M": f"{p} - {s}"}
    slack = max(cells)
    found = [
        Response(name, whom.get(name, ""), cap, None, one)
        for cap, four in cells.items()
        for name, one in at_cap(four).items()
    ]
    return found + [
        Response(name, whom.get(name, ""), cap, slack, one)
        for cap, four in cells.items()
        if cap != slack
        for name, one in between_caps(four, cells[slack]).items()
    ]


def _of_one(model: str, kind: str, rows: Mapping[int, Sequence[Brief]]) -> list[Response]:
    letter = kind[0].upper()

    def cell(cap: int, contract: str) -> list[Brief]:
        return [row for row in rows[cap] if (row.model, row.contract) == (model, contract)]

    home, away = ({cap: cell(cap, contract) for cap in rows} for contract in _HOME[kind])
    slack = max(rows)
    found = [
        Response(f"G_{letter}", model, cap, None, difference(home[cap], away[cap])) for cap in rows
    ]
    return found + [
        Response(
            f"A_{letter}",
            model,
            cap,
            slack,
            gap_change(home[cap], away[cap], home[slack], away[slack]),
        )
        for cap in rows
        if cap != slack
    ]
