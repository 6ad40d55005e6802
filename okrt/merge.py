"""Joins runs of one work, such as its shards, into one run directory.

What is kept of a run while others are read is where its episodes lie; the episodes themselves are
copied one by one. Nothing depends on the order in which the runs are named, and joining what was
joined before changes no episode and no row.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import msgspec

from okrt.analysis.rows import Row, row
from okrt.errors import StoreError
from okrt.index import (
    Place,
    Shard,
    missing_shards,
    places,
    plan_in,
    read_line,
    read_place,
    shards_in,
)
from okrt.plan import Key, Plan, axis_words, differences, keys_of, plan_of, size
from okrt.report.directory import derive
from okrt.store import (
    EPISODES,
    Problem,
    check_new,
    check_run,
    decode_episode,
    read_run,
    write_run,
)
from okrt.types import ModelCard, Settings

Progress = Callable[[str], None]
"""Is told now and then what has been done."""

_SESSION = ("created", "arguments", "versions", "machine", "sandbox", "commit")
_EVERY = 256


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of it."""

    finished: int
    """Episodes that no infrastructure broke off."""
    failed: int
    planned: int
    missing_shards: tuple[str, ...]
    complete: bool
    left_out: tuple[str, ...]
    """Half-written last lines."""


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    run: dict[str, Any]
    plan: Plan
    shards: frozenset[Shard]
    """None of a run that is whole."""


@dataclass(frozen=True, slots=True)
class _Held:
    path: Path
    place: Place


