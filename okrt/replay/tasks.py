"""The task of a recorded episode, made anew and held against the record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from okrt import specs
from okrt.errors import SpecError
from okrt.index import Place, read_line
from okrt.store import Head, decode_head
from okrt.types import Task, TaskFamily


class _Recorded(Head):
    task: Task


_DECODER = msgspec.json.Decoder(_Recorded)


def family_of(task: Task, given: TaskFamily | None = None) -> TaskFamily:
    """Returns the family of a task: the one given, or the one that okrt knows by its name.

    Raises:
        SpecError: the one given has another name, or okrt knows none of that name.
    """
    if given is None and task.family not in specs.FAMILIES:
        raise SpecError(
            f"the episodes are of family {task.family!r}, which okrt does not know by name: "
            "give --family module:attribute"
        )
    found = specs.FAMILIES[task.family] if given is None else given
    if found.name != task.family:
        raise SpecError(f"the episodes are of family {task.family!r}, not {found.name!r}")
    return found


def check_task(task: Task, family: TaskFamily) -> None:
    """Finds out whether a family still generates a recorded task, byte for byte.

    A private task is drawn by a secret, which is not asked for: only its version is looked at.

    Raises:
        SpecError: the version is another today, or the task is; or the tier is gone.
        FamilyError: the family raised, or returned something else.
    """
    tier = specs.tier(task.tier, family)
    private = is_private(task)
    made = specs.make_task(family, 0 if private else task.seed, tier, task.split)
    if made.version != task.version:
        raise SpecError(
            f"{task.id}: {family.name} generates version {made.version} today, not version "
            f"{task.version}: replay it with the okrt that recorded it"
        )
    if not private and msgspec.json.encode(made) != msgspec.json.encode(task):
        raise SpecError(
            f"{task.id}: {family.name} generates another task under this id today, without another "
            "version: replay it with the family that recorded it"
        )


def check_tasks(run: Path, places: Iterable[Place], given: TaskFamily | None = None) -> None:
    """Finds out, before any block is run, whether all tasks of these episodes are still generated:
    each is made once, whoever played it.

    Raises: see `family_of` and `check_task`.
    """
    seen = set()
    for place in places:
        task = decode_head(read_line(run, place), _DECODER).task
        if (text := msgspec.json.encode(task)) not in seen:
            seen.add(text)
            check_task(task, family_of(task, given))


def is_private(task: Task) -> bool:
    """Whether a secret drew the task."""
    return task.salt is not None
