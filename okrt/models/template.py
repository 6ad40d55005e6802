"""The chat template of ours: for checkpoints that bring none, and for all that okrt trains."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def chat_template() -> str:
    """Returns the Jinja text of the append-only template with generation markers."""
    return files("okrt.models").joinpath("chat_template.jinja").read_text(encoding="utf-8")
