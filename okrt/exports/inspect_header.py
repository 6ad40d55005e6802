"""What an Inspect AI log says of all its samples: one cell, a model in a runtime on one tier.

Source: the log format of inspect_ai 0.3, version 2 (`EvalLog` without its samples).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from okrt.analysis.brief import Brief
from okrt.analysis.cells import AXES, Cell, tables
from okrt.analysis.stats import Estimate
from okrt.exports.inspect_sample import SCORES, digest, sample_id
from okrt.report.tables import MEANING
from okrt.types import Episode

FORMAT = 2
"""`LOG_SCHEMA_VERSION` of inspect_ai 0.3."""
_SCRIPTED = "scripted expert: checks the harness and is no evidence about models"


@dataclass(slots=True)
class Log:
    """What is gathered of a cell while its samples are written."""

    first: Episode
    run: Mapping[str, Any]
    """`run.json`."""
    run_id: str
    created: datetime
    planned: int
    """Episodes that the run was to hold of the cell; 0 where it does not say."""
    briefs: list[Brief] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    measured: int = 0
    """Episodes whose tokens are in `used`."""

    @property
    def eval_id(self) -> str:
        axes = [f"{name}={getattr(self.briefs[0], name)}" for name in AXES]
        task = self.first.task
        cell = (task.family, task.tier, self.first.model.label, self.first.contract)
        return digest(self.run_id, *cell, *axes)

    @property
    def task(self) -> str:
        return f"okrt/{self.first.task.family}-{self.first.task.tier}"


def start(log: Log) -> dict[str, Any]:
    """Returns how the evaluation was set up."""
    return {"version": FORMAT, "eval": _spec(log), "plan": _plan(log)}


def header(log: Log) -> dict[str, Any]:
    """Returns the log without its samples, as JSON data.

    Its status is `error` where infrastructure broke episodes off, else `cancelled` where some of
    the plan are missing, else `success`.
    """
    broken = sum(brief.failure is not None for brief in log.briefs)
    ended = len(log.briefs) - broken
    total = max(log.planned, len(log.briefs))
    status = "error" if broken else "cancelled" if total > ended else "success"
    head: dict[str, Any] = {**start(log), "status": status}
    head["results"] = {
        "total_samples": total,
        "completed_samples": ended,
        "scores": _scores(log.briefs),
        "metadata": {"meaning": list(MEANING)},
    }
    created = log.created.isoformat()
    head["stats"] = {"started_at": created, "completed_at": "", "model_usage": {}}
    if broken:
        said = f"infrastructure broke off {broken} of {len(log.briefs)} episodes"
        head["error"] = {"message": said, "traceback": said, "traceback_ansi": said}
    if log.measured and log.measured == ended:
        head["stats"]["model_usage"] = {log.first.model.label: dict(log.used)}
    return head


def created(run: Mapping[str, Any], fallback_s: float) -> datetime:
    """Returns when a run began; where `run.json` does not say it, the fallback, seconds of Unix."""
    try:
        said = datetime.fromisoformat(str(run.get("created")))
    except ValueError:
        said = datetime.fromtimestamp(int(fallback_s), UTC)
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def _spec(log: Log) -> dict[str, Any]:
    first, run = log.first, log.run
    task, card, settings = first.task, first.model, first.settings
    ids = sorted({sample_id(brief) for brief in log.briefs})
    asked = {"runtime": first.contract, "family": task.family, "tier": task.tier}
    asked |= {name: value for name in AXES if (value := _axis(log, name)) is not None}
    conditions = {
        "okrt": run.get("okrt"),
        "arguments": run.get("arguments"),
        "commit": run.get("commit"),
        "prompt_digest": first.prompt_digest,
        "trained_under": card.trained_under,
        "note": _SCRIPTED if card.spec.startswith("expert:") else None,
    }
    return {
        "eval_id": log.eval_id,
        "run_id": log.run_id,
        "created": log.created.isoformat(),
        "task": log.task,
        "task_id": digest(log.eval_id, "task"),
        "task_version": task.version,
        "task_args": asked,
        "task_args_passed": asked,
        "solver": "okrt",
        "tags": ["okrt", first.contract],
        "dataset": {
            "name": f"{task.family}/{task.tier}/{task.split}",
            "samples": len(ids),
            "sample_ids": ids,
            "shuffled": False,
        },
        "model": card.label,
        "model_generate_config": _generation(first),
        "model_args": msgspec.to_builtins(card),
        "config": {
            "epochs": max((brief.repeat for brief in log.briefs), default=0) + 1,
            "turn_limit": settings.max_turns,
            "token_limit": settings.token_budget,
            "fail_on_error": False,
        },
        "packages": {k: str(v) for k, v in (run.get("versions") or {}).items() if v is not None},
        "metadata": {k: v for k, v in conditions.items() if v is not None},
        "scorers": [{"name": name} for name in SCORES],
    }


def _axis(log: Log, name: str) -> Any:
    return getattr(log.briefs[0], name) if log.briefs else None


def _plan(log: Log) -> dict[str, Any]:
    settings = msgspec.to_builtins(log.first.settings)
    step = {"solver": "okrt", "params": settings, "params_passed": settings}
    return {"name": "okrt", "steps": [step], "config": _generation(log.first)}


def _generation(episode: Episode) -> dict[str, Any]:
    settings = episode.settings
    return {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens}


def _scores(briefs: Sequence[Brief]) -> list[dict[str, Any]]:
    (table,) = tables(briefs)
    (cell,) = table.cells.values()
    return [
        {
            "name": name,
            "scorer": name,
            "scored_samples": scored,
            "unscored_samples": len(briefs) - scored,
            "metrics": _metrics(name, estimate),
        }
        for name, estimate, scored in _estimates(cell, briefs)
    ]


def _estimates(cell: Cell, briefs: Sequence[Brief]) -> list[tuple[str, Estimate, int]]:
    def count(name: str) -> int:
        return sum(getattr(brief, name) is not None for brief in briefs)

    limits = cell.censored_share
    finished = None if limits is None else 1 - limits
    plain = Estimate(finished, None, None, cell.score.level, "none: not made", cell.tasks, "none")
    found = (
        (cell.score, "score"),
        (cell.relative_score, "relative_score"),
        (cell.solved, "solved"),
        (cell.lost_rate, "lost_errors"),
        (cell.missing_variable_rate, "missing_variable_errors"),
        (plain, "ending"),
    )
    return [
        (name, estimate, count(field))
        for name, (estimate, field) in zip(SCORES, found, strict=True)
    ]


def _metrics(name: str, estimate: Estimate) -> dict[str, Any]:
    """A mean over tasks, with its interval as metadata; of relative scores a ratio of sums."""
    if estimate.value is None:
        return {}
    metric = "ratio_of_sums" if name == "relative_score" else "mean"
    shown = {key: getattr(estimate, key) for key in ("low", "high", "level", "method", "n")}
    return {metric: {"name": metric, "value": estimate.value, "metadata": shown}}
