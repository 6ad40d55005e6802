"""`okrt table`: the study's main table in three forms."""

from __future__ import annotations

import csv as reader
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from okrt.analysis.cells import tables
from okrt.exports.escaping import latex_text, markdown_text
from okrt.exports.table import COLUMNS, UNMEASURED, csv, latex, markdown, shown
from tests.exports.cells import broken, cell, cross
from tests.report.test_tables import make

HOSTILE = "*[x](javascript:0){}\\input{/etc/passwd}$a_b^c#d%e~f&g<h>|i--\"' `é漢\u202e\x1b[31m"


def cells(line: str) -> list[str]:
    return [text.strip() for text in line.strip("|").split(" | ")]


def test_markdown_has_a_line_a_cell_with_intervals() -> None:
    text = markdown(tables(cross()))
    lines = text.splitlines()
    assert lines[0] == "### opaque_knapsack/easy, train x runtime"
    heads, first = cells(lines[2]), dict(zip(cells(lines[2]), cells(lines[4]), strict=True))
    assert heads[:5] == ["model", "trained under", "runtime", "tasks", "score"]
    assert [line.split(" | ")[1:3] for line in lines[4:8]] == [
        ["persistent", "persistent"],
        ["persistent", "stateless"],
        ["stateless", "persistent"],
        ["stateless", "stateless"],
    ]
    assert first["tasks"] == "12"
    assert re.fullmatch(r"0\.882 \[0\.87\d, 0\.89\d\]", first["score"])
    assert re.fullmatch(r"1,055 \[1,0\d\d, 1,0\d\d\]", first["total tokens"])
    assert first["turns"].startswith("5.0 [")
    assert first["tool calls"].startswith("5.5 [")
    assert first["lost variable"].startswith("0.0% [0.0, 26.5]")
    assert cells(lines[5])[-1] == "100.0% [73.5, 100.0]"
    assert "- 12 tasks (eval, seeds 0-11), tool cap 25" in lines


def test_csv_has_each_end_of_an_interval_and_rounds_nothing() -> None:
    (first, second, *_) = list(reader.DictReader(io.StringIO(csv(tables(cross())))))
    assert (first["model"], first["trained_under"], first["runtime"]) == (
        "persistent-8b", "persistent", "persistent",
    )  # fmt: skip
    assert float(first["score_low"]) < float(first["score"]) < float(first["score_high"])
    assert float(second["lost_rate"]) == 1.0
    assert (first["at_least"], first["self_check"], first["failures"]) == ("0", "0", "0")
    for column in COLUMNS:
        assert {column.name, f"{column.name}_low", f"{column.name}_high"} <= set(first)


def test_what_limits_cut_short_has_no_upper_end() -> None:
    made = tables(cell("m", "stateless", "persistent", ending="max_turns"))
    (row,) = reader.DictReader(io.StringIO(csv(made)))
    assert (row["at_least"], row["total_tokens_high"]) == ("1", "")
    assert float(row["total_tokens_low"]) < float(row["total_tokens"])
    assert re.search(r"&gt;= 2,055 \[2,0\d\d, \.\.\.\]", markdown(made))
    assert re.search(r"\$\\geq\$ 2,055\}\{\{\[\}2,0\d\d, \.\.\.\{\]\}\}", latex(made))


def test_latex_has_a_line_a_cell_and_as_many_columns_in_each() -> None:
    text = latex(tables(cross() + cell("m", "persistent", "mixed", tier="hard")))
    lines = [line for line in text.splitlines() if line.endswith("\\\\")]
    figures = [line for line in lines if "multicolumn" not in line]
    assert len(figures) == 1 + 4 + 1
    assert {len(line.split(" & ")) for line in figures} == {3 + len(COLUMNS)}
    assert [line.count("\\midrule") for line in (text,)] == [2]
    assert "hard" in text


@pytest.mark.parametrize("n", [0, 1])
def test_what_is_not_known_is_not_0(n: int) -> None:
    rows = broken("m", "persistent") + cell("m", "stateless", "unknown", n=n, tool_calls=None)
    made = tables(rows)
    first = cells(markdown(made).splitlines()[4])
    assert first[4:] == ["-"] * len(COLUMNS)
    (row, *_) = reader.DictReader(io.StringIO(csv(made)))
    assert (row["episodes"], row["failures"], row["score"], row["tool_calls"]) == ("0", "3", "", "")
    assert latex(made).count(" & - & - & -") == 3
    if n:
        second = dict(zip(cells(markdown(made).splitlines()[2]),
                          cells(markdown(made).splitlines()[5]), strict=True))  # fmt: skip
        assert second["tool calls"] == "-"
        assert second["score"] == "0.900 [-]"


def test_nothing_at_all_is_said() -> None:
    assert markdown([]) == "no episodes\n"
    assert latex([]) == "% no episodes\n"
    assert csv([]).count("\n") == 1


def test_experts_are_a_self_check_in_every_form() -> None:
    made = tables([make("expert:persistent", "stateless", seed) for seed in range(2)])
    assert "self-check of the harness" in markdown(made).splitlines()[0]
    assert "caption{self-check of the harness" in latex(made)
    (row,) = reader.DictReader(io.StringIO(csv(made)))
    assert row["self_check"] == "1"


def test_labels_are_shown_and_obeyed_nowhere() -> None:
    made = tables([make(label, "persistent", 0) for label in (HOSTILE, "y" * 10_000)])
    text = markdown(made)
    line = next(line for line in text.splitlines() if "input" in line)
    assert line.count(" | ") == 3 + len(COLUMNS)
    assert "]\\(" in line
    assert "<" not in text
    assert max(map(len, text.splitlines())) < 500
    (first, second) = reader.DictReader(io.StringIO(csv(made)))
    assert (first["model"], len(second["model"])) == (HOSTILE, 10_000)
    for escaped in (text, latex(made)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", escaped)


def test_escapes() -> None:
    assert latex_text("a_b & 5% -- [x] é") == r"a\_b \& 5\% -{}- {[}x{]} (U+00E9)"
    assert latex_text("\\{}$^~#*") == (
        r"\textbackslash{}\{\}\$\textasciicircum{}\textasciitilde{}\#{*}"
    )
    assert markdown_text("a_b|c *d* `e` [f](g) ![h] <i>&") == (
        r"a_b\|c \*d\* \`e\` [f]\(g) !\[h] &lt;i&gt;&amp;"
    )


def test_one_end_of_an_interval_may_be_open() -> None:
    (table,) = tables(cross())
    one = next(iter(table.cells.values()))
    assert shown(COLUMNS[0], UNMEASURED, one) == ("-",)


@pytest.mark.thorough
@pytest.mark.parametrize("rows", [cross(), [make(HOSTILE, "stateless", seed) for seed in range(2)]])
def test_latex_compiles_where_latex_is_installed(tmp_path: Path, rows: list[object]) -> None:
    """Checks what can be checked without it, braces, besides."""
    text = latex(tables(rows))  # type: ignore[arg-type]
    bare = re.sub(r"\\[\\{}%]", "", text)
    assert bare.count("{") == bare.count("}")
    program = shutil.which("pdflatex")
    if program is not None:
        packages = "\\usepackage[landscape,margin=1cm]{geometry}\\usepackage{booktabs}"
        whole = f"\\documentclass{{article}}{packages}\\begin{{document}}\n{text}\\end{{document}}"
        (tmp_path / "table.tex").write_text(whole)
        command = [program, "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout
