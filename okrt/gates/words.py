"""A decision as lines of text, and as `gates.json` (docs/format.md)."""

from __future__ import annotations

from typing import Any

from okrt.gates.decision import Baseline, Decision
from okrt.gates.judge import Judged
from okrt.report.plain import one_line

SCHEMA = 1
SHOWN = 5
"""Of what lacks, the lines that are printed; the rest is counted."""


def lines(decision: Decision) -> list[str]:
    """Returns one line a gate, what lacks, and the verdict in words; safe to show."""
    shown = [_line(one) for one in decision.gates]
    shown += [
        f"{one.verdict:<14}{one_line(f'{one.name}: {one.reason}', 500)}"
        for one in decision.conditions
        if one.verdict != "pass"
    ]
    told = [*(gate.reason for gate in decision.gates), decision.words]
    lacks = [line for line in decision.incomplete if not any(line in one for one in told)]
    shown += [f"{'':<14}{one_line(line, 500)}" for line in lacks[:SHOWN]]
    if len(lacks) > SHOWN:
        shown.append(f"{'':<14}and {len(lacks) - SHOWN} more")
    return [*shown, f"gates: {one_line(decision.words, 1_000)}"]


def _line(one: Judged) -> str:
    where = f" ({one.where})" if one.where is not None else ""
    against = f" against {one.against}" if one.against is not None else ""
    text = f"{one.gate.name}{where}: {one.gate.metric.name}{against}: {one.reason}"
    return f"{one.verdict:<14}{one_line(text, 500)}"


def as_json(decision: Decision) -> dict[str, Any]:
    """Returns the content of `gates.json`."""
    return {
        "schema": SCHEMA,
        "verdict": decision.verdict,
        "words": decision.words,
        "file": decision.file.name,
        "file_digest": decision.file.digest,
        "baseline": _baseline(decision.baseline),
        "incomplete": list(decision.incomplete),
        "conditions": [
            {"name": one.name, "verdict": one.verdict, "reason": one.reason}
            for one in decision.conditions
        ],
        "gates": [_gate(one) for one in decision.gates],
    }


def _baseline(one: Baseline | None) -> dict[str, Any] | None:
    if one is None:
        return None
    run = {name: one.run.get(name) for name in ("created", "commit", "okrt")}
    return {"name": one.name, "run": run, "digest": one.digest}


def _gate(one: Judged) -> dict[str, Any]:
    gate, where = one.gate, one.where
    return {
        "name": gate.name,
        "metric": gate.metric.name,
        "model": gate.model if where is None else where.model,
        "runtime": gate.contract if where is None else where.contract,
        "tier": gate.tier if where is None else where.tier,
        "against": one.against,
        "kind": gate.kind,
        "limit": gate.limit,
        "verdict": one.verdict,
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "level": gate.level,
        "method": one.method,
        "n": one.n,
        "reason": one.reason,
        "why": gate.why,
    }
