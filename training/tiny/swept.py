"""What models of one training seed did over tool caps and contracts, and what that shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.caps import gap_change
from okrt.analysis.cells import Cell, tables
from okrt.analysis.contrasts import SCORE_MARGIN
from okrt.analysis.estimands import FourCells, contrasts, difference, four_cells, score
from okrt.analysis.pairing import identical_tasks, paired
from okrt.analysis.rows import Row
from okrt.analysis.stats import Estimate, Inference, Unknown, ratio
from training.tiny.play import OWN, SLACK
from training.tiny.results import known

FURTHER = ("carryover", "carryover-announced", "files", "reset-every-2", "reset-every-3")
HOME, AWAY = "persistent", "stateless"

Word = Literal["shown", "not shown", "undecided"]


class Swept:
    """What the two models of one training seed did; a model's label is the contract it was trained
    under."""

    def __init__(self, seed: int, rows: Iterable[Row | Brief]) -> None:
        self.seed = seed
        self.rows = list(briefs(rows))

    @cached_property
    def figures(self) -> Mapping[int, Mapping[tuple[str, str], Cell]]:
        """The cells by cap, then by training and runtime."""
        return {int(table.axes["tool_cap"]): table.cells for table in tables(self.rows)}

    def cell(self, cap: int, trained: str, contract: str) -> list[Brief]:
        found = (cap, trained, contract)
        return [row for row in self.rows if (row.tool_cap, row.model, row.contract) == found]

    def four(self, cap: int) -> FourCells:
        return four_cells([row for row in self.rows if row.tool_cap == cap], (HOME, AWAY))

    def gap(self, cap: int) -> Inference:
        """G_P at a cap: what the persistent-trained model loses in stateless."""
        return contrasts(self.four(cap))["G_P"]

    def change(self, cap: int) -> Inference:
        """A_P: how much larger that is than under the slack cap."""
        tight, slack = self.four(cap), self.four(SLACK)
        return gap_change(tight.pp, tight.ps, slack.pp, slack.ps)

    def gain(self, cap: int, contract: str) -> Inference:
        """How much better the persistent-trained model plays under a contract than in stateless."""
        return difference(self.cell(cap, HOME, contract), self.cell(cap, HOME, AWAY))

    def recovered(self, cap: int, contract: str) -> Estimate:
        """The same as a share of the gap: a ratio of sums over the tasks, without an interval where
        a task has none but the opposite gap."""
        cells = [self.cell(cap, HOME, name) for name in (contract, AWAY, HOME)]
        rows = zip(*paired(*cells).means(score), strict=True)
        known_rows = [
            (there - away, home - away)
            for there, away, home in rows
            if there is not None and away is not None and home is not None
        ]
        gains, gaps = [one for one, _ in known_rows], [gap for _, gap in known_rows]
        if min(gaps, default=0) < 0:
            share = sum(gains) / sum(gaps) if sum(gaps) else None
            return Unknown(share, "none: a gap is negative", len(gaps), "task").estimate()
        return ratio(gains, gaps).estimate()

    def uncut(self, cap: int) -> bool:
        """Whether no block of that model was cut by the cap in stateless, so that carryover keeps
        nothing and is stateless."""
        return all(row.cap_hits == 0 for row in self.cell(cap, HOME, AWAY))

    def same(self, cap: int, contract: str) -> str:
        """On how many tasks that model and its runtime say the same as in stateless."""
        cells = self.cell(cap, HOME, contract), self.cell(cap, HOME, AWAY)
        return "{} of {}".format(*identical_tasks(*cells))

    def has_gap(self, cap: int) -> bool:
        return above(self.gap(cap).estimate(), 0)

    def home_score(self, cap: int) -> float:
        return known(self.figures[cap][HOME, HOME].score.value)

    def plays(self, *caps: int) -> bool:
        """Whether the persistent-trained model plays at all at home under these caps: at least half
        as well as under the tier's own."""
        return all(self.home_score(cap) >= 0.5 * self.home_score(OWN) for cap in caps)

    def carries(self, cap: int) -> bool:
        """Whether further contracts were played at a cap."""
        return all((HOME, name) in self.figures[cap] for name in FURTHER)


