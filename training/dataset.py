"""Traces as training examples: the very ids that evaluation feeds and generates.

Both go through `Trajectory.messages()` and `okrt.models.rendering`; where a completion's ids are
known, they are what is trained on. `read_pairs` reads a traces folder, `select` makes the examples
of one regime, `encode` makes one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Protocol

from okrt.errors import UsageError
from okrt.models.rendering import (
    ChatTokenizer,
    encode_conversation,
    end_of_turn_id,
    template_options,
)
from okrt.store import Problem, read_episodes
from okrt.types import Episode, Message, Thinking, Trajectory
from training.traces import (
    COLLECT,
    CONTRACTS,
    ContractName,
    Record,
    TraceSettings,
    TrainSplit,
    episode_digest,
    read_record,
    traces_digest,
)

IGNORED = -100
"""The label of a token that carries no loss (PyTorch's `ignore_index`)."""

Regime = Literal["persistent", "stateless", "mixed"]
Match = Literal["episodes", "tokens"]
MATCHES: tuple[Match, ...] = ("episodes", "tokens")


class TrainableTokenizer(ChatTokenizer, Protocol):
    """What is asked of a tokenizer whose chat template a checkpoint will carry."""

    def get_chat_template(self) -> str:
        """Returns the template. Raises: ValueError where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """The accepted traces of a folder: the same tasks in the same order under both contracts."""

    persistent: tuple[Episode, ...]
    stateless: tuple[Episode, ...]
    digest: str
    """As `collect.json` states it; reading verified it."""
    settings: TraceSettings

    def __len__(self) -> int:
        return len(self.persistent)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training example; both tuples have the same length."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The ids of the replies and of the tokens that end them; `IGNORED` elsewhere."""

    @property
    def loss_tokens(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Selection:
    """The examples of one regime."""

    episodes: tuple[Episode, ...]
    """In task order; of a mixed set persistent first, then stateless, task by task."""
    encoded: tuple[Encoded, ...]
    """The example of each episode."""
    refused: int
    """Tasks left out because a trace of theirs, under either contract, is over-long."""
    cut: int
    """Episodes left out by matching in tokens."""
    loss_tokens: int
    """Tokens of the examples that carry loss."""
    whole_loss_tokens: Mapping[ContractName, int]
    """The same of each contract's whole set, before matching."""


def read_pairs(folder: Path, split: TrainSplit = "train") -> Pairs:
    """Returns the accepted pairs of a traces folder, in seed order.

    Raises:
        UsageError: it is no traces folder; collecting has not ended; its tasks are of another
            split, those of evaluation above all; a trace is damaged, missing or not what
            `collect.json` says.
    """
    record = read_record(folder)
    if record.settings.split != split:
        raise UsageError(f"{folder} holds tasks of split {record.settings.split!r}, not {split!r}")
    survey = record.survey
    if not survey.complete:
        raise UsageError(
            f"{folder} is unfinished ({survey.accepted} of {record.pairs} pairs when it was last "
            "left in order): run the command that made it again, or with fewer --pairs"
        )
    found = {name: _read_accepted(folder / name, name, record) for name in CONTRACTS}
    seeds = sorted(found["persistent"])
    if not seeds:
        raise UsageError(f"{folder} holds no accepted pair; collect again with other tasks")
    unpaired = set(found["persistent"]) ^ set(found["stateless"])
    if unpaired:
        raise UsageError(
            f"{folder}: seed {min(unpaired)} has a trace under one contract only "
            f"({len(unpaired)} in all); run the command that made it again"
        )
    persistent, stateless = ([found[name][seed] for seed in seeds] for name in CONTRACTS)
    pairs = zip(persistent, stateless, strict=True)
    digest = traces_digest((episode_digest(one), episode_digest(other)) for one, other in pairs)
    if digest != survey.digest:
        raise UsageError(
            f"{folder}: the traces are not those that {COLLECT} describes (digest {digest}, "
            f"recorded {survey.digest}); collect into a new folder"
        )
    return Pairs(tuple(persistent), tuple(stateless), digest, record.settings)


def _read_accepted(path: Path, contract: ContractName, record: Record) -> dict[int, Episode]:
    """Returns a run directory's accepted episodes by seed."""
    first = record.settings.first_seed
    episodes: dict[int, Episode] = {}
    for found in read_episodes(path):
        if isinstance(found, Problem):
            if found.kind == "corrupt":
                raise UsageError(f"{found.message}; collect into a new folder")
            continue  # half written: its pair is not in, or is found missing
        task = found.task
        if task.split != record.settings.split or found.contract != contract:
            raise UsageError(
                f"{path}: episode {found.id} is of {task.id} under {found.contract!r}; only tasks "
                f"of split {record.settings.split!r} under {contract!r} belong here"
            )
        if task.seed in episodes:
            raise UsageError(f"{path}: two episodes of {task.id}; collect into a new folder")
        tried = first <= task.seed < first + record.survey.tried
        if tried and task.id not in record.survey.refused:
            episodes[task.seed] = found
    return episodes


def select(
    pairs: Pairs,
    contract: Regime,
    match: Match,
    tokenizer: TrainableTokenizer,
    max_length: int | None = None,
) -> Selection:
    """Returns the examples to train one regime on.

    A task whose trace under either contract is longer than `max_length` tokens is left out of all
    regimes, so that all see the same tasks in the same order. With `match="episodes"` nothing else
    is left out. With `match="tokens"` no regime has more loss-bearing tokens than the smaller of
    the two contracts' whole sets: episodes (of a mixed set: pairs) are taken in task order up to
    the last with which that holds, so that a cut set is the beginning of the whole one.

    Raises:
        UsageError: no pairs, or none that is short enough; the regime is mixed and the prompts do
            not tell the contracts apart; the template cannot be trained on.
    """
    if contract == "mixed" and pairs.settings.episode.cue != "true":
        raise UsageError(
            "a mixed set needs prompts that say which contract holds: collect with --cue true"
        )
    _check_markers(tokenizer)
    if not pairs:
        raise UsageError("there are no pairs to train on; collect some")
    both = _encode_pairs(pairs, tokenizer, max_length)
    whole: dict[ContractName, int] = {
        name: sum(pair[place][1].loss_tokens for pair in both)
        for place, name in enumerate(CONTRACTS)
    }
    groups = [pair if contract == "mixed" else (pair[CONTRACTS.index(contract)],) for pair in both]
    kept = groups
    if match == "tokens":
        sums = accumulate(sum(example.loss_tokens for _, example in group) for group in groups)
        kept = groups[: sum(total <= min(whole.values()) for total in sums)]
    if not kept:
        raise UsageError('matching in tokens leaves no episode; match = "episodes" leaves all')
    examples = [one for group in kept for one in group]
    return Selection(
        episodes=tuple(episode for episode, _ in examples),
        encoded=tuple(example for _, example in examples),
        refused=len(pairs) - len(both),
        cut=sum(map(len, groups)) - len(examples),
        loss_tokens=sum(example.loss_tokens for _, example in examples),
        whole_loss_tokens=whole,
    )


_Example = tuple[Episode, Encoded]


def _encode_pairs(
    pairs: Pairs, tokenizer: ChatTokenizer, max_length: int | None
) -> list[tuple[_Example, _Example]]:
    """Returns the pairs of which neither trace is over-long, encoded."""
    both: list[tuple[_Example, _Example]] = []
    thinking = pairs.settings.episode.thinking
    shortest: int | None = None
    for episodes in zip(pairs.persistent, pairs.stateless, strict=True):
        one, other = (
            (episode, encode(_trajectory(episode), tokenizer, thinking=thinking))
            for episode in episodes
        )
        longest = max(len(one[1].input_ids), len(other[1].input_ids))
        if max_length is None or longest <= max_length:
            both.append((one, other))
        shortest = longest if shortest is None else min(shortest, longest)
    if not both:
        raise UsageError(
            f"none of the {len(pairs)} pairs fits into {max_length} tokens (the shortest needs "
            f"{shortest}): raise max_length"
        )
    return both


def _trajectory(episode: Episode) -> Trajectory:
    if episode.trajectory is None:
        raise UsageError(f"episode {episode.id} was broken off; collect again")
    return episode.trajectory


_MARKER = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


def _check_markers(tokenizer: TrainableTokenizer) -> None:
    """Raises UsageError unless the chat template marks what a model generates."""
    try:
        marked = _MARKER.search(tokenizer.get_chat_template())
    except ValueError:  # it has none
        marked = None
    if not marked:
        raise UsageError(
            "the tokenizer's chat template has no generation markers; train with "
            "okrt.models.template.chat_template()"
        )


def encode(
    trajectory: Trajectory,
    tokenizer: ChatTokenizer,
    *,
    thinking: Thinking = "off",
    max_length: int | None = None,
) -> Encoded:
    """Returns the example of one trajectory, whole.

    Args:
        trajectory: with at least one turn.
        tokenizer: with the chat template that the checkpoint will carry.
        thinking: as evaluation is told.
        max_length: the longest example that is taken, in tokens. None: any.

    Raises:
        UsageError: longer than `max_length`; or the template rewrites replies, or ends them with no
            token of its own; or the tokenizer melts a reply's ends into what stands beside them.
    """
    options = template_options(thinking, trajectory.function)
    messages = trajectory.messages()
    encoding = encode_conversation(
        tokenizer,
        messages,
        [turn.completion for turn in trajectory.turns],
        add_generation_prompt=False,
        template_kwargs=options,
    )
    end = end_of_turn_id(tokenizer, options)
    replies = encoding.replies or _replies_by_prefix(tokenizer, messages, encoding.ids, options)
    if replies is None or any(encoding.ids[stop : stop + 1] != (end,) for _, stop in replies):
        raise UsageError(
            "the tokenizer with its chat template does not keep each reply as it is, with an end "
            "token behind it; train with okrt.models.template.chat_template()"
        )
    length = len(encoding.ids)
    if max_length is not None and length > max_length:
        raise UsageError(f"the trajectory has {length} tokens, the limit is {max_length}; not cut")
    labels = [IGNORED] * length
    for start, stop in replies:
        labels[start : stop + 1] = encoding.ids[start : stop + 1]
    return Encoded(encoding.ids, tuple(labels))


def _replies_by_prefix(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message],
    ids: tuple[int, ...],
    options: Mapping[str, Any],
) -> tuple[tuple[int, int], ...] | None:
    """Returns start and end of each reply in the ids of a text that cannot be read in pieces.

    Such a tokenizer (SentencePiece's space before a text) reads the text up to a place as it reads
    it in the whole, unless a token spans the place: so the ids up to a reply must be those that
    evaluation feeds at that turn. None where they are not, or the template does not only append.
    """
    chat = [{"role": message.role, "content": message.content} for message in messages]
    replies = []
    for place, message in enumerate(messages):
        if message.role != "assistant":
            continue
        fed = tokenizer.apply_chat_template(
            chat[:place], tokenize=False, add_generation_prompt=True, **options
        )
        start = tuple(tokenizer.encode(fed, add_special_tokens=False))
        stop = tuple(tokenizer.encode(fed + message.content, add_special_tokens=False))
        if ids[: len(stop)] != stop or stop[: len(start)] != start:
            return None
        replies.append((len(start), len(stop)))
    return tuple(replies)
