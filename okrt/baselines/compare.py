"""A run against a baseline, cell by cell: same runtime, same tasks, same settings.

Pure: what is held of both goes in, what may be said of them comes out. The claims of all cells are
one family, corrected together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Measure
from okrt.analysis.claims import findings
from okrt.analysis.flips import Flips, flips
from okrt.analysis.measures import MEASURED
from okrt.analysis.pairing import Paired, identical_tasks, paired
from okrt.analysis.stats import LEVEL
from okrt.baselines.alike import CellName, cells_of, differences, other_sources
from okrt.baselines.figures import Figure, contrasts, figures, is_claimed
from okrt.baselines.held import Held
from okrt.errors import UsageError
from okrt.report.plain import one_line

WORST = 3
"""Tasks that are named as the worst, by score and by tokens."""
APART = (
    "what is compared is one runtime with the same, tier by tier: to compare runtimes, run both in "
    "one run, whose report does"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared; None: whatever there is, where that is one."""

    model: str | None = None
    base_model: str | None = None
    runtimes: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One task in both cells."""

    task_id: str
    seed: int
    new: float
    base: float
    """Means over its repeats."""
    episode: str
    """Of the run: of its repeats the one with the lowest score, or the most tokens."""
    base_episode: str
    """Of the baseline: the one with the highest score, or the fewest tokens."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How tasks came out otherwise. Of a repeated task, the mean of its plays is compared."""

    solved_lost: tuple[Change, ...]
    """Solved in the baseline, and not, or less often, in the run; by task."""
    solved_won: tuple[Change, ...]
    lost_new: tuple[Change, ...]
    """With a lost variable in the run, and without, or less often, in the baseline."""
    lost_gone: tuple[Change, ...]
    worst_score: tuple[Change, ...]
    """The largest losses of score, the largest first."""
    worst_tokens: tuple[Change, ...]
    """The largest gains in tokens; in characters where the tokens do not compare."""
    token_metric: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell of both."""

    name: CellName
    tasks: int
    left_out: int
    """Tasks that infrastructure broke off in either."""
    identical: int
    """Tasks with the same transcripts, word by word."""
    same_weights: bool
    one_tokenizer: bool
    figures: tuple[Figure, ...]
    changes: Changes
    flips: tuple[Flips | None, Flips | None]
    """A/A of the run's cell and of the baseline's, where decoding was greedy."""
    replayed: tuple[int, int]
    """Tasks that were played more than once in each: where the A/A noise comes from."""
    scripted: bool
    """Whether a side is a scripted expert: then nothing is said about models."""


@dataclass(frozen=True, slots=True)
class Comparison:
    model: str
    base_model: str
    cells: tuple[Compared, ...]
    """None where the two cannot be compared."""
    differences: tuple[str, ...]
    """Why not."""
    alike: tuple[CellName, ...]
    """Of cells that cannot all be compared, those that could be, alone."""
    left: tuple[str, ...]
    """Cells that only one of the two holds; nothing is said of them."""
    other_sources: tuple[str, ...] = ()
    """Runtimes of a user's own whose source was another one in the baseline."""


def compare(new: Held, base: Held, asked: Asked, margins: Mapping[str, float]) -> Comparison:
    """Returns what may be said of a run against a baseline.

    Raises:
        UsageError: what is asked for is not there, or one of several models is to be named.
        StoreError: the settings of one cannot be read.
    """
    model, mine = _chosen(new, "--model", asked.model, asked, None)
    base_model, theirs = _chosen(base, "--base-model", asked.base_model, asked, model)
    shared = [name for name in mine if name in theirs]
    left = [f"{name}: {base.path} has no such cell" for name in mine if name not in theirs]
    left += [f"{name}: {new.path} has no such cell" for name in theirs if name not in mine]
    kept = {name: differences(new.run, mine[name], base.run, theirs[name]) for name in shared}
    found = list(dict.fromkeys(line for lines in kept.values() for line in lines))
    if found or not shared:
        alike = tuple(name for name, lines in kept.items() if not lines)
        return Comparison(model, base_model, (), tuple(found or [*left, APART]), alike, tuple(left))
    cells = [_cell(name, mine[name], theirs[name], margins) for name in shared]
    sources = other_sources(new.run, base.run, shared)
    return Comparison(model, base_model, _claimed(cells), (), tuple(shared), tuple(left), sources)


