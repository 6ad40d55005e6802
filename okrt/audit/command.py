"""`okrt audit FILE...`: which contract do these traces teach?"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from okrt.audit.page import page
from okrt.audit.text import text
from okrt.audit.totals import Audit, audit_files
from okrt.errors import UsageError
from okrt.progress import Line

HELP = "say which contract traces teach: whether their blocks rely on the ones before"
EXAMPLE = "okrt audit okrt-runs/20260101-120000-ab12cd --fail-unless persistent"
SCHEMA = 1
"""Of what `--json` prints."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE",
        help="JSONL or Parquet of chats, a run directory, trace files, or a folder of these",
    )  # fmt: skip
    parser.add_argument(
        "--fail-unless", choices=("persistent", "stateless"), metavar="CONTRACT",
        help="exit with 1 unless the set teaches this contract: persistent or stateless",
    )  # fmt: skip
    parser.add_argument(
        "--provided", action="append", default=[], metavar="NAME",
        help="a name that the runtime gives to every block, such as a tool; may be repeated",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.add_argument(
        "--html", type=Path, metavar="PAGE", help="write a page of the episodes that differ"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the audit; returns 1 where the gate fails, else 0.

    Raises:
        UsageError: nothing could be read, or the page not be written.
    """
    with closing(Line(sys.stderr)) as line:
        audit = audit_files(
            options.files, frozenset(options.provided), lambda read: line.tell(f"{read:,} episodes")
        )
    if not audit.formats:
        first = audit.unread_first[0] if audit.unread_first else None
        why = f"; {first.where}: {first.reason}" if first else ": it is empty"
        raise UsageError(f"no episode in {', '.join(map(str, options.files))}{why}")
    if options.html is not None:
        _write(options.html, page(audit))
    if options.json:
        out = msgspec.json.format(msgspec.json.encode(as_json(audit))).decode() + "\n"
    else:
        out = text(audit)
    sys.stdout.write(out)
    if options.fail_unless not in (None, audit.verdict):
        sys.stderr.write(
            f"okrt: these traces were to teach {options.fail_unless}: {audit.verdict}\n"
        )
        return 1
    return 0


def as_json(audit: Audit) -> dict[str, Any]:
    """Returns the audit as JSON data, without the code of the episodes."""
    fields: dict[str, Any] = msgspec.to_builtins(
        {name: getattr(audit, name) for name in Audit.__slots__ if name != "kept"}
    )
    contradictions = {
        shown.audit.id: [str(finding) for finding in shown.audit.contradictions]
        for shown in audit.kept.get("mixed", ())
    }
    return {"schema": SCHEMA, **fields, "contradictions": contradictions}


def _write(file: Path, content: str) -> None:
    try:
        file.write_text(content, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; name another place") from None