@dataclass(slots=True)
class _Found:
    """Of all runs, what is taken up, by episode id; by run, its models; and what is left out."""

    episodes: dict[str, _Held] = field(default_factory=dict)
    models: dict[Path, dict[str, dict[str, Any]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def merge(runs: Sequence[Path], out: Path, progress: Progress = lambda text: None) -> Merged:
    """Writes what the runs hold together as a run directory, all of it or nothing.

    Raises:
        StoreError: the runs are no parts of one work; one is damaged; `out` holds files already or
            cannot be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise StoreError(f"{out} is not empty; name another --out")
    check_new(out)
    parts = [_part(path) for path in runs]
    _check_settings(parts)
    sources = _sources(parts)
    found = _find(parts, progress)
    models = _one_of_each(found.models)
    order = sorted(found.episodes.values(), key=lambda held: (held.place.key, held.place.id))
    _check_keys(order)
    plan = plan_of(chain.from_iterable(keys_of(part.plan) for part in parts))
    shards = _shards(parts)
    finished = {held.place.key for held in order if not held.place.failed}
    missing = missing_shards(shards)
    complete = not missing and finished.issuperset(keys_of(plan))
    made = {"models": models, "sources": sources, "plan": plan, "complete": complete}
    run = {**_run_file(parts, shards), **made}
    with _beside(out) as beside:
        write_run(beside, run)
        derive(beside, _copy(beside, order, progress), read_run(beside))
    return Merged(
        finished=len(finished),
        failed=len(order) - len(finished),
        planned=size(plan),
        missing_shards=missing,
        complete=complete,
        left_out=tuple(found.left_out),
    )


def _shards(parts: Sequence[_Part]) -> frozenset[Shard]:
    """Returns the shards by which to tell what is missing: not those whose work a run that is whole
    holds as well, and says what there must be of it."""
    whole = {key for part in parts if not part.shards for key in keys_of(part.plan)}
    cut = [part for part in parts if part.shards and not whole.issuperset(keys_of(part.plan))]
    return frozenset[Shard]().union(*(part.shards for part in cut))


def _part(path: Path) -> _Part:
    run = read_run(path)
    check_run(path, run)
    try:
        plan = plan_in(run)
        known = shards_in(run)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None
    if plan is None:
        raise StoreError(f"{path} does not say what it must hold: it has no run.json with a plan")
    run.pop("manifest", None)
    return _Part(path, run, plan, known)


def _check_settings(parts: Sequence[_Part]) -> None:
    """Settings that came later than a run stand at what they were by default."""
    first, *others = parts
    for other in others:
        _refuse_differences(first.path, _identity(first), other.path, _identity(other))


def _sources(parts: Sequence[_Part]) -> dict[str, str]:
    """Returns the digests of the users' own runtimes, models and families in all parts.

    Raises:
        StoreError: one has another source in one part than in another.
    """
    known: dict[str, tuple[Path, str]] = {}
    for part in parts:
        for name, digest in (part.run.get("sources") or {}).items():
            one, first = known.setdefault(name, (part.path, digest))
            if digest != first:
                raise StoreError(
                    f"{one} and {part.path} are no parts of one work: the source of {name} changed "
                    "between them; run one of them anew"
                )
    return {name: known[name][1] for name in sorted(known)}


def _identity(part: _Part) -> dict[str, Any]:
    try:
        settings = msgspec.convert(part.run.get("settings", {}), Settings)
    except msgspec.ValidationError as error:
        raise StoreError(f"{part.path}: run.json is damaged: settings: {error}") from None
    return {
        "okrt": part.run.get("okrt"),
        "salt": part.run.get("salt"),
        "settings": msgspec.to_builtins(settings),
        "axes": part.run.get("axes") or {},
    }


def _refuse_differences(
    one: Path, first: dict[str, Any], other: Path, second: dict[str, Any]
) -> None:
    if found := differences(first, second):
        raise StoreError(f"{one} and {other} are no parts of one work: {'; '.join(found)}")


def _find(parts: Sequence[_Part], progress: Progress) -> _Found:
    found = _Found()
    for part in parts:
        models = found.models[part.path] = dict(part.run.get("models") or {})
        for one in places(part.path):
            if isinstance(one, Problem):
                if one.kind == "corrupt":
                    raise StoreError(f"{one.message}; nothing was merged")
                found.left_out.append(one.message)
                continue
            if one.key.model not in models:  # an earlier version did not write it down
                models[one.key.model] = _facts(read_place(part.path, one).model)
            new = _Held(part.path, one)
            held = found.episodes.get(one.id)
            found.episodes[one.id] = new if held is None else _better(held, new)
            if len(found.episodes) % _EVERY == 0:
                progress(f"{len(found.episodes):,} episodes found")
    return found


def _facts(card: ModelCard) -> dict[str, Any]:
    names = ("spec", "kind", "digest", "tokenizer", "trained_under")
    return {name: getattr(card, name) for name in names}


def _one_of_each(models: dict[Path, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Returns what is known of each model, by its label.

    Raises:
        StoreError: two runs have different models under one label.
    """
    known: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, labelled in models.items():
        for label, facts in labelled.items():
            one, first = known.setdefault(label, (path, facts))
            _refuse_differences(
                one, {label: _without_place(first)}, path, {label: _without_place(facts)}
            )
            known[label] = min((one, first), (path, facts), key=lambda pair: _text(pair[1]))
    return {label: known[label][1] for label in sorted(known)}


def _without_place(facts: dict[str, Any]) -> dict[str, Any]:
    """Returns what names a model wherever it lies, as `okrt.run.episode_id` has it."""
    spec = str(facts.get("spec"))
    name = spec.partition("@")[0] if facts.get("kind") == "server" else spec
    same = {key: facts.get(key) for key in ("kind", "digest", "tokenizer", "trained_under")}
    return same if facts.get("digest") else {**same, "spec": name}


def _better(one: _Held, other: _Held) -> _Held:
    """Returns which of two records of an episode is kept: that of the end that it came to, else
    the one that is first in the alphabet, whichever was named first.

    Raises:
        StoreError: it came to two different ends.
    """
    if one.place.failed != other.place.failed:
        return other if one.place.failed else one
    lines = [read_line(held.path, held.place) for held in (one, other)]
    if lines[0] == lines[1]:
        return one
    if not one.place.failed and _content(lines[0]) != _content(lines[1]):
        raise StoreError(
            f"{one.path} and {other.path} hold different episodes {one.place.id} "
            f"({_named(one.place.key)}): two runs of the same thing, not parts of one"
        )
    return one if lines[0] < lines[1] else other


def _content(line: bytes) -> dict[str, Any]:
    """Returns an episode without what no two runs share, and without where its model lay."""
    episode: dict[str, Any] = msgspec.to_builtins(decode_episode(line))
    for turn in (episode["trajectory"] or {}).get("turns", ()):
        del turn["timing"]
    del episode["timing"], episode["model"]
    return episode


def _check_keys(order: Sequence[_Held]) -> None:
    for one, other in pairwise(order):
        if one.place.key == other.place.key:
            raise StoreError(
                f"{one.path} and {other.path} hold {_named(one.place.key)} as {one.place.id} and "
                f"as {other.place.id}: with other prompts, tasks or models"
            )


def _named(key: Key) -> str:
    name = f"{key.model}, {key.contract}, {key.family}/{key.tier}/{key.split}/{key.seed}"
    name = ", ".join([name, *axis_words(key[7:])])
    return f"{name}, repeat {key.repeat}" if key.repeat else name


def _run_file(parts: Sequence[_Part], shards: frozenset[Shard]) -> dict[str, Any]:
    """Returns what `run.json` says of how the runs came about: of all sessions, and above them of
    the first."""
    told = [session for part in parts for session in _sessions(part.run)]
    by_text = {_text(session): session for session in told}
    sessions = [by_text[text] for text in sorted(by_text)]
    sessions.sort(key=lambda session: str(session.get("created")))
    return {
        **_identity(parts[0]),
        **{name: sessions[0][name] for name in _SESSION if name in sessions[0]},
        "sessions": sessions,
        "shard": None,
        "shards": [f"{number}/{count}" for number, count in sorted(shards, key=lambda s: s[::-1])],
    }


def _sessions(run: dict[str, Any]) -> list[dict[str, Any]]:
    alone = {name: run[name] for name in _SESSION if name in run}
    return list(run.get("sessions") or [alone])


def _text(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _copy(out: Path, order: Sequence[_Held], progress: Progress) -> Iterator[Row]:
    """Writes the episodes and yields their rows.

    Raises:
        StoreError: a line is no episode, or not all were run with the same prompts and tasks.
        OSError: the disk is full.
    """
    used: dict[tuple[str, str, str, int, str], tuple[Path, dict[str, Any]]] = {}
    with (out / EPISODES).open("wb") as file:
        for number, held in enumerate(order):
            line = read_line(held.path, held.place)
            file.write(line)
            try:
                episode = decode_episode(line)
            except StoreError as error:
                raise StoreError(f"{held.path}: episode {held.place.id}: {error}") from None
            made = row(episode)
            texts = {"prompt_digest": made.prompt_digest, "task version": episode.task.version}
            where = (made.family, made.tier, made.contract, made.tool_cap, made.cue)
            one, first = used.setdefault(where, (held.path, texts))
            _refuse_differences(one, first, held.path, texts)
            if number % _EVERY == 0:
                progress(f"{number:,} of {len(order):,} episodes written")
            yield made


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Makes a directory beside `out` that takes its place at the end, and goes if none comes."""
    out = out.resolve()
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        yield beside
        beside.rename(out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}; name another --out") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
