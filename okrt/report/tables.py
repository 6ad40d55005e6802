"""Rows -> the table of the terminal and the Markdown report: models down, runtimes across."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.cells import AXES, Cell, Table, tables
from okrt.analysis.rows import Row
from okrt.report import contrasts, sweeps
from okrt.report.colour import Paint, Style, unpainted
from okrt.report.contrasts import Claims, claims
from okrt.report.lacking import lacking
from okrt.report.plain import one_line, plain
from okrt.report.sweeps import Section, sections
from okrt.report.texts import failures, figures, names, notes, title

NO_EPISODES = "no episodes"
_GAP = 2
_HEAD = 40
"""Columns that a runtime's name takes at most."""
_NARROWEST = 20
"""Columns; below it text is wrapped as if there were so many."""

MEANING = (
    "Intervals are over tasks: they speak about these checkpoints on tasks drawn like these, not "
    "about what training this way would give again.",
    "Intervals that overlap do not show that two cells are equal, nor does a contrast that is "
    "undecided. Contrasts are claims about these checkpoints; they decide no release.",
    "A score stands between the floor (blind play) and the reference (scripted play under the same "
    "budget); between tiers compare relative scores, not scores.",
    "Total tokens count the history again in each turn, as the published measure does; new tokens "
    "count what is fed or generated for the first time. Where a limit ended many episodes, the "
    "means of turns and tokens are lower bounds.",
    "A missing-variable episode has at least one uncaught NameError; in a lost-variable episode an "
    "earlier turn had bound the name. Losses that the code catches itself are in neither.",
    "What a model was trained under is what was declared for it. Scripted experts check the "
    "harness and are no evidence about models.",
)


def terminal(
    rows: Iterable[Row | Brief],
    width: int = 100,
    made: Sequence[Table] | None = None,
    said: Sequence[Claims] | None = None,
    paint: Paint = unpainted,
) -> str:
    """Returns the tables as text, and the infrastructure failures.

    Contracts that do not fit beside one another in `width` columns are set below one another; a
    single one is never cut. `made` are the tables of these rows and `said` the claims of their
    models, where they were made before: the intervals of many tasks take their time. `paint` puts
    colour to them. Ends in a newline.
    """
    kept = list(briefs(rows))
    made = tables(kept) if made is None else made
    said = claims(made) if said is None else said
    parts = []
    for table, its in zip(made, said, strict=True):
        parts.append("\n".join(_section(table, width, paint)))
        if lines := contrasts.lines(its, max(width, _NARROWEST)):
            parts.append("\n".join([paint("heading", lines[0]), *lines[1:]]))
    for section in sections(made):
        lines = sweeps.terminal_lines(section, max(width, _NARROWEST))
        parts.append("\n".join([paint("heading", lines[0]), *lines[1:]]))
    if broken := failures(kept):
        parts.append("\n".join([paint("bad", broken[0]), *_wrapped(broken[1:], width)]))
    return ("\n\n".join(parts) or NO_EPISODES) + "\n"


def markdown(
    rows: Iterable[Row | Brief],
    run: Mapping[str, Any],
    made: Sequence[Table] | None = None,
    said: Sequence[Claims] | None = None,
) -> str:
    """Returns the report of a run directory; `run` is its `run.json`, of which any part may lack.

    `made` and `said` as in `terminal`; of scripted experts the contrasts stand here alone. Ends in
    a newline.
    """
    kept = list(briefs(rows))
    lines = ["# okrt report", "", *_bullets(_about(run, kept)), "", "## Results", ""]
    made = tables(kept) if made is None else made
    said = claims(made) if said is None else said
    for table, its, checks in zip(made, said, claims(made, experts=True), strict=True):
        lines += results(table, its)
        lines += _contrasts(f"Contrasts: {contrasts.SELF_CHECK}", checks)
    for section in sections(made):
        lines += _across(section)
    lines += [] if kept else [NO_EPISODES, ""]
    if broken := failures(kept):
        lines += [f"## {broken[0]}", "", *_bullets(broken[1:]), ""]
    lines += ["## Models", "", *_models(kept), ""]
    lines += ["## Settings", "", *_bullets(_settings(run, kept)), ""]
    lines += ["## Versions", "", *_bullets(_versions(run)), ""]
    lines += ["## What this does and does not mean", "", *_bullets(MEANING)]
    return "\n".join(lines) + "\n"


def results(table: Table, said: Claims) -> list[str]:
    """Returns the lines of Markdown of one table and the contrasts of its models."""
    lines = [f"### {unmarked(title(table))}", "", *_bullets(notes(table)), "", *_pipes(table), ""]
    return lines + _contrasts("Contrasts", said)


