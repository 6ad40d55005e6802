"""A run, or a saved baseline, as it is read to be reported: what is damaged is said on stderr, and
the rest is gone on with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.reading import read_rows
from okrt.analysis.rows import Row, row
from okrt.errors import StoreError
from okrt.progress import Line
from okrt.redact import without_secrets
from okrt.store import EPISODES, ROWS, Problem, read_episodes, read_row_lines


def rows_of(path: Path, problems: list[Problem]) -> Iterator[Row]:
    """Yields the rows of a run, derived anew from its episodes; adds what is damaged to `problems`.

    Raises:
        StoreError: the directory holds no `episodes.jsonl`.
    """
    line = Line(sys.stderr)
    read = 0
    try:
        for found in read_episodes(path):
            if isinstance(found, Problem):
                problems.append(found)
                line.close()
                complain(found)
                continue
            yield row(found)
            read += 1
            line.tell(f"{read:,} episodes read")
    finally:
        line.close()


def read_briefs(path: Path) -> tuple[list[Brief], bool]:
    """Returns the briefs of a run, or of a baseline that was saved without its episodes, and
    whether a line of it was damaged.

    Raises:
        StoreError: the directory holds neither; or a row of a baseline cannot be read.
    """
    problems: list[Problem] = []
    if (path / EPISODES).is_file():
        found = list(briefs(rows_of(path, problems)))
    elif (path / ROWS).is_file():
        found = list(briefs(read_rows(read_row_lines(path))))
    else:
        raise StoreError(f"{path} is no run directory: it has neither {EPISODES} nor {ROWS}")
    return found, any(problem.kind == "corrupt" for problem in problems)


def complain(problem: Problem) -> None:
    """Says what is damaged."""
    sys.stderr.write(f"okrt: {without_secrets(problem.message)}\n")
