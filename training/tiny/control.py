"""The state-free control -> tables and findings: the same two models on a family of which nothing
has to be carried from turn to turn, and on the knapsack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.claims import Contrast, Finding, findings
from okrt.analysis.contrasts import SCORE_MARGIN
from okrt.analysis.estimands import contrasts, difference, four_cells
from okrt.analysis.pairing import identical_tasks
from okrt.analysis.rows import row
from okrt.types import Episode
from training.tiny.results import Played, plain_table
from training.tiny.swept import AWAY, HOME, Word, above, interval

EQUAL = ("identical", "equivalent", "different within the margin")


def section(control: Sequence[Episode], knapsack: Sequence[Episode]) -> list[str]:
    """Returns what the page says of the models that learnt both families."""
    cells = between_runtimes(control)
    count = len({episode.task.id for episode in knapsack})
    lines = ["On the control:", "", *plain_table(Played(control)), ""]
    lines += [f"- {one.text}." for one in cells]
    if knapsack:
        lines += ["", f"On {count} tasks of the knapsack:", "", *plain_table(Played(knapsack))]
    lines += [
        "",
        f"- **{vanishes(cells)}**: on the control, neither model's cells differ between the "
        "runtimes (shown: the same word by word on every task, or a score equivalent within "
        f"{SCORE_MARGIN:g}; not shown: a difference).",
    ]
    if knapsack:
        gap = contrasts(four_cells(_rows(knapsack), (HOME, AWAY)))["G_P"].estimate()
        shows: Word = "shown" if above(gap, 0) else "undecided"
        lines.append(
            f"- **{shows}**: on the knapsack, the same persistent-trained model loses in stateless "
            f"(shown: the 95% interval of G_P lies above 0). Found: {interval(gap)}."
        )
    return [*lines, ""]


def between_runtimes(control: Iterable[Episode]) -> list[Finding]:
    """Returns what may be said of each model in one runtime against the other, corrected together;
    cells that are the same word by word enter no test."""
    rows = _rows(control)

    def cell(model: str, contract: str) -> list[Brief]:
        return [row for row in rows if (row.model, row.contract) == (model, contract)]

    return findings(
        [
            Contrast(
                f"{model}-trained, score in persistent less in stateless",
                difference(cell(model, HOME), cell(model, AWAY)),
                margin=SCORE_MARGIN,
                same=identical_tasks(cell(model, HOME), cell(model, AWAY)),
            )
            for model in (HOME, AWAY)
        ]
    )


def vanishes(found: Sequence[Finding]) -> Word:
    """Returns whether the contrast between runtimes vanishes, as it must."""
    if any(one.word == "different" for one in found):
        return "not shown"
    return "shown" if all(one.word in EQUAL for one in found) else "undecided"


def _rows(episodes: Iterable[Episode]) -> list[Brief]:
    return list(briefs(map(row, episodes)))
