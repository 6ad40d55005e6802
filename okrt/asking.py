"""Asks a contract what survives, and takes no answer but one that keeps the protocol."""

from __future__ import annotations

from okrt.errors import ContractError
from okrt.types import Contract, Execution, Kept

_TEXTS = ("name", "notice", "false_notice")


def kept(contract: Contract, turn: int, last: Execution) -> Kept:
    """Returns what block `turn` finds of the block before it.

    Raises:
        ContractError: the contract raised, or returned something else; the member is named.
    """
    try:
        found = contract.keeps(turn, last)
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        raise ContractError(f"Contract.keeps raised {type(error).__name__}: {text}") from error
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
    missing = [name for name in (*_TEXTS, "keeps") if getattr(found, name, None) is None]
    if missing:
        return f"it has no {', '.join(missing)}"
    for name in _TEXTS:
        if not isinstance(value := getattr(found, name), str):
            return f"its {name} must be text, got {value!r:.200}"
    if not getattr(found, "name", ""):
        return "its name is empty"
    return None if callable(getattr(found, "keeps", None)) else "its keeps is no function"
