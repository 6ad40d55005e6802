"""What a run was to hold and does not, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from okrt.analysis.brief import Brief
from okrt.errors import StoreError
from okrt.index import plan_in
from okrt.plan import Plan, size

SHOWN = 3
"""Cells that are named; the rest is counted."""


def lacking(run: Mapping[str, Any], rows: Sequence[Brief]) -> str | None:
    """Returns what an incomplete run lacks; None of one that does not say that it is so. `run` is
    its `run.json`, of which any part may lack."""
    if run.get("complete") is not False:
        return None
    try:
        plan = plan_in(run)
    except StoreError:
        plan = None
    held = Counter((row.model, row.contract) for row in rows if row.failure is None)
    if not plan or held.total() >= size(plan):  # the plan of joined shards has those that are there
        return "cases that the run was to hold are missing or failed"
    return _of(plan, held)


def _of(plan: Plan, held: Counter[tuple[str, str]]) -> str:
    text = f"{held.total():,} of {size(plan):,} episodes are there"
    cells = dict.fromkeys((one.model, one.contract) for one in plan)
    if empty := [
        f"{model} in {contract}" for model, contract in cells if not held.get((model, contract))
    ]:
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        text += f", none of {', '.join(empty[:SHOWN])}{more}"
    return f"{text}; short episodes end first, so that figures are not those of the whole run"
