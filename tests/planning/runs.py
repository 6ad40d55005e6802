"""Pilots of known values, for tests of `okrt plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.rows import Row, encode, row
from okrt.baselines.held import SAVED, RowsDigest
from okrt.store import write_rows, write_run
from tests.analysis.build import sample

ROW = row(sample())


def rows(
    model: str = "new", contract: str = "stateless", tier: str = "easy", **columns: Sequence[Any]
) -> list[Row]:
    """A row for each value of the columns, which are named as the fields of a row."""
    size = len(next(iter(columns.values())))
    return [
        replace(
            ROW,
            episode_id=f"{model}-{contract}-{tier}-{seed}",
            task_id=f"f/{tier}/eval/{seed}@1",
            model=model,
            contract=contract,
            tier=tier,
            seed=seed,
            timing={"model_s": 60.0, "sandbox_s": 30.0, "isolation": "T0"},
            **{name: column[seed] for name, column in columns.items()},
        )
        for seed in range(size)
    ]


def cell(
    model: str = "new", contract: str = "stateless", tier: str = "easy", **columns: Sequence[Any]
) -> list[Brief]:
    return list(briefs(rows(model, contract, tier, **columns)))


def saved(path: Path, *cells: list[Row]) -> Path:
    """A saved baseline, of which the rows alone were kept."""
    path.mkdir(parents=True)
    lines = [encode(one) for some in cells for one in some]
    digest = RowsDigest()
    for line in lines:
        digest.add(line)
    write_run(path, {SAVED: {"digest": digest.hexdigest()}})
    write_rows(path, lines)
    return path
