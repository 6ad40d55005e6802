"""`okrt card RUN`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from okrt.errors import StoreError
from okrt.exports.card import card, choose
from okrt.exports.writing import check_run_of, write
from okrt.report.reading import read_briefs
from okrt.store import GATES

HELP = "print a fit card: one page for a model card, what the other runtime does to the model"
EXAMPLE = "okrt card okrt-runs/20260101-120000-ab12cd --out FIT.md"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, or a baseline's")
    parser.add_argument("--model", metavar="LABEL", help="which model, where there are several")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it")


def run(options: argparse.Namespace) -> int:
    """Returns 0, or 1 where a line of the run is damaged.

    Raises:
        okrt.errors.StoreError: it is no run directory, or `run.json` or `gates.json` is damaged.
        okrt.errors.UsageError: no model is meant or several are, nothing is known of it, or the
            file cannot be written.
    """
    facts = check_run_of(options.run)
    rows, damaged = read_briefs(options.run)
    label = choose(rows, options.model)
    write(card(rows, label, facts, _gates(options.run)), options.out)
    return int(damaged)


def _gates(path: Path) -> Mapping[str, Any] | None:
    try:
        found: dict[str, Any] = msgspec.json.decode((path / GATES).read_bytes(), type=dict)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path / GATES} is damaged: {error}") from None
    return found
