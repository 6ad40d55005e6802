"""Asks a contract what survives, and takes no answer but one that keeps the protocol."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from okrt.errors import ContractError
from okrt.types import Contract, Execution, Kept

_TEXTS = ("name", "notice", "false_notice")
_WELL = Execution("ok", carried_names=(), bound_names=())
"""A first block that did nothing."""


def kept(contract: Contract, turn: int, last: Execution) -> Kept:
    """Returns what block `turn` finds of the block before it.

    Whoever asks, `last.restarted` is False: it is set by the answer.

    Raises:
        ContractError: the contract raised, or returned something else; the member is named.
    """
    try:
        found = contract.keeps(turn, replace(last, restarted=False))
    except (Exception, SystemExit) as error:
        raise ContractError(f"Contract.keeps raised {_told(error)}") from error
    if not isinstance(found, Kept):
        raise ContractError(f"Contract.keeps must return a Kept, got {_shown(found)}")
    for member in ("names", "files"):
        if type(value := getattr(found, member)) is not bool:
            raise ContractError(
                f"Kept.{member} must be True (all of them) or False (none), got {_shown(value)}"
            )
    if not isinstance(found.note, str):
        raise ContractError(f"Kept.note must be text, got {_shown(found.note)}")
    return found


def problem(found: object) -> str | None:
    """Returns what keeps an object from being a contract, the member named, or None. Its `keeps` is
    asked once, of a first block that ended well."""
    if isinstance(found, type):
        return f"it is a class: give an object of it, like {found.__name__}()"
    members = {name: _member(found, name) for name in (*_TEXTS, "keeps")}
    missing = [name for name, value in members.items() if value is None]
    if missing:
        return f"it has no {', '.join(missing)}"
    for name in _TEXTS:
        value = members[name]
        if isinstance(value, Exception):
            return f"its {name} raised {_told(value)}"
        if not isinstance(value, str):
            return f"its {name} must be text, got {value!r:.200}"
        if not value.strip():
            return f"its {name} is empty"
    if members["notice"] == members["false_notice"]:
        return "its notice and its false_notice are the same: one is true and one false"
    if not callable(members["keeps"]):
        return "its keeps is no function"
    try:
        kept(cast(Contract, found), 1, _WELL)
    except ContractError as error:
        return str(error)
    return None


def _member(found: object, name: str) -> object:
    """Returns a member, None where there is none, or what it raises: it may be a property."""
    try:
        return getattr(found, name, None)
    except Exception as error:
        return error


def _shown(value: object) -> str:
    return " ".join(f"{value!r:.200}".split())


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
