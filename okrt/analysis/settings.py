"""The settings that figures hold for, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from okrt.analysis.brief import Brief
from okrt.analysis.pairing import SETTINGS
from okrt.types import Settings


def unusual(rows: Iterable[Brief], apart: Collection[str] = ()) -> list[str]:
    """Returns the tool cap, and each setting that is not that of a run of which none was given;
    none of those in `apart`. `["tool cap 25", "cue true"]`."""
    kept, usual = list(rows), Settings()
    told = []
    for name in ("tool_cap", *(name for name in SETTINGS if name != "tool_cap")):
        if name in apart or not hasattr(usual, name):
            continue
        values = {as_text(getattr(row, name)) for row in kept}
        values -= {as_text(getattr(usual, name))}
        if values:
            shown = " and ".join(sorted(values, key=lambda text: (len(text), text)))
            told.append(f"{name.replace('_', ' ')} {shown}")
    return told


def as_text(value: Any) -> str:
    """Returns the value of a setting, in a list of a file or a tuple alike."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
