"""Whether a session may go on in a run directory: what it asks for is what the run was to hold.

Each check raises UsageError with one line that says what differs: the run's, then what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from okrt import plan, specs
from okrt.engines.finished import Finished
from okrt.errors import StoreError, UsageError
from okrt.plan import Key, Plan, case_id, differences, key_of, with_axes
from okrt.prompts import prompt_digest
from okrt.run import identity, name_of, unaddressed
from okrt.selection.cases import CaseSpec
from okrt.store import check_run
from okrt.types import Contract, Episode, ModelCard, Settings

_ASKED, _NOW = "{} there, {} asked for", "{} there, {} now"
SHOWN = 5
"""Differences that a line names; the rest is counted."""


def facts(card: ModelCard) -> dict[str, Any]:
    """Returns what `run.json` says of a model."""
    return {
        "spec": card.spec,
        "kind": card.kind,
        "digest": card.digest,
        "tokenizer": card.tokenizer,
        "trained_under": card.trained_under,
    }


def check_version(path: Path, run: Mapping[str, Any]) -> None:
    """Another version may play, or judge, the same case otherwise.

    Raises:
        StoreError: another schema.
    """
    check_run(path, run)
    old, new = {"okrt": run.get("okrt")}, {"okrt": metadata.version("okrt")}
    _refuse(path, "episodes of another version", differences(old, new, _NOW))


def check_settings(
    path: Path, run: Mapping[str, Any], settings: Settings, axes: Mapping[str, Sequence[Any]]
) -> None:
    """Settings that came later than the run stand at what they were by default. Values that are
    crossed may be named in another order."""
    try:
        old = msgspec.convert(run.get("settings", {}), Settings)
    except msgspec.ValidationError as error:
        raise StoreError(f"{path / 'run.json'} is damaged: settings: {error}") from None
    crossed = _crossed(run.get("axes") or {}), _crossed(axes)
    both = {axis: None for axis in crossed[0] if axis in crossed[1]}
    lines = differences({**identity(old), **both}, {**identity(settings), **both}, _ASKED)
    _refuse(path, "other settings", [*lines, *differences(*crossed, _ASKED)])


def _crossed(axes: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    return {axis: ", ".join(map(str, sorted(values))) for axis, values in axes.items()}


def check_salt(path: Path, run: Mapping[str, Any], salt: str | None) -> None:
    """Tasks of another salt are other tasks."""
    old = run.get("salt")
    if old != salt:
        has = f"private tasks of the salt {old}" if old else "public tasks"
        asked = f"the one given is {salt}" if salt else "none is given"
        remedy = f"give --okrt-salt the file of {old}" if old else "leave out --okrt-salt"
        _refuse(path, has, [f"{asked}: {remedy}" if old else remedy])


def check_shard(path: Path, run: Mapping[str, Any], shard: str | None) -> None:
    old = run.get("shard")
    if old != shard:
        told = [f"give --shard {old}" if old else f"it is whole: leave out --shard {shard}"]
        _refuse(path, f"shard {old or 'none'}", told)


def check_plan(path: Path, planned: Plan, wanted: Iterable[Key]) -> None:
    known = set(plan.keys_of(planned))
    strange = sorted(set(wanted) - known)
    if strange:
        first = case_id(strange[0], swept=plan.swept(planned))
        _refuse(path, f"{len(known)} cases", [f"{first} is asked for and not among them"])


def check_models(path: Path, run: Mapping[str, Any], cards: Mapping[str, ModelCard]) -> None:
    old = {label: _weighed(known) for label, known in run.get("models", {}).items()}
    new = {label: _weighed(facts(card)) for label, card in cards.items() if label in old}
    lines = differences({label: old[label] for label in new}, new, _NOW)
    overwritten = any(".digest: " in line for line in lines)
    what = "other models (an overwritten checkpoint is another model)"
    _refuse(path, what if overwritten else "other models", lines)


def _weighed(known: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what makes a model another one: weights may be moved, a server have another
    address."""
    spec = None if known.get("digest") else unaddressed(known["spec"], known["kind"])
    return {**known, "spec": spec}


def sources_of(
    path: Path,
    run: Mapping[str, Any],
    sources: Mapping[str, str],
    wanted: Iterable[Key],
    finished: Finished,
) -> dict[str, str]:
    """Returns the sources of a user's own runtimes, models and families, as `run.json` will have
    them: what has no episode yet may have been mended meanwhile.

    Raises:
        UsageError: one that has episodes, and is to have more, is of another source than those.
    """
    old: Mapping[str, str] = run.get("sources") or {}
    held = _named(finished)
    begun = held & _named(key for key in wanted if key not in finished)
    changed = [name for name, one in sources.items() if name in begun and old.get(name, one) != one]
    if changed:
        raise UsageError(
            f"cannot go on in {path}: the source of {', '.join(changed)} has changed since its "
            "episodes were run: begin a new run, or go back to the old source"
        )
    return {**old, **sources, **{name: one for name, one in old.items() if name in held}}


def _named(keys: Iterable[Key]) -> set[str]:
    """Returns the runtimes, models and families of episodes, as `sources` has them."""
    named = {(key.contract, key.model, key.family) for key in keys}
    kinds = ("runtime", "model", "family")
    return {f"{kind} {name}" for one in named for kind, name in zip(kinds, one, strict=True)}


def check_names(
    path: Path,
    finished: Finished,
    cards: Mapping[str, ModelCard],
    contracts: Iterable[Contract],
    settings: Settings,
) -> None:
    """Asks one episode of each model, contract, tier and value of an axis for its name: it would be
    another if the texts of the prompts were."""
    by_name = {contract.name: contract for contract in contracts}
    for key in _one_of_each(finished):
        if key.model in cards and key.contract in by_name:
            episode, contract = finished.read(key), by_name[key.contract]
            _check_name(path, episode, cards[key.model], contract, with_axes(settings, key))


def _check_name(
    path: Path, episode: Episode, card: ModelCard, contract: Contract, settings: Settings
) -> None:
    if episode.id == name_of(episode.task, episode.repeat, contract, card, settings):
        return
    prompt = prompt_digest(episode.task, contract, settings)
    lines = differences({"prompt_digest": episode.prompt_digest}, {"prompt_digest": prompt}, _NOW)
    _refuse(
        path,
        f"other prompts or models, {case_id(key_of(episode))}",
        lines or [f"{episode.id} has another id"],
    )


def check_tasks(path: Path, finished: Finished, cases: Iterable[CaseSpec]) -> None:
    """Makes one task of each family and tier anew: a task of another version is another task."""
    first = {(key.family, key.tier): key for key in finished}
    for case in cases:
        key = first.pop((case.family.name, case.tier), None)
        if key is not None:
            old = finished.read(key).task
            made = specs.make_task(case.family, old.seed, old.tier, old.split)
            _refuse(path, "other tasks", differences({"task": old.id}, {"task": made.id}, _NOW))


def _one_of_each(finished: Finished) -> list[Key]:
    """Returns the first key of each model, contract, tier and value of an axis."""
    found: dict[Key, Key] = {}
    for key in finished:
        found.setdefault(key._replace(split="", repeat=0, seed=0), key)
    return list(found.values())


def _refuse(path: Path, what: str, lines: list[str]) -> None:
    if lines:
        more = [f"{len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise UsageError(
            f"cannot go on in {path}: it holds {what}: {'; '.join(lines[:SHOWN] + more)}"
        )
