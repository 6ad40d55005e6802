"""The chat of an episode as others write it: a tool call apart from the content."""

from __future__ import annotations

from typing import Any

from okrt.exports.columns import clean
from okrt.models.calls import chat_message
from okrt.types import Episode


def chat(episode: Episode) -> list[dict[str, Any]] | None:
    """Returns the messages in the form of OpenAI's chat requests, as a server's model is sent them;
    None where infrastructure broke the episode off."""
    if episode.trajectory is None:
        return None
    found: list[dict[str, Any]] = clean([chat_message(m) for m in episode.trajectory.messages()])
    return found
