"""The tables as JSON data: what `okrt report --json` prints (docs/format.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Cell, Table
from okrt.report.sweeps import ablation_objects, sweep_objects
from okrt.report.texts import SELF_CHECK, notes, title

SCHEMA = 1


def report_object(
    rows: Sequence[Brief], run: Mapping[str, Any], tables: Sequence[Table]
) -> dict[str, Any]:
    """Returns the report of a run as JSON data; `run` is its `run.json`, of which any part may
    lack. Every figure is an object with its interval."""
    return {
        "schema": SCHEMA,
        "created": run.get("created"),
        "complete": run.get("complete"),
        "episodes": len(rows),
        "failures": sum(row.failure is not None for row in rows),
        "tables": [_table(table) for table in tables],
        "sweeps": sweep_objects(tables),
        "ablations": ablation_objects(tables),
    }


def _table(table: Table) -> dict[str, Any]:
    heading = title(table)
    return {
        "title": heading,
        "family": table.family,
        "tier": table.tier,
        "axes": dict(table.axes),
        "self_check": heading.endswith(SELF_CHECK),
        "notes": notes(table),
        "tokenizers": table.tokenizers,
        "cells": [_cell(table, cell) for cell in table.cells.values()],
    }


def _cell(table: Table, cell: Cell) -> dict[str, Any]:
    one = next(
        row for row in table.rows if (row.model, row.contract) == (cell.model, cell.contract)
    )
    fields: dict[str, Any] = msgspec.to_builtins(cell)
    known = {"model_spec": one.model_spec, "trained_under": one.trained_under}
    return {"model": fields.pop("model"), **known, **fields, "at_least": cell.at_least}