# -- findings --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """A finding of the follow-up study, as a figure that is above 0 where the models show it."""

    text: str
    needs: Callable[[Swept], bool]
    """Whether there is anything to be found: else the seed leaves it undecided."""
    inference: Callable[[Swept], Inference]
    beside: Callable[[Swept], str]
    """What else a reader has to know of a seed."""
    cannot: Callable[[Swept], bool] = lambda one: False
    """Whether it cannot be so, whatever the figure's interval."""


def binding(cap: int) -> Claim:
    return Claim(
        "A binding cap makes a misfit cost more quality: a persistent-trained model loses more of "
        f"its score in stateless at cap {cap} than at cap {SLACK} (published: 0.59 at a binding "
        f"cap, 0.15 at a slack one; A_P = G_P({cap}) - G_P({SLACK})).",
        lambda one: one.plays(cap, SLACK) and not one.uncut(cap),
        lambda one: one.change(cap),
        lambda one: (
            f"at home it scores {one.home_score(cap):.2f} and {one.home_score(SLACK):.2f}; of its "
            f"blocks in stateless, {_percent(one, cap)} and {_percent(one, SLACK)} want more calls "
            "than the cap"
        ),
    )


def carried(cap: int) -> Claim:
    return Claim(
        f"Carryover gives back part of what is lost at cap {cap}: the score of the "
        "persistent-trained model under carryover is above that in stateless.",
        lambda one: one.has_gap(cap),
        lambda one: one.gain(cap, "carryover"),
        lambda one: (
            f"of a gap of {interval(one.gap(cap).estimate())}; the same word by word as in "
            f"stateless on {one.same(cap, 'carryover')} tasks, where {_percent(one, cap)} of the "
            "blocks want more calls than the cap"
        ),
        lambda one: one.uncut(cap),
    )


RULE = (
    f"A seed shows a finding where the 95% interval of its figure, over tasks, lies above 0; it "
    f"does not show it where the interval ends below {SCORE_MARGIN:g}; else it is undecided. So is "
    "what the seeds do not agree on, and what cannot be asked: what a cap adds where it cut no "
    "block in stateless, or where the model plays less than half as well at home as at cap "
    f"{OWN}; what carryover gives back where nothing is lost. Where something is lost but no block "
    "was cut in stateless, carryover is stateless, and gives nothing back."
)


def above(estimate: Estimate, limit: float) -> bool:
    return estimate.low is not None and estimate.low > limit


def word(claim: Claim, one: Swept) -> Word:
    """Returns what one seed says of a claim, by `RULE`."""
    estimate = claim.inference(one).estimate()
    if not claim.needs(one):
        return "undecided"
    if claim.cannot(one):
        return "not shown"
    if above(estimate, 0):
        return "shown"
    below = estimate.high is not None and estimate.high < SCORE_MARGIN
    return "not shown" if below else "undecided"


def together(words: Sequence[Word]) -> Word:
    return words[0] if len(set(words)) == 1 else "undecided"


def interval(estimate: Estimate, form: str = "{:+.3f}") -> str:
    """Returns a difference, or what else has the form, with its interval, as far as there is
    one."""
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{form.format(estimate.value)} [-]"
    low, high = form.format(estimate.low), form.format(estimate.high)
    return f"{form.format(estimate.value)} [{low}, {high}]"


def _percent(one: Swept, cap: int) -> str:
    """Returns the exposure of the persistent-trained model in stateless."""
    return exposure(one.figures[cap][HOME, AWAY])


def exposure(cell: Cell) -> str:
    """Returns the share of a cell's blocks that want more calls than the cap."""
    value = cell.exposure.value if cell.exposure else None
    return "-" if value is None else f"{value:.0%}"
