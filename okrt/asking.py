"""Asks a contract what survives, and takes no answer but one that keeps the protocol."""

from __future__ import annotations

from dataclasses import replace

from okrt.errors import ContractError
from okrt.types import Contract, Execution, Kept

_TEXTS = ("name", "notice", "false_notice")


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
        raise ContractError(f"Contract.keeps must return a Kept, got {found!r:.200}")
    for member in ("names", "files"):
        if type(value := getattr(found, member)) is not bool:
            raise ContractError(f"Kept.{member} must be True or False, got {value!r:.200}")
    if not isinstance(found.note, str):
        raise ContractError(f"Kept.note must be text, got {found.note!r:.200}")
    return found


def problem(found: object) -> str | None:
    """Returns what keeps an object from being a contract, the member named, or None."""
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
    return None if callable(members["keeps"]) else "its keeps is no function"


def _member(found: object, name: str) -> object:
    """Returns a member, None where there is none, or what it raises: it may be a property."""
    try:
        return getattr(found, name, None)
    except Exception as error:
        return error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
