"""The page: head, sections, data, transcripts. Pure: text out, piece by piece."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Table
from okrt.report.contrasts import Claims
from okrt.report.html import about, across
from okrt.report.html.claimed import claimed
from okrt.report.html.data import Found, section
from okrt.report.html.gates import grid, verdict
from okrt.report.html.listing import Places, columns
from okrt.report.html.markup import Markup, element, join
from okrt.report.lacking import lacking
from okrt.report.plain import one_line
from okrt.report.texts import figures, names, notes, title

SCHEMA = 1
"""Of the data within the page, for whoever reads it there."""
STYLES = ("page.css", "transcript.css")
LIBRARIES = ("vendor/d3.min.js", "vendor/plot.min.js")
TRANSCRIPT = ("transcript-text.js", "transcript-turns.js", "transcript.js")
SCRIPTS = (
    *LIBRARIES,
    *TRANSCRIPT,
    "marks.js",
    "charts.js",
    "doses.js",
    "episodes.js",
    "viewer.js",
    "page.js",
)
"""In the order of running."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a page shows."""

    name: str
    """Of the run."""
    run: Mapping[str, Any]
    """`run.json`, of which any part may lack."""
    gates: Mapping[str, Any] | None
    """`gates.json`, or None where there is none."""
    tables: Sequence[Table]
    said: Sequence[Claims]
    """Of each table."""
    rows: Sequence[Brief]
    found: Found
    places: Places
    problems: Sequence[str] = ()
    """What could not be read."""


def parts(content: Content, pieces: Iterable[bytes], beside: Sequence[str] = ()) -> Iterator[bytes]:
    """Yields the page. `pieces` are the packed transcripts; where they lie in files beside the
    page, `beside` names these and there are no pieces."""
    scripts = [_asset(name) for name in SCRIPTS]
    yield b'<!DOCTYPE html>\n<html lang="en">\n'
    yield _bytes(_head(content, scripts, bool(beside)))
    yield b"<body>\n" + _asset("patterns.svg").encode()
    yield _bytes(_body(content))
    data = {"schema": SCHEMA, "files": list(beside), **_data(content)}
    yield _script("okrt-data", "application/json", embedded(data))
    for number, piece in enumerate(pieces):
        yield _script(f"okrt-piece-{number}", "application/octet-stream", piece)
    for script in scripts:
        yield b"<script>%b</script>\n" % script.encode()
    yield b"</body>\n</html>\n"


def embedded(data: Any) -> bytes:
    """Returns JSON that may stand within a script element, whatever text it holds."""
    encoded = msgspec.json.encode(data)
    for character, escape in (("<", b"\\u003c"), ("\u2028", b"\\u2028"), ("\u2029", b"\\u2029")):
        encoded = encoded.replace(character.encode(), escape)
    return encoded


def policy(scripts: Iterable[str], files: bool) -> str:
    """Returns the Content-Security-Policy: these scripts alone run, nothing is fetched; with
    `files`, scripts beside the page are loaded too."""
    hashes = (hashlib.sha256(script.encode()).digest() for script in scripts)
    sources = [f"'sha256-{base64.b64encode(found).decode()}'" for found in hashes]
    sources += ["'self'", "file:"] if files else []
    return (
        f"default-src 'none'; script-src {' '.join(sources)}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _head(content: Content, scripts: Sequence[str], files: bool) -> Markup:
    styles = "\n".join(map(_asset, STYLES))
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(scripts, files)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"okrt: {one_line(content.name, 80)}"),
        Markup(f"<style>{styles}</style>"),
    )


def _body(content: Content) -> Markup:
    both = zip(content.tables, content.said, strict=True)
    results = [_results(number, *one) for number, one in enumerate(both)]
    results += across.articles(content.tables)
    return join(
        [
            element("a", "Skip to the results", href="#results", class_="skip"),
            _header(content),
            element(
                "main",
                _titled("verdict", "Verdict", verdict(content.gates), _warnings(content)),
                _titled("results", "Results", *(results or [element("p", "No episodes.")])),
                _titled("episodes", "Episodes", Markup('<div id="okrt-episodes"></div>')),
                _titled("made", "How the run was made", about.made(content.run, content.rows)),
                _titled(
                    "meaning", "What this does and does not mean", about.meaning(),
                    element("h3", "How tokens are counted"), about.counted(),
                ),
            ),
            Markup(_asset("dialog.html")),
        ]
    )  # fmt: skip


def _header(content: Content) -> Markup:
    linked = {
        "verdict": "Verdict", "results": "Results", "episodes": "Episodes",
        "made": "How it was run", "meaning": "What it means",
    }  # fmt: skip
    links = [element("a", text, href=f"#{name}") for name, text in linked.items()]
    made = str(content.run.get("created") or "time not recorded")
    count = len(content.rows)
    about_it = f"{count:,} episode{'' if count == 1 else 's'}, {one_line(made)}"
    return element(
        "header",
        element("div", element("h1", f"okrt report: {one_line(content.name, 120)}"),
                element("p", about_it, class_="muted")),
        element("nav", *links, aria_label="Sections"),
        Markup('<button type="button" id="okrt-theme" hidden>Theme: system</button>'),
    )  # fmt: skip


def _warnings(content: Content) -> Markup:
    lines = list(map(one_line, content.problems))
    if lacks := lacking(content.run, content.rows):
        lines.insert(0, one_line(f"Incomplete: {lacks}.", 500))
    items = element("ul", *(element("li", line) for line in lines), class_="note")
    script = Markup("<noscript><p>Charts, episodes and transcripts need JavaScript.</p></noscript>")
    return join([items if lines else Markup(""), about.failed(content.rows), script])


def _titled(name: str, heading: str, *children: Markup) -> Markup:
    head = element("h2", heading, id=f"{name}-head")
    return element("section", head, *children, id=name, aria_labelledby=f"{name}-head")


def _results(number: int, table: Table, said: Claims) -> Markup:
    """One table: places for its charts, its figures, and what is claimed by them."""
    charts = [
        Markup(f'<div class="chart" data-okrt-chart="{name}" data-okrt-section="{number}"></div>')
        for name in ("matrix", "quality", "turns", "errors", "parts")
    ]
    told = element("ul", *(element("li", note) for note in notes(table)), class_="muted")
    name = one_line(title(table), 400)
    return element(
        "article",
        element("h3", name, id=f"table-{number}"),
        charts[0],
        element("details", element("summary", "All figures of this table"), told, _figures(table)),
        claimed(said, "What differs between cells", name),
        element("div", *charts[1:], class_="charts"),
        aria_labelledby=f"table-{number}",
    )


def _figures(table: Table) -> Markup:
    named = names(table)
    rows = [
        [one_line(named[model]), metric, *cells]
        for model, metrics in figures(table).items()
        for metric, cells in metrics
    ]
    heads = ["model", "metric", *(one_line(contract) for contract in table.contracts)]
    return grid("Figures by model and runtime", heads, rows, one_line(title(table), 200))


def _data(content: Content) -> dict[str, Any]:
    return {
        "sections": [
            {"title": one_line(title(table), 200), **section(table, content.found)}
            for table in content.tables
        ],
        "sweeps": across.swept(content.tables),
        "episodes": columns(content.tables, content.found, content.places),
    }


def _script(name: str, kind: str, content: bytes) -> bytes:
    return b'<script type="%b" id="%b">%b</script>\n' % (kind.encode(), name.encode(), content)


@cache
def _asset(name: str) -> str:
    return resources.files("okrt.report.html").joinpath("assets", name).read_text("utf-8")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