def _chosen(
    held: Held, option: str, wanted: str | None, asked: Asked, other: str | None
) -> tuple[str, dict[CellName, list[Brief]]]:
    """The model and its cells among those asked for. Of several models, the one that bears the
    other side's label."""
    for name, chosen, field in (
        (option, (wanted,) if wanted is not None else (), "model"),
        ("--runtime", asked.runtimes, "contract"),
        ("--tier", asked.tiers, "tier"),
    ):
        values = sorted({str(getattr(row, field)) for row in held.rows})
        if unknown := [value for value in chosen if value not in values]:
            raise UsageError(f"{name} {unknown[0]!r}: {held.path} has {_listed(values)}")
    rows = [
        row
        for row in held.rows
        if (not asked.runtimes or row.contract in asked.runtimes)
        and (not asked.tiers or row.tier in asked.tiers)
        and wanted in (None, row.model)
    ]
    models = sorted({row.model for row in rows})
    if not models:
        raise UsageError(f"{held.path} has no such cell: give another {option}, runtime or tier")
    label = models[0] if len(models) == 1 else other
    if label not in models:
        raise UsageError(
            f"{held.path} holds {len(models)} models ({_listed(models)}): name one by {option}"
        )
    return label, cells_of(row for row in rows if row.model == label)


def _listed(values: Sequence[str]) -> str:
    return one_line(", ".join(values)) or "nothing"


def _cell(
    name: CellName, mine: Sequence[Brief], theirs: Sequence[Brief], margins: Mapping[str, float]
) -> Compared:
    found = paired(mine, theirs)
    digests = {row.model_digest for row in (*mine, *theirs)}
    return Compared(
        name=name,
        tasks=len(found.tasks),
        left_out=len(found.left_out),
        identical=identical_tasks(mine, theirs)[0],
        same_weights=len(digests) == 1 and None not in digests,
        one_tokenizer=len(found.tokenizers()) <= 1,
        figures=tuple(figures(found, mine, theirs, margins)),
        changes=_changes(found),
        flips=(flips(found.cells[0]), flips(found.cells[1])),
        replayed=(_replayed(found.cells[0]), _replayed(found.cells[1])),
        scripted=any(row.model_spec.startswith("expert:") for row in (*mine, *theirs)),
    )


def _replayed(tasks: Sequence[Sequence[Brief]]) -> int:
    return sum(len(task) > 1 for task in tasks)


def is_identical(cell: Compared, figure: Figure) -> bool:
    """Whether a figure is the same in both cells because all of their transcripts are; a ratio, of
    tokens mostly, only where one tokenizer counted."""
    return cell.identical == cell.tasks > 0 and (cell.one_tokenizer or not figure.ratio)


def _claimed(cells: Iterable[Compared]) -> tuple[Compared, ...]:
    """Adds what is claimed, corrected over all cells."""
    kept = list(cells)
    said = iter(
        findings(
            [
                contrast
                for cell in kept
                for contrast in contrasts(
                    cell.figures, (cell.identical, cell.tasks), cell.one_tokenizer
                )
            ],
            level=LEVEL,
        )
    )
    return tuple(
        replace(
            cell,
            figures=tuple(
                replace(figure, finding=next(said)) if is_claimed(figure) else figure
                for figure in cell.figures
            ),
        )
        for cell in kept
    )


def _changes(found: Paired) -> Changes:
    def by(metric: str, sign: int) -> list[Change]:
        """Tasks that moved so, up (1) or down (-1), by seed."""
        measure = MEASURED[metric].measure
        made = [
            _change(task, new, base, measure, sign)
            for task, new, base in zip(found.tasks, *found.cells, strict=True)
        ]
        return sorted((one for one in made if one), key=lambda one: (one.seed, one.task_id))

    def worst(metric: str, sign: int) -> tuple[Change, ...]:
        moved = sorted(by(metric, sign), key=lambda one: -sign * (one.new - one.base))
        return tuple(moved[:WORST])

    tokens = "total_tokens" if len(found.tokenizers()) == 1 else "transcript_chars"
    return Changes(
        solved_lost=tuple(by("solved_rate", -1)),
        solved_won=tuple(by("solved_rate", 1)),
        lost_new=tuple(by("lost_rate", 1)),
        lost_gone=tuple(by("lost_rate", -1)),
        worst_score=worst("score", -1),
        worst_tokens=worst(tokens, 1),
        token_metric=tokens,
    )


def _change(
    task: str, new: Sequence[Brief], base: Sequence[Brief], measure: Measure, sign: int
) -> Change | None:
    """The task, if it moved in that direction by more than rounding."""
    sides = [
        [(value, row) for row in rows if (value := measure(row)) is not None]
        for rows in (new, base)
    ]
    if not all(sides):
        return None
    one, other = (fmean(value for value, _ in side) for side in sides)
    if sign * (one - other) <= 1e-9 * max(abs(one), abs(other)):
        return None
    shown = max(sides[0], key=lambda pair: sign * pair[0])[1]
    beside = min(sides[1], key=lambda pair: sign * pair[0])[1]
    return Change(task, shown.seed, one, other, shown.episode_id, beside.episode_id)
