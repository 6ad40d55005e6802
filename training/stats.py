"""The trace table of a folder: what the traces of either contract cost and are worth.

Source: the figures that arXiv 2603.01209 gives of its teacher's traces: tokens of an episode are
prompt and completion summed over turns, the history counted again each turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean

from okrt.analysis.rows import row
from okrt.errors import UsageError
from okrt.models.checkpoint import tokenizer_digest
from okrt.types import Episode
from training.counting import load_tokenizer
from training.dataset import IGNORED, Encoded, Pairs, encode, read_pairs
from training.traces import CONTRACTS, Survey, read_record


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one episode, or of several."""

    total: int
    completion: int
    """Generated; in an example, these carry loss."""


CountEpisode = Callable[[Episode], Tokens]


def trace_table(folder: Path, tokenizer: Path | None = None) -> str:
    """Returns the table of a traces folder, with the ratio of stateless to persistent.

    Args:
        folder: a traces folder, of either split.
        tokenizer: a directory whose tokenizer counts; None: the counts that the episodes carry.

    Raises:
        UsageError: see `training.dataset.read_pairs`; or there is no tokenizer.
    """
    record = read_record(folder)
    pairs = read_pairs(folder, record.settings.split)
    count: CountEpisode = recorded_tokens
    name = pairs.persistent[0].model.tokenizer
    if tokenizer is not None:
        count, name = _tokenizer_count(tokenizer), tokenizer_digest(tokenizer)
    settings = record.settings
    lines = [
        f"{settings.family} {settings.tier}, split {settings.split}, arm {settings.arm or '-'}: "
        f"{len(pairs)} pairs of {record.survey.tried} tasks",
        *_lines(figures(pairs, record.survey, count)),
        f"tokens counted by {name}",
    ]
    return "\n".join(lines) + "\n"


def figures(pairs: Pairs, survey: Survey, count: CountEpisode) -> dict[str, tuple[float, float]]:
    """Returns the figures by name, persistent first; means are over episodes."""
    by_contract = [_figures(episodes, count) for episodes in (pairs.persistent, pairs.stateless)]
    refused = [
        sum(bool(reasons[name]) for reasons in survey.refused.values()) for name in CONTRACTS
    ]
    for one, traces in zip(by_contract, refused, strict=True):
        one["traces refused"] = traces
    persistent, stateless = by_contract
    return {name: (persistent[name], stateless[name]) for name in persistent}


def _figures(episodes: tuple[Episode, ...], count: CountEpisode) -> dict[str, float]:
    rows = [row(episode) for episode in episodes]
    tokens = [count(episode) for episode in episodes]
    return {
        "episodes": len(rows),
        "tokens / episode": fmean(one.total for one in tokens),
        "completion tokens / episode": fmean(one.completion for one in tokens),
        "turns / episode": fmean(one.turns or 0 for one in rows),
        "tool calls / episode": fmean(one.tool_calls or 0 for one in rows),
        "optimality (mean score)": fmean(one.score or 0.0 for one in rows),
        "loss-bearing tokens": sum(one.completion for one in tokens),
    }


def recorded_tokens(episode: Episode) -> Tokens:
    """Returns the tokens that the episode's own model counted.

    Raises:
        UsageError: its model did not count.
    """
    found = row(episode)
    if found.total_tokens is None or found.completion_tokens is None:
        raise UsageError(f"the tokens of {episode.id} were not counted: give a --tokenizer")
    return Tokens(found.total_tokens, found.completion_tokens)


def example_tokens(example: Encoded) -> Tokens:
    """Returns the tokens of an episode from its training example.

    A turn reads what stands before its reply, and generates the reply with its end token.
    """
    total, place = 0, 0
    for ignored, run in groupby(label == IGNORED for label in example.labels):
        place += len(list(run))
        total += 0 if ignored else place
    return Tokens(total, example.loss_tokens)


def _tokenizer_count(folder: Path) -> CountEpisode:
    tokenizer = load_tokenizer(folder)

    def count(episode: Episode) -> Tokens:
        if episode.trajectory is None:
            raise UsageError(f"episode {episode.id} was broken off; collect again")
        return example_tokens(encode(episode.trajectory, tokenizer))

    return count


def _lines(found: dict[str, tuple[float, float]]) -> list[str]:
    lines = [f"{'':<28} {'persistent':>14} {'stateless':>14} {'ratio':>8}"]
    for name, (persistent, stateless) in found.items():
        ratio = f"{stateless / persistent:.2f}" if persistent else "-"
        lines.append(f"{name:<28} {_number(persistent):>14} {_number(stateless):>14} {ratio:>8}")
    return lines


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if value <= 1 else f"{value:,.1f}"
