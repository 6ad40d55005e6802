"""What pytest's JUnit file, and other readers of reports, learn of an episode: plain strings."""

from __future__ import annotations

from okrt.analysis.rows import row
from okrt.types import Episode

FIELDS = (
    "episode_id", "model", "runtime", "tier", "seed", "repeat", "ending", "score",
    "relative_score", "solved", "turns", "completion_tokens", "new_tokens", "total_tokens",
    "missing_variable_errors", "lost_errors",
)  # fmt: skip
"""Of the row. Never text that a model wrote: these files are read by many."""


def properties(episode: Episode) -> list[tuple[str, str]]:
    """Returns names, such as `okrt_score`, and values; what was not measured is left out."""
    found = row(episode)
    values = [(f"okrt_{name}", getattr(found, name)) for name in FIELDS]
    if found.failure is not None:
        values.append(("okrt_failure", found.failure.boundary))
    return [(name, _text(value)) for name, value in values if value is not None]


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
