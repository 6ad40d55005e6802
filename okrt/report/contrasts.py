"""What a report says of contrasts: a few lines beneath a table, and all of them in `report.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from okrt.analysis.brief import is_expert
from okrt.analysis.cells import Table
from okrt.analysis.claims import Finding, findings
from okrt.analysis.contrasts import (
    RATIO_FACTOR,
    SCORE_MARGIN,
    Compared,
    Comparison,
    Over,
    Unit,
    comparison,
)
from okrt.analysis.stats import Estimate
from okrt.report.plain import one_line
from okrt.report.texts import shown

MOST_LINES = 10
"""Of one table's contrasts in a terminal; the others are in `report.md`."""
_LABEL = 48
"""Columns of a terminal that the labels of a contrast take at most."""
REPORT = "this report"
SELF_CHECK = "self-check of the harness: scripted experts, not evidence about models"


@dataclass(frozen=True, slots=True)
class Claims:
    """The contrasts of one table and what may be said of them."""

    made: tuple[tuple[Compared, Finding], ...] = ()
    family: int = 0
    """Claims of the whole report, all of which each is corrected for."""
    over: tuple[Over, ...] = ()


def claims(tables: Sequence[Table], experts: bool = False) -> list[Claims]:
    """Returns, for each table, what is claimed of its models; corrected over all of the tables.

    `experts` asks for those of scripted experts, in tables where nobody else played: a family of
    their own.
    """
    compared = [
        Comparison() if experts and not _experts_alone(table) else comparison(table, experts)
        for table in tables
    ]
    return corrected(compared)


def corrected(compared: Sequence[Comparison]) -> list[Claims]:
    """Returns what is claimed of each comparison, corrected over all of them."""
    found = findings([claim.contrast for one in compared for claim in one.claims])
    tested = sum(finding.word != "identical" for finding in found)
    rest = iter(found)
    return [
        Claims(tuple((claim, next(rest)) for claim in one.claims), tested, one.over)
        for one in compared
    ]


def _experts_alone(table: Table) -> bool:
    return all(is_expert(row) for row in table.rows)


def lines(said: Claims, width: int, heading: str = "Contrasts", of: str = REPORT) -> list[str]:
    """Returns the few lines of a terminal, or none; no line is longer than `width`. `of` says what
    the claims are corrected for."""
    rows = [(one.what, one.whom, *_over(one)) for one in said.over]
    rows += [
        (claim.what, claim.whom, _figure(finding.estimate, claim.unit), finding.said)
        for claim, finding in said.made
        if claim.headline
    ]
    if not rows:
        return []
    left_out = len(rows) - MOST_LINES
    rows = rows[:MOST_LINES] if left_out > 1 else rows
    named = [
        f"{one_line(what)}{f', {one_line(whom, _LABEL)}' if whom else ''}"
        for what, whom, _, _ in rows
    ]
    name, figure = max(map(len, named)), max(len(row[2]) for row in rows)
    text = _wrapped(f"{heading}, paired by task ({_rule(said, of)})", width)
    for label, (_, _, value, word) in zip(named, rows, strict=True):
        line = f"  {label:<{name}}  {value:<{figure}}  {word}"
        apart = [*_wrapped(f"  {label}", width), *_wrapped(f"      {value}  {word}", width)]
        text += [line] if len(line) <= width else apart
    return [*text, f"  and {left_out} more: report.md"] if left_out > 1 else text


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line.strip(), width, initial_indent=indent, subsequent_indent=indent + "    ",
        break_on_hyphens=False,
    )  # fmt: skip


def _rule(said: Claims, of: str) -> str:
    equal = f"equivalent: within {SCORE_MARGIN:g} of the score, or a factor of {RATIO_FACTOR:g}"
    count = f"{said.family} claim{'' if said.family == 1 else 's'}"
    return f"Holm over {count} of {of}; {equal}"


COLUMNS = ("contrast", "estimate", "claim", "adjusted p", "n", "identical tasks", "method")


def cells(said: Claims) -> list[list[str]]:
    """Returns the rows of the table in `report.md`, under `COLUMNS`."""
    rows = []
    for claim, finding in said.made:
        estimate, same = finding.estimate, claim.contrast.same
        rows.append(
            [
                finding.name, _figure(estimate, claim.unit), finding.said, _p(finding),
                str(estimate.n), f"{same[0]} of {same[1]}" if same else "", _method(estimate),
            ]
        )  # fmt: skip
    for one in said.over:
        name, estimate = f"{one.what}, {one.whom}", one.seeds.estimate
        rows.append([name, *_over(one), "", str(estimate.n), "", _method(estimate)])
    return rows


def notes(said: Claims, of: str = REPORT) -> list[str]:
    """Returns the lines above that table; `of` as for `lines`."""
    found = [
        f"paired by task; 95% intervals, each for itself; claims corrected by Holm over the "
        f"{said.family} of {of} that were tested. Undecided is not equal",
        f"equivalent: a score within {SCORE_MARGIN:g}, less than a quarter of what lies between "
        "blind play and the reference player on easy tasks; a ratio within a factor of "
        f"{RATIO_FACTOR:g}, where published misfits cost three times and more. No margin is stated "
        "for rates",
        "home is the runtime that a model was trained for, away the other of persistent and "
        "stateless; a further runtime is compared with home, else with persistent. G_P and G_S: "
        "what a model loses away from home; M: what the wrong training loses in stateless",
    ]
    if said.over:
        found.append(
            "over several models: Student's t over their values, conditional on these tasks, and "
            "no claim; it speaks of a way of training only if they are seeds of one recipe"
        )
    return found


def _over(one: Over) -> tuple[str, str]:
    values = ", ".join(_number(value, one.unit) for value in one.seeds.values.values())
    return _figure(one.seeds.estimate, one.unit), f"no claim; one by one {values}"


def _figure(estimate: Estimate, unit: Unit) -> str:
    scale, decimals, text, sign = _SHOWN[unit]
    return shown(estimate, scale, decimals, text, sign)


def _number(value: float, unit: Unit) -> str:
    scale, decimals, text, sign = _SHOWN[unit]
    return f"{scale * value:{sign}.{decimals}f}{text}"


_SHOWN: dict[Unit, tuple[float, int, str, str]] = {
    "score": (1, 3, "", "+"),
    "rate": (100, 1, "%", "+"),
    "ratio": (1, 2, "", ""),
}
"""By unit: scale, decimals, what stands behind, sign."""


def _p(finding: Finding) -> str:
    if finding.word == "identical":
        return ""
    p = finding.p_equivalent if finding.word == "equivalent" else finding.p_different
    return "" if p is None else f"{p:.2g}"


def _method(estimate: Estimate) -> str:
    return estimate.method.removeprefix("none: ")
