"""The study over tool caps and further contracts: the tables of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from okrt.analysis.caps import between_caps, over_training_seeds
from okrt.analysis.cells import Cell
from okrt.analysis.estimands import contrasts
from okrt.analysis.stats import Estimate, Inference
from training.tiny.play import CAPS, OWN, SLACK, TIGHT
from training.tiny.results import CELLS, known, mean_and_each, spent
from training.tiny.swept import (
    AWAY,
    FURTHER,
    HOME,
    RULE,
    Claim,
    Swept,
    binding,
    carried,
    exposure,
    interval,
    together,
    word,
)

ESTIMANDS = (
    "G_P(c) and D(c) are those of the arms, under the cap c; M(c) = score P→S - S→S. Intervals of "
    "a seed are 95%, over its tasks; `[-]`: the tasks bear none."
)
OVER_SEEDS = (
    "Over seeds stands the mean of the seeds' values, with a 95% interval of them for these tasks "
    "(Student's t; from ten seeds on BCa). Of two seeds it is very wide, 12.7 standard errors "
    "either way, and it is not bounded to what a difference of scores can be."
)


def section(swept: Sequence[Swept]) -> list[str]:
    """Returns what the page says of some seeds; of contracts, as far as all of them have any."""
    caps = [cap for cap in (TIGHT, OWN) if all(one.carries(cap) for one in swept)]
    over_seeds = [OVER_SEEDS] if len(swept) > 1 else []
    lines = [*caps_table(swept), "", *estimands_table(swept), ""]
    lines += [" ".join([ESTIMANDS, *over_seeds]), ""]
    lines += [*contracts_table(swept, caps), ""] if caps else ["Contracts: not measured.", ""]
    claims = [*(binding(cap) for cap in (TIGHT, OWN)), *(carried(cap) for cap in caps)]
    return [*lines, *(finding(claim, swept) for claim in claims), "", RULE, ""]


def caps_table(swept: Sequence[Swept]) -> list[str]:
    """Returns a Markdown table of the four cells of each cap: means over the seeds, and each."""
    lines = [
        "| cap | trained → run | tasks | score | finished | lost variables | blocks beyond the cap "
        "| most calls of a block | completion tokens | total tokens |",
        f"| {' | '.join(['---'] * 10)} |",
    ]
    for cap in CAPS:
        for trained, run in CELLS:
            cells = [one.figures[cap][trained, run] for one in swept]
            most = ", ".join(_most(cell, cap) for cell in cells)
            beyond = ", ".join(map(exposure, cells))
            lines.append(
                f"| {cap} | {trained} → {run} | {cells[0].tasks} | {_quality(cells)} | {beyond} "
                f"| {most} | {_tokens(cells)} |"
            )
    return lines


def estimands_table(swept: Sequence[Swept]) -> list[str]:
    """Returns a Markdown table of the estimands over caps: by seed with intervals over its tasks,
    and of several seeds their mean, with an interval over seeds."""
    columns = {
        f"seed {one.seed}": {name: found.estimate() for name, found in _estimands(one).items()}
        for one in swept
    }
    names = list(columns[f"seed {swept[0].seed}"])
    if len(swept) > 1:
        columns["over seeds"] = _over_seeds(swept)
    lines = [
        f"| estimand | {' | '.join(columns)} |",
        f"| {' | '.join(['---'] * (len(columns) + 1))} |",
    ]
    for name in names:
        figures = " | ".join(interval(column[name]) for column in columns.values())
        lines.append(f"| {name} | {figures} |")
    return lines


def contracts_table(swept: Sequence[Swept], caps: Sequence[int]) -> list[str]:
    """Returns a Markdown table of the persistent-trained model under every contract, at the caps
    at which the further ones were played."""
    lines = [
        "| cap | persistent-trained in | tasks | score | finished | lost variables "
        "| completion tokens | total tokens | score above stateless | as a share of G_P(c) |",
        f"| {' | '.join(['---'] * 10)} |",
    ]
    for cap in caps:
        for contract in (HOME, AWAY, *FURTHER):
            cells = [one.figures[cap][HOME, contract] for one in swept]
            gain = share = ""
            if contract != AWAY:
                gains = [one.gain(cap, contract).estimate() for one in swept]
                gain = mean_and_each([known(found.value) for found in gains], "{:+.3f}")
            if contract in FURTHER:
                share = ", ".join(
                    interval(one.recovered(cap, contract), "{:.0%}")
                    if one.has_gap(cap)
                    else "no gap"
                    for one in swept
                )
            lines.append(
                f"| {cap} | {contract} | {cells[0].tasks} | {_quality(cells)} | {_tokens(cells)} "
                f"| {gain} | {share} |"
            )
    return lines


def _estimands(one: Swept) -> dict[str, Inference]:
    found = {
        f"{name}({cap})": inference
        for name in ("G_P", "D", "M")
        for cap in CAPS
        for name, inference in [(name, contrasts(one.four(cap))[name])]
    }
    for cap in (TIGHT, OWN):
        changes = between_caps(one.four(cap), one.four(SLACK))
        found[f"A_P = G_P({cap}) - G_P({SLACK})"] = changes["A_P"]
        found[f"T = D({cap}) - D({SLACK})"] = changes["T"]
    return found


def _over_seeds(swept: Sequence[Swept]) -> dict[str, Estimate]:
    """The same names, over the training seeds."""
    rows = [replace(r, model=f"{r.model}-{one.seed}") for one in swept for r in one.rows]
    pairs = {str(one.seed): (f"{HOME}-{one.seed}", f"{AWAY}-{one.seed}") for one in swept}
    found: dict[str, Estimate] = {}
    for cap in (TIGHT, OWN):
        for name, over in over_training_seeds(rows, pairs, cap, SLACK).items():
            of = {"A_P": "G_P", "T": "D"}.get(name)
            text = f"{name} = {of}({cap}) - {of}({SLACK})" if of else name
            found[text] = over.estimate
    return found


def finding(claim: Claim, swept: Sequence[Swept]) -> str:
    """Returns a Markdown bullet."""
    words = [word(claim, one) for one in swept]
    found = "; ".join(
        f"{interval(claim.inference(one).estimate())}, {claim.beside(one)}" for one in swept
    )
    seeds = f"{words.count('shown')} of {len(words)} seeds"
    return f"- **{together(words)}** ({seeds}): {claim.text} Found: {found}."


def _most(cell: Cell, cap: int) -> str:
    most = cell.max_demand or 0
    return f">= {most}" if most > cap else str(most)


def _quality(cells: Sequence[Cell]) -> str:
    figures = (
        mean_and_each([known(cell.score.value) for cell in cells], "{:.3f}"),
        mean_and_each([1 - known(cell.censored_share) for cell in cells], "{:.0%}"),
        mean_and_each([known(cell.lost_rate.value) for cell in cells], "{:.0%}"),
    )
    return " | ".join(figures)


def _tokens(cells: Sequence[Cell]) -> str:
    return f"{spent(cells, 'completion_tokens')} | {spent(cells, 'total_tokens')}"