def _section(table: Table, width: int, paint: Paint) -> list[str]:
    shown = figures(table)
    named = names(table)
    head = textwrap.wrap(plain(title(table)), max(width, _NARROWEST), break_on_hyphens=False)
    lines = [paint("heading", line) for line in head]
    lines += [paint("faint", line) for line in _wrapped(map(plain, notes(table)), width)]
    first = max([len(name) for model in shown.values() for name, _ in model], default=0) + 2
    texts = [text for model in shown.values() for _, cells in model for text in cells]
    heads = [one_line(contract, _HEAD) for contract in table.contracts]
    column = max(map(len, [*texts, *heads]))
    beside = max(1, (width - first) // (column + _GAP))
    for start in range(0, len(heads), beside):
        chosen = slice(start, start + beside)
        across = _line("", heads[chosen], first, column)
        named_there = across.lstrip()
        lines += ["", across.removesuffix(named_there) + paint("heading", named_there)]
        for model, cells in shown.items():
            lines.append(paint("heading", one_line(named[model])))
            for name, text in cells:
                plainly = _line(f"  {name}", text[chosen], first, column)
                alarms = [_alarm(name, table.cells.get((model, c))) for c in table.contracts]
                lines.append(_painted(plainly, text[chosen], alarms[chosen], paint))
    return lines


def _alarm(name: str, cell: Cell | None) -> Style | None:
    """How a figure is painted that says that something went wrong."""
    if cell is not None and name in _ALARMS:
        style, measure = _ALARMS[name]
        return style if measure(cell) else None
    return None


_ALARMS: Mapping[str, tuple[Style, Callable[[Cell], float | None]]] = {
    "missing-variable episodes": ("lost", lambda cell: cell.missing_variable_rate.value),
    "lost-variable episodes": ("lost", lambda cell: cell.lost_rate.value),
    "infrastructure failures": ("bad", lambda cell: cell.failures),
}


def _painted(line: str, texts: Sequence[str], alarms: Sequence[Style | None], paint: Paint) -> str:
    """Returns the line with those of its texts, found from the right, painted that are to be."""
    done, rest = "", line
    for text, style in zip(reversed(texts), reversed(alarms), strict=True):
        rest, found, after = rest.rpartition(text)
        done = (paint(style, found) if style else found) + after + done
    return rest + done


def _wrapped(lines: Iterable[str], width: int) -> list[str]:
    return [
        part
        for line in lines
        for part in textwrap.wrap(
            line,
            max(width, _NARROWEST),
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    ]


def _line(head: str, cells: Sequence[str], first: int, column: int) -> str:
    gap = " " * _GAP
    return gap.join([head.ljust(first), *(cell.ljust(column) for cell in cells)]).rstrip()


def _pipes(table: Table) -> list[str]:
    named = names(table)
    lines = [
        pipe(["model", "metric", *table.contracts]),
        pipe(["---"] * (2 + len(table.contracts))),
    ]
    for model, metrics in figures(table).items():
        for position, (name, cells) in enumerate(metrics):
            lines.append(pipe(["" if position else named[model], name, *cells]))
    return lines


def _across(section: Section) -> list[str]:
    """What compares caps, cues or listings of names."""
    lines = [f"### {unmarked(section.title)}", "", *_bullets(section.notes), ""]
    if rows := sweeps.grid_rows(section):
        rule = ["---"] * len(rows[0])
        lines += [*map(pipe, (rows[0], rule, *rows[1:])), ""]
    lines += _contrasts("Contrasts over these", section.said, sweeps.OVER)
    checked = f"Contrasts over these: {contrasts.SELF_CHECK}"
    return lines + _contrasts(checked, section.checks, sweeps.OVER)


def _contrasts(heading: str, said: Claims, of: str = contrasts.REPORT) -> list[str]:
    if not (rows := contrasts.cells(said)):
        return []
    head = [f"#### {heading}", "", *_bullets(contrasts.notes(said, of)), ""]
    rule = ["---"] * len(contrasts.COLUMNS)
    return [*head, *map(pipe, (contrasts.COLUMNS, rule, *rows)), ""]


def pipe(cells: Sequence[str]) -> str:
    """Returns a row of a table in Markdown; no cell can leave it."""
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return unmarked(one_line(text)).replace("|", "\\|")


def unmarked(text: str) -> str:
    """Returns text from outside so that Markdown shows it: a server's error page is HTML."""
    shown = plain(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return shown.replace("](", "]\\(")  # no link, and no picture that is fetched when it is read


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {unmarked(line)}" for line in lines]


def _about(run: Mapping[str, Any], rows: Sequence[Brief]) -> list[str]:
    lines = [f"{name}: {_text(run.get(name))}" for name in ("created", "commit", "machine")]
    isolation = sorted({row.isolation for row in rows})
    lines.append(f"isolation of the code that ran: {', '.join(isolation) or 'nothing ran'}")
    lines.append(f"episodes: {len(rows)}")
    if lacks := lacking(run, rows):
        lines.append(f"**incomplete**: {lacks}")
    return lines


def _models(rows: Sequence[Brief]) -> list[str]:
    fields = ("model", "model_spec", "model_kind", "trained_under", "model_digest", "tokenizer")
    found = sorted({tuple(str(getattr(row, field) or "") for field in fields) for row in rows})
    return [pipe(fields), pipe(["---"] * len(fields)), *map(pipe, found)]


def _settings(run: Mapping[str, Any], rows: Sequence[Brief]) -> list[str]:
    settings = run.get("settings")
    if isinstance(settings, Mapping):
        settings = {name: settings[name] for name in settings if name not in AXES}
    lines = [f"arguments: {_text(run.get('arguments'))}", f"settings: {_text(settings)}"]
    for axis in AXES:
        values = sorted({getattr(row, axis) for row in rows}, key=lambda v: (v is not None, v))
        lines.append(f"{axis}: {', '.join('none' if v is None else _text(v) for v in values)}")
    return lines


def _versions(run: Mapping[str, Any]) -> list[str]:
    versions = run.get("versions") or {}
    return [f"{name} {_text(versions[name])}" for name in sorted(versions)] or ["not recorded"]


def _text(value: Any) -> str:
    """A value of `run.json` in words."""
    match value:
        case None:
            return "not recorded"
        case Mapping():
            parts = {key: "none" if value[key] is None else _text(value[key]) for key in value}
            return ", ".join(f"{key} {parts[key]}" for key in sorted(parts))
        case list() | tuple():
            return " ".join(map(str, value))
        case _:
            return str(value)
