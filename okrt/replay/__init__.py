"""Recorded blocks, run again under another contract or cap: what of an episode still holds."""

from okrt.replay.nouns import Demand, Replay, ReplayedTurn
from okrt.replay.replaying import replay

__all__ = ["Demand", "Replay", "ReplayedTurn", "replay"]
