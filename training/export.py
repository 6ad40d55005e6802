"""A traces folder as a `datasets` folder, for trainers other than ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from okrt.errors import UsageError
from okrt.types import Episode
from training.dataset import read_pairs
from training.traces import TraceSettings, read_record


def export(folder: Path, target: Path) -> str:
    """Writes the accepted traces as a `datasets` folder; returns a line that says so.

    Rows stand in task order, persistent before stateless; `messages` is the conversation as roles
    and contents, which TRL reads with any chat template.

    Raises:
        UsageError: see `training.dataset.read_pairs`; or the target is there already, or cannot be
            written.
    """
    from datasets import Dataset, disable_progress_bars  # takes seconds: loaded to export alone

    disable_progress_bars()
    if target.exists():
        raise UsageError(f"{target} is there already: remove it or name another place")
    settings = read_record(folder).settings
    pairs = read_pairs(folder, settings.split)
    both = zip(pairs.persistent, pairs.stateless, strict=True)
    rows = [export_row(episode, settings) for pair in both for episode in pair]
    beside = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        Dataset.from_list(rows).save_to_disk(beside)
        beside.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error}; free or name another place") from None
    return f"{target}: {len(rows)} rows of {len(pairs)} tasks; digest {pairs.digest}"


def export_row(episode: Episode, settings: TraceSettings) -> dict[str, Any]:
    """Returns one row of plain data."""
    trajectory, outcome = episode.trajectory, episode.outcome
    if trajectory is None or outcome is None:
        raise UsageError(f"episode {episode.id} was broken off; collect again")
    return {
        "messages": [
            {"role": message.role, "content": message.content} for message in trajectory.messages()
        ],
        "contract": episode.contract,
        "task_id": episode.task.id,
        "episode_id": episode.id,
        "seed": episode.task.seed,
        "score": float(outcome.score),
        "turns": len(trajectory.turns),
        "model": episode.model.label,
        "arm": settings.arm,
        "cue": episode.settings.cue,
    }
