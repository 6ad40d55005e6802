"""What a report says over tool caps, and over cue and names: dose and response, and contrasts.

Each cap, cue and listing of names has its own table, with its own claims; what is said here
compares them, and is corrected together, apart from the claims of the tables.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from okrt.analysis.ablation import UNTRAINED, Ablation, ablations, effects
from okrt.analysis.brief import is_expert
from okrt.analysis.caps import Dose, Response, Sweep, doses, responses, sweeps
from okrt.analysis.cells import Table
from okrt.analysis.claims import Contrast
from okrt.analysis.contrasts import SCORE_MARGIN, Compared, Comparison, Over
from okrt.analysis.stats import Estimate, over_seeds
from okrt.report import contrasts
from okrt.report.contrasts import Claims, corrected
from okrt.report.plain import one_line, plain
from okrt.report.texts import BEYOND, MOST_CALLS, NOTHING, SELF_CHECK, names, shown

OVER = "those over caps, cue and names"
"""What these claims are corrected for."""
_GAP = "  "

Block = tuple[str, list[tuple[str, list[str]]]]
"""A heading, and lines: what stands in the first column, and a text for each cap."""


@dataclass(frozen=True, slots=True)
class Section:
    """What is said of one sweep or one ablation."""

    title: str
    notes: tuple[str, ...]
    caps: tuple[int, ...]
    """None of an ablation."""
    blocks: tuple[Block, ...]
    said: Claims
    """Of models."""
    checks: Claims
    """Of scripted experts, where nobody else played."""


def sections(tables: Sequence[Table]) -> list[Section]:
    """Returns what is said over the tables of a report; nothing where no cap, cue or names took
    several values."""
    swept = sweeps(tables)
    ablated = ablations(tables)
    found: list[list[Claims]] = []
    for experts in (False, True):
        compared = [
            Comparison() if experts and not _scripted(sweep) else _of_caps(sweep, experts)
            for sweep in swept
        ]
        compared += [
            Comparison()
            if experts and not _scripted(ablation)
            else Comparison(tuple(effects(ablation, experts)))
            for ablation in ablated
        ]
        found.append(corrected(compared))
    every = [*(_caps_section(one) for one in swept), *(_cue_section(one) for one in ablated)]
    return [
        Section(title, notes, caps, blocks, said, checks)
        for (title, notes, caps, blocks), said, checks in zip(every, *found, strict=True)
    ]


def _scripted(one: Sweep | Ablation) -> bool:
    tables = one.tables.values() if isinstance(one, Sweep) else one.tables
    return all(is_expert(row) for table in tables for row in table.rows)


def _of_caps(sweep: Sweep, experts: bool) -> Comparison:
    """Claims are what compares caps; the gaps at each cap are claimed beneath its own table."""
    found = responses(sweep, experts)
    claimed = [
        Compared(
            one.text,
            one.whom,
            "score",
            Contrast(
                f"{one.text}, {one.whom}" if one.whom else one.text,
                one.inference,
                margin=SCORE_MARGIN,
            ),
        )
        for one in found
        if one.slack is not None
    ]
    return Comparison(tuple(claimed), tuple(_over(found)))


def _over(found: Sequence[Response]) -> list[Over]:
    """What several models of one training say by themselves, taken over them."""
    by_text: dict[str, dict[str, float | None]] = {}
    for one in found:
        by_text.setdefault(one.text, {})[one.whom] = one.inference.estimate().value
    return [
        Over(text, f"{len(values)} models of one training", "score", over_seeds(values))
        for text, values in by_text.items()
        if len(values) > 1
    ]


# -- figures ---------------------------------------------------------------------------------------


def _caps_section(sweep: Sweep) -> tuple[str, tuple[str, ...], tuple[int, ...], tuple[Block, ...]]:
    points: dict[tuple[str, str], dict[int, Dose]] = {}
    for dose in doses(sweep):
        points.setdefault((dose.model, dose.contract), {})[dose.tool_cap] = dose
    named: dict[str, str] = {}
    for table in sweep.tables.values():
        named |= names(table)
    blocks: list[Block] = [
        (
            f"{one_line(named[model])}, in {one_line(contract, 40)}",
            _lines([by.get(cap) for cap in sweep.caps]),
        )
        for (model, contract), by in points.items()
    ]
    if gaps := _gaps(responses(sweep, _scripted(sweep)), sweep.caps):
        blocks.append(("gaps of the score, by cap", gaps))
    notes = (
        "[low, high]: 95% intervals over tasks, paired by task in gaps; [-]: none is claimed",
        "blocks beyond the cap: share of blocks that tried to make more calls than the cap; the "
        "most calls are >= what stands there where the cap ended the block that made them",
    )
    return _title(sweep, "over tool caps"), notes, sweep.caps, tuple(blocks)


def _title(one: Sweep | Ablation, over: str) -> str:
    axes = [f"{axis}={value}" for axis, value in one.axes.items()]
    heading = f"{', '.join([f'{one.family}/{one.tier}', *axes])}, {over}"
    return f"{heading}: {SELF_CHECK}" if _scripted(one) else heading


def _lines(by_cap: Sequence[Dose | None]) -> list[tuple[str, list[str]]]:
    return [
        (name, [(show(dose) if dose is not None else "") or NOTHING for dose in by_cap])
        for name, show in _SHOWS
    ]


def _share(estimate: Estimate | None) -> str:
    return "" if estimate is None else shown(estimate, 100, 1, "%")


def _count(found: Estimate) -> str:
    """Tokens; whole ones, in thousands."""
    if found.value is None:
        return ""
    text = f"{'>= ' if found.side else ''}{found.value:,.0f}"
    if found.low is None and found.high is None:
        return f"{text} [{NOTHING}]"
    low, high = ("..." if end is None else f"{end:,.0f}" for end in (found.low, found.high))
    return f"{text} [{low}, {high}]"


def _most(dose: Dose) -> str:
    if dose.max_demand is None:
        return ""
    return f"{'>= ' if dose.max_demand > dose.tool_cap else ''}{dose.max_demand}"


_SHOWS: tuple[tuple[str, Callable[[Dose], str]], ...] = (
    ("score", lambda dose: shown(dose.score)),
    ("total tokens", lambda dose: _count(dose.total_tokens)),
    ("missing-variable episodes", lambda dose: _share(dose.missing_variable_rate)),
    ("lost-variable episodes", lambda dose: _share(dose.lost_rate)),
    (BEYOND, lambda dose: _share(dose.exposure)),
    (MOST_CALLS, lambda dose: _most(dose)),
)


def _gaps(found: Sequence[Response], caps: Sequence[int]) -> list[tuple[str, list[str]]]:
    lines: dict[tuple[str, str], dict[int, str]] = {}
    for one in found:
        if one.slack is None:
            figure = shown(one.inference.estimate(), sign="+")
            lines.setdefault((one.name, one.whom), {})[one.tool_cap] = figure
    return [
        (
            f"{name}, {one_line(whom, 40)}" if whom else name,
            [by_cap.get(cap) or NOTHING for cap in caps],
        )
        for (name, whom), by_cap in lines.items()
    ]


def _cue_section(
    ablation: Ablation,
) -> tuple[str, tuple[str, ...], tuple[int, ...], tuple[Block, ...]]:
    notes = (
        "each effect is the mean over the values of the other setting, each task kept together; "
        "the figures of each combination are in its own table",
        f"{UNTRAINED}: no set of traces that the model was trained on varied it, so that the "
        "contrast says what telling does to a model that was never told",
    )
    return _title(ablation, "over cue and names"), notes, (), ()


# -- as text, as Markdown, as data -----------------------------------------------------------------


def terminal_lines(section: Section, width: int) -> list[str]:
    """Returns the section for a terminal; only a text longer than the width makes a longer line."""
    lines = textwrap.wrap(plain(section.title), width, break_on_hyphens=False)
    for note in section.notes:
        lines += textwrap.wrap(
            note, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    lines += _grid(section, width)
    claimed = contrasts.lines(section.said, width, "Contrasts over these", OVER)
    return [*lines, *([""] if section.blocks and claimed else []), *claimed]


def _grid(section: Section, width: int) -> list[str]:
    """Caps that do not fit beside one another are set below one another."""
    inner = [line for _, block in section.blocks for line in block]
    if not inner:
        return []
    first = max(len(name) for name, _ in inner) + 2
    heads = [f"cap {cap}" for cap in section.caps]
    column = max(map(len, [*heads, *(text for _, texts in inner for text in texts)]))
    beside = max(1, (width - first) // (column + len(_GAP)))
    lines = []
    for start in range(0, len(heads), beside):
        chosen = slice(start, start + beside)
        lines += ["", _row("", heads[chosen], first, column)]
        for heading, block in section.blocks:
            lines.append(heading)
            lines += [_row(f"  {name}", texts[chosen], first, column) for name, texts in block]
    return lines


def _row(head: str, texts: Sequence[str], first: int, column: int) -> str:
    return _GAP.join([head.ljust(first), *(text.ljust(column) for text in texts)]).rstrip()


def grid_rows(section: Section) -> list[list[str]]:
    """Returns the figures as rows of a Markdown table, its heading first; none of an ablation."""
    if not section.blocks:
        return []
    rows = [["cell", "figure", *(f"cap {cap}" for cap in section.caps)]]
    for heading, block in section.blocks:
        for place, (name, texts) in enumerate(block):
            rows.append(["" if place else heading, name, *texts])
    return rows


def sweep_objects(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Returns the sweeps over caps as JSON data, for a figure: each point with its intervals."""
    return [
        {
            "title": _title(sweep, "over tool caps"),
            "family": sweep.family,
            "tier": sweep.tier,
            "axes": dict(sweep.axes),
            "self_check": _scripted(sweep),
            "caps": list(sweep.caps),
            "doses": [msgspec.to_builtins(dose) for dose in doses(sweep)],
            "responses": [_response(one) for one in responses(sweep, _scripted(sweep))],
        }
        for sweep in sweeps(tables)
    ]


def _response(one: Response) -> dict[str, Any]:
    return {
        "name": one.name,
        "text": one.text,
        "whom": one.whom,
        "tool_cap": one.tool_cap,
        "slack": one.slack,
        "estimate": msgspec.to_builtins(one.inference.estimate()),
    }


def ablation_objects(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Returns the ablations of cue and names as JSON data."""
    return [
        {
            "title": _title(ablation, "over cue and names"),
            "family": ablation.family,
            "tier": ablation.tier,
            "axes": dict(ablation.axes),
            "self_check": _scripted(ablation),
            "effects": [
                {
                    "what": one.what,
                    "model": one.whom,
                    "unit": one.unit,
                    "untrained": UNTRAINED in one.what,
                    "estimate": msgspec.to_builtins(one.contrast.inference.estimate()),
                }
                for one in effects(ablation, _scripted(ablation))
            ],
        }
        for ablation in ablations(tables)
    ]
