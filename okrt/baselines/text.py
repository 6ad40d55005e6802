"""A comparison in words and figures, for a terminal and as JSON data."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from okrt.analysis.flips import Flips
from okrt.analysis.measures import MEASURED
from okrt.analysis.noise import COVERED
from okrt.analysis.stats import LEVEL, Estimate
from okrt.baselines.compare import Change, Compared, Comparison, is_identical
from okrt.baselines.figures import TOKENS, Figure
from okrt.baselines.held import SAVED, Held
from okrt.report.plain import one_line
from okrt.report.texts import SELF_CHECK

SCHEMA = 1
"""Of what `--json` prints."""
NAMED = 5
"""Tasks that a line names; the rest is counted."""
NOTHING = "-"
_NARROWEST = 40
_ROW = "  {:<24} {:>11} {:>11}   {}"
_IN_PERCENT = {name for name, metric in MEASURED.items() if metric.kind == "rate"}
_PLACES = {"turns": 1, "score_per_1k": 4, "transcript_chars": 0, **dict.fromkeys(TOKENS, 0)}
"""Decimals; 3 of others."""


def terminal(found: Comparison, new: Held, base: Held, width: int) -> str:
    """Returns the comparison as plain text that ends in a newline."""
    lines = [f"new:  {_side(found.model, new)}", f"base: {_side(found.base_model, base)}"]
    if found.left:
        lines += [f"not compared: {one_line(line)}" for line in found.left]
    for cell in found.cells:
        lines += ["", *_cell(cell, new, base, width)]
    claims = [(c, f.finding) for c in found.cells for f in c.figures if f.finding is not None]
    margins = {
        f"{figure.metric} {'x ' if figure.ratio else ''}{figure.margin:g}": None
        for cell in found.cells
        for figure in cell.figures
        if figure.margin is not None
    }
    equal = f"equal is within {', '.join(margins)}; " if margins else ""
    lines += ["", f"Claims ({equal}Holm's correction over these {len(claims)}):"]
    for cell, finding in claims:
        where = f"{one_line(str(cell.name))}: " if len(found.cells) > 1 else ""
        lines += _wrapped(where + finding.text, width)
    for warning in warnings(found):
        lines += ["", *textwrap.wrap(f"warning: {warning}", max(width, _NARROWEST))]
    return "\n".join(lines) + "\n"


def warnings(found: Comparison) -> list[str]:
    """Returns a line for each runtime whose source is another one, and for each margin that is
    smaller than what replaying alone makes."""
    return [
        f"the source of the runtime {contract} is not that of the baseline: if what it keeps has "
        "changed, the two are not of one runtime, and it wants a new name"
        for contract in found.other_sources
    ] + [
        f"{cell.name}: the margin of {figure.metric}, {figure.margin:g}, is below the A/A noise, "
        f"{figure.noise:.3g}: the same model, played again, differs from itself by more in over "
        f"{1 - COVERED:.0%} of comparisons; more tasks or repeats make the noise smaller"
        for cell in found.cells
        for figure in cell.figures
        if figure.below_noise
    ]


def refusal(found: Comparison, new: Held, base: Held) -> str:
    """Returns why the two are not compared, ending in a newline."""
    lines = [f"{new.path} and {base.path} cannot be compared:"]
    lines += [f"  {one_line(line, 400)}" for line in found.differences]
    if found.alike:
        cells = "; ".join(f"--runtime {name.contract} --tier {name.tier}" for name in found.alike)
        lines.append(f"cells that match, to be asked for: {one_line(cells, 400)}")
    for held in (new, base):
        if held.run.get("complete") is False:
            resume = f"; to go on in it: --okrt-resume {held.path}"
            is_saved = SAVED in held.run  # nothing can be resumed there
            lines.append(f"{held.path} is incomplete{'' if is_saved else resume}")
    return "\n".join(lines) + "\n"


def show(held: Held, episode: str) -> str:
    """Returns the command that prints a transcript, or nothing where none was saved."""
    return shlex.join(["okrt", "show", str(_shown(held.path)), episode]) if held.transcripts else ""


def as_json(found: Comparison, new: Held, base: Held) -> dict[str, Any]:
    """Returns the comparison as JSON data; `cells` is empty where the two cannot be compared."""
    return {
        "schema": SCHEMA,
        "new": _about(found.model, new),
        "base": _about(found.base_model, base),
        "differences": list(found.differences),
        "not_compared": list(found.left),
        "cells": [_cell_json(cell) for cell in found.cells],
        "warnings": warnings(found),
    }


def _about(model: str, held: Held) -> dict[str, Any]:
    return {
        "path": str(held.path),
        "model": model,
        "digest": held.digest,
        "complete": held.run.get("complete"),
        "transcripts": held.transcripts,
    }


def _cell_json(cell: Compared) -> dict[str, Any]:
    return {
        "runtime": cell.name.contract,
        "family": cell.name.family,
        "tier": cell.name.tier,
        "tasks": cell.tasks,
        "left_out": cell.left_out,
        "identical": cell.identical,
        "same_weights": cell.same_weights,
        "figures": [_figure_json(figure) for figure in cell.figures],
        "changes": msgspec.to_builtins(cell.changes),
        "flips": {
            side: None if found is None else msgspec.to_builtins(found)
            for side, found in zip(("new", "base"), cell.flips, strict=True)
        },
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    estimate = figure.inference.estimate() if figure.finding is None else figure.finding.estimate
    finding = figure.finding
    return {
        "metric": figure.metric,
        "kind": "ratio" if figure.ratio else "difference",
        "new": figure.new,
        "base": figure.base,
        "estimate": msgspec.to_builtins(estimate),
        "margin": figure.margin,
        "noise": figure.noise,
        "claim": None if finding is None else finding.word,
        "text": None if finding is None else finding.text,
    }


def _side(model: str, held: Held) -> str:
    incomplete = ", incomplete" if held.run.get("complete") is False else ""
    where = f"{_shown(held.path)}, digest {held.digest[:12]}{incomplete}"
    return f"{one_line(model, 80)} ({one_line(where)})"


def _cell(cell: Compared, new: Held, base: Held, width: int) -> list[str]:
    lines = [one_line(str(cell.name))]
    tasks = f"{cell.tasks} tasks, paired"
    if cell.left_out:
        tasks += f"; {cell.left_out} left out, broken off by infrastructure on either side"
    about = [tasks]
    if cell.scripted:
        about.append(SELF_CHECK)
    if cell.identical:
        about.append(f"transcripts and outcomes identical in {cell.identical} of {cell.tasks}")
    if cell.same_weights:
        about.append("the same weights on both sides")
    if not cell.one_tokenizer:
        about.append("tokens were counted by different tokenizers: characters stand in for them")
    lines += [part for line in about for part in _wrapped(line, width)]
    lines += ["", _ROW.format("", "new", "base", "new - base, or x new / base").rstrip()]
    estimates = [None if is_identical(cell, f) else f.inference.estimate() for f in cell.figures]
    lines += [_line(f, e) for f, e in zip(cell.figures, estimates, strict=True)]
    methods = sorted({e.method for e in estimates if e and not e.method.startswith("none")})
    if methods:
        said = f"[low, high]: {LEVEL:.0%} interval over tasks ({'; '.join(methods)})"
        lines += _wrapped(said, width)
    return [*lines, "", *_changes(cell, width), *_worst(cell, new, base), *_replayed(cell, width)]


def _line(figure: Figure, estimate: Estimate | None) -> str:
    """Without an estimate: the two cells are identical."""
    name = figure.metric
    if estimate is None:
        contrast = "identical"
    elif estimate.value is None:
        contrast = NOTHING
    elif figure.ratio:
        side = estimate.side and f"{estimate.side} "
        contrast = f"{side}x {estimate.value:.3f} {_ends(estimate, '.3f', 1)}"
    else:
        scale, unit = (100, "%") if name in _IN_PERCENT else (1, "")
        places = "+.1f" if name in _IN_PERCENT or name == "turns" else "+.3f"
        contrast = f"{scale * estimate.value:{places}}{unit} {_ends(estimate, places, scale)}"
    return _ROW.format(name, _value(name, figure.new), _value(name, figure.base), contrast)


def _ends(estimate: Estimate, places: str, scale: float) -> str:
    if estimate.low is None and estimate.high is None:
        return f"[{NOTHING}] ({estimate.method.removeprefix('none: ')})"
    low, high = (
        "..." if end is None else f"{scale * end:{places}}" for end in (estimate.low, estimate.high)
    )
    return f"[{low}, {high}]"


def _value(name: str, value: float | None) -> str:
    if value is None:
        return NOTHING
    if name in _IN_PERCENT:
        return f"{value:.1%}"
    return f"{value:,.{_PLACES.get(name, 3)}f}"


def _changes(cell: Compared, width: int) -> list[str]:
    changes = cell.changes
    pairs = (
        ("solved in base, not or less often in new", changes.solved_lost),
        ("solved in new, not or less often in base", changes.solved_won),
        ("lost a variable in new, not or less often in base", changes.lost_new),
        ("lost a variable in base, not or less often in new", changes.lost_gone),
    )
    return [part for text, found in pairs for part in _wrapped(_named(text, found), width)]


def _named(text: str, found: Sequence[Change]) -> str:
    seeds = [str(change.seed) for change in found[:NAMED]]
    more = ", ..." if len(found) > NAMED else ""
    plural = "s" if len(seeds) > 1 else ""
    return f"{text}: {len(found)}" + (f" (seed{plural} {', '.join(seeds)}{more})" if seeds else "")


def _worst(cell: Compared, new: Held, base: Held) -> list[str]:
    """Commands are never broken over lines: they are there to be copied."""
    changes = cell.changes
    lines = []
    for text, metric, found in (
        ("largest losses of score", "score", changes.worst_score),
        (f"largest gains in {changes.token_metric}", changes.token_metric, changes.worst_tokens),
    ):
        lines += [f"  {text}:"] if found else []
        for change in found:
            values = f"{_value(metric, change.base)} -> {_value(metric, change.new)}"
            lines.append(f"    seed {change.seed}: {values}")
            commands = (show(new, change.episode), show(base, change.base_episode))
            lines += [f"      {one_line(command, 1_000)}" for command in commands if command]
    return lines


def _replayed(cell: Compared, width: int) -> list[str]:
    if not any(cell.replayed):
        return _wrapped("A/A noise: not known; --okrt-repeats=2 in either run shows it", width)
    sides = [
        f"{count} tasks played more than once in {side}"
        for side, count in zip(("new", "base"), cell.replayed, strict=True)
        if count
    ]
    moved = [f for f in cell.figures if f.noise is not None and f.noise > (1 if f.ratio else 0)]
    said = ", ".join(f"{f.metric} {'x ' if f.ratio else ''}{f.noise:.3g}" for f in moved)
    said = f"{COVERED:.0%} of comparisons of a model with itself differ by less than: {said}"
    lines = [f"A/A noise ({', '.join(sides)}): {said if moved else 'none was seen'}"]
    for side, found in zip(("new", "base"), cell.flips, strict=True):
        if found is not None:
            lines.append(f"played again, greedily, in {side}: {_flips(found)}")
    return [part for line in lines for part in _wrapped(line, width)]


def _flips(found: Flips) -> str:
    scores, transcripts = (
        f"{round((one.value or 0.0) * found.tasks)}" for one in (found.scores, found.transcripts)
    )
    return (
        f"of {found.tasks} tasks, {transcripts} with other transcripts, {scores} with other scores"
    )


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(
        line,
        max(width, _NARROWEST),
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )


def _shown(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
