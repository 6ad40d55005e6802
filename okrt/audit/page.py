"""An audit as one HTML page of the episodes that differ from the set. Pure: text out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from html import escape

from okrt.audit.text import text
from okrt.audit.totals import KEPT, Audit, Shown
from okrt.audit.verdict import VERDICTS

LONGEST_SHOWN = 4_000
"""Characters of a block that are shown."""

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:.6rem;overflow-x:auto;font-size:13px}"
    ".found{color:#a00}summary{cursor:pointer}"
)


def page(audit: Audit) -> str:
    """Returns the page; it loads nothing, and every text in it is escaped."""
    body = "\n".join(_episode(shown) for shown in _offenders(audit))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>okrt audit</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>okrt audit</h1>\n"
        f"<pre>{escape(text(audit))}</pre>\n<h2>Episodes that differ</h2>\n"
        f"{body or '<p>None.</p>'}\n</body></html>\n"
    )


def _offenders(audit: Audit) -> list[Shown]:
    """Mixed episodes first, then those of another verdict than the set's, undecided ones last."""
    order = sorted(VERDICTS, key=lambda verdict: verdict != "mixed")
    differing = [v for v in order if v == "mixed" or v != audit.verdict]
    return [shown for verdict in differing for shown in audit.kept.get(verdict, ())][:KEPT]


def _episode(shown: Shown) -> str:
    found: dict[int, list[str]] = defaultdict(list)
    for finding in shown.audit.findings:
        found[finding.block].append(str(finding))
    return "\n".join(_parts(shown, found))


def _parts(shown: Shown, found: dict[int, list[str]]) -> Iterator[str]:
    yield f"<details><summary>{escape(shown.audit.id)}: {shown.audit.verdict}</summary>"
    for number, block in enumerate(shown.trace.blocks, 1):
        yield f"<pre>{escape(block.code[:LONGEST_SHOWN])}</pre>"
        if found[number]:
            yield f'<p class="found">{"<br>".join(escape(line) for line in found[number])}</p>'
    yield "</details>"
