"""The study's main table, train x runtime, as LaTeX, Markdown or CSV.

A row is a model in a runtime on one tier. Every figure has the interval that the report's has; a
figure that limits cut short is shown as a lower bound. What compares cells is in the report and on
the card: intervals that overlap do not show that two cells are equal.
"""

from __future__ import annotations

import csv as csv_writer
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Cell, Measure, Table
from okrt.analysis.estimands import quality
from okrt.analysis.stats import LEVEL, Estimate
from okrt.exports.escaping import latex_text, markdown_text
from okrt.report.plain import one_line
from okrt.report.tables import NO_EPISODES
from okrt.report.texts import SELF_CHECK, notes, title

LONGEST_LABEL = 60
"""Characters of a label in LaTeX and Markdown; CSV has them whole."""
AT_LEAST = ">= "
UNMEASURED = Estimate(None, None, None, LEVEL, "none: not measured", 0, "none")


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the table."""

    name: str
    """Of the metric; in CSV, where it stands unscaled."""
    head: str
    """In two lines where it is long."""
    estimate: Callable[[Cell, Sequence[Brief]], Estimate]
    scale: float = 1
    decimals: int = 3
    unit: str = ""
    at_least: bool = False
    """Whether it is a lower bound where limits ended many episodes."""


def _mean(measure: Measure) -> Callable[[Cell, Sequence[Brief]], Estimate]:
    """What limits cut short is a lower bound, of which there is no upper one."""

    def estimate(cell: Cell, rows: Sequence[Brief]) -> Estimate:
        if any(measure(row) is None for row in rows if row.score is not None):
            return UNMEASURED
        found = quality(rows, measure).estimate()
        return replace(found, high=None) if cell.at_least else found

    return estimate


COLUMNS = (
    Column("score", "score", lambda cell, rows: cell.score),
    Column("relative_score", "relative\nscore", lambda cell, rows: cell.relative_score),
    Column("solved_rate", "solved", lambda cell, rows: cell.solved, 100, 1, "%"),
    Column("turns", "turns", _mean(lambda row: row.turns), 1, 1, at_least=True),
    Column("tool_calls", "tool\ncalls", _mean(lambda row: row.tool_calls), 1, 1, at_least=True),
    Column(
        "total_tokens", "total\ntokens", _mean(lambda row: row.total_tokens), 1, 0, at_least=True
    ),
    Column(
        "score_per_1k", "score x100\nper 1k tokens", lambda cell, rows: cell.score_per_1k, 100, 2
    ),
    Column(
        "missing_variable_rate", "missing\nvariable",
        lambda cell, rows: cell.missing_variable_rate, 100, 1, "%",
    ),
    Column("lost_rate", "lost\nvariable", lambda cell, rows: cell.lost_rate, 100, 1, "%"),
)  # fmt: skip
"""What is shown, in this order. Scores lie in [0, 1]; tokens are the published measure, the history
counted again in each turn. Source: arXiv 2603.01209; relative score, tool calls and the lost rate
are ours."""

_HEADS = ("model", "trained under", "runtime", "tasks")


def markdown(tables: Sequence[Table]) -> str:
    """Returns a Markdown table for each family and tier, with its notes. Ends in a newline."""
    parts = []
    for table in tables:
        lines = [f"### {markdown_text(title(table))}", ""]
        lines.append(_pipe([*_HEADS, *(column.head for column in COLUMNS)]))
        lines.append(_pipe([*["---"] * 3, *["---:"] * (1 + len(COLUMNS))]))
        for cell, rows in cells(table):
            texts = [" ".join(shown(column, one, cell)) for column, one in figures(cell, rows)]
            lines.append(_pipe([*_labels(cell, rows), str(cell.tasks), *texts]))
        lines += ["", *(f"- {markdown_text(note)}" for note in notes(table))]
        parts.append("\n".join(lines))
    return ("\n\n".join(parts) or NO_EPISODES) + "\n"


def csv(tables: Sequence[Table]) -> str:
    """Returns one line for each cell, each figure with `_low` and `_high`; empty is "not known".

    Shares and scores lie in [0, 1]; nothing is rounded, and labels are as they are.
    """
    out = io.StringIO()
    writer = csv_writer.writer(out, lineterminator="\n")
    heads = [f"{column.name}{end}" for column in COLUMNS for end in ("", "_low", "_high")]
    writer.writerow([*_CSV_HEADS, *heads])
    for table in tables:
        axes = ";".join(f"{axis}={value}" for axis, value in table.axes.items())
        self_check = title(table).endswith(SELF_CHECK)
        for cell, rows in cells(table):
            writer.writerow(
                [
                    table.family, table.tier, axes, cell.model, rows[0].trained_under,
                    cell.contract, cell.n, cell.tasks, cell.failures, int(cell.at_least),
                    int(self_check), LEVEL,
                    *(end for _, one in figures(cell, rows) for end in _ends(one)),
                ]
            )  # fmt: skip
    return out.getvalue()


_CSV_HEADS = (
    "family", "tier", "axes", "model", "trained_under", "runtime", "episodes", "tasks", "failures",
    "at_least", "self_check", "level",
)  # fmt: skip


def latex(tables: Sequence[Table]) -> str:
    """Returns a table of the package booktabs, intervals beneath the figures. Ends in a newline."""
    if not tables:
        return f"% {NO_EPISODES}\n"
    width = 3 + len(COLUMNS)
    heads = ["model", "trained\nunder", "runtime", *(column.head for column in COLUMNS)]
    lines = [
        "% \\usepackage{booktabs}",
        "\\providecommand{\\okrtcell}[2]{\\begin{tabular}[t]{@{}r@{}}#1 \\\\ #2\\end{tabular}}",
        "\\begin{table}",
        "\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{_caption(tables)}}}",
        f"\\begin{{tabular}}{{lll{'r' * len(COLUMNS)}}}",
        "\\toprule",
        f"{' & '.join(_stacked(head.split(chr(10))) for head in heads)} \\\\",
    ]
    for table in tables:
        heading = latex_text(one_line(title(table).removesuffix(f": {SELF_CHECK}"), 120))
        lines += ["\\midrule", f"\\multicolumn{{{width}}}{{l}}{{\\emph{{{heading}}}}} \\\\"]
        for cell, rows in cells(table):
            texts = [_stacked(shown(column, one, cell)) for column, one in figures(cell, rows)]
            labels = map(latex_text, _labels(cell, rows))
            lines.append(f"{' & '.join([*labels, *texts])} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]) + "\n"


def _caption(tables: Sequence[Table]) -> str:
    told: list[str] = []
    for table in tables:
        told += [note for note in notes(table) if note not in told]
    checks = [title(table).endswith(SELF_CHECK) for table in tables]
    head = f"{SELF_CHECK}. " if all(checks) else ""
    return latex_text(one_line(head + "; ".join(told), 2000) + ".")


def _stacked(lines: Sequence[str]) -> str:
    """Returns a line, or two of them one above the other."""
    bound, found, rest = lines[0].rpartition(AT_LEAST)
    first = f"{bound}$\\geq$ {latex_text(rest)}" if found else latex_text(rest)
    return f"\\okrtcell{{{first}}}{{{latex_text(lines[1])}}}" if len(lines) > 1 else first


def _labels(cell: Cell, rows: Sequence[Brief]) -> list[str]:
    labels = (cell.model, rows[0].trained_under, cell.contract)
    return [one_line(label, LONGEST_LABEL) for label in labels]


def cells(table: Table) -> Iterator[tuple[Cell, list[Brief]]]:
    """Yields each cell with its rows."""
    by_cell: dict[tuple[str, str], list[Brief]] = {}
    for row in table.rows:
        by_cell.setdefault((row.model, row.contract), []).append(row)
    for key, cell in table.cells.items():
        yield cell, by_cell[key]


def figures(cell: Cell, rows: Sequence[Brief]) -> list[tuple[Column, Estimate]]:
    """Returns the figures of a cell; nothing is known of one that has no scored episode."""
    return [(one, one.estimate(cell, rows) if cell.n else UNMEASURED) for one in COLUMNS]


def shown(column: Column, one: Estimate, cell: Cell) -> tuple[str, ...]:
    """Returns a figure as text, and its interval, which is "[-]" where none is claimed."""
    if one.value is None:
        return ("-",)
    bound = AT_LEAST if column.at_least and cell.at_least else ""
    value = f"{bound}{_number(column, one.value)}{column.unit}"
    if one.low is None and one.high is None:
        return value, "[-]"
    low, high = ("..." if end is None else _number(column, end) for end in (one.low, one.high))
    return value, f"[{low}, {high}]"


def _number(column: Column, value: float) -> str:
    return f"{column.scale * value:,.{column.decimals}f}"


def _ends(one: Estimate) -> tuple[str, ...]:
    return tuple("" if end is None else repr(end) for end in (one.value, one.low, one.high))


def _pipe(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown_text, texts))} |"
