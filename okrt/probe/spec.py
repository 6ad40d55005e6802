"""Words of the command line -> which target is meant. Nothing is started or imported here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from okrt import specs
from okrt.errors import SpecError
from okrt.probe.target import KINDS, TargetSpec


def target_spec(
    target: str | Sequence[str],
    keep: bool = False,
    end: str | None = None,
    tool: str | None = None,
    argument: str | None = None,
) -> TargetSpec:
    """Returns the target of `jupyter[:KERNEL]`, `smolagents[:IMPORTS]`, `python -- CMD`,
    `mcp -- CMD`, `mcp URL`, a contract's name, or `module:attribute`.

    Args:
        target: the words, or one string that a shell would split into them.

    Raises:
        SpecError: it is none of these, or an option does not belong to it.
    """
    words = shlex.split(target) if isinstance(target, str) else list(target)
    if not words:
        raise SpecError(f"empty target: give one of {_known()}")
    head, rest = words[0], words[1:]
    kind, _, detail = head.partition(":")
    command = tuple(rest[1:]) if rest[:1] == ["--"] else ()
    if kind == "mcp" and not detail and len(rest) == 1 and rest[0] != "--":
        detail, rest = rest[0], []
    if kind not in KINDS:
        kind, detail = ("contract" if _is_contract(head) else "own"), head
        if kind == "own" and ":" not in head:
            raise SpecError(f"unknown target {head!r}: give one of {_known()}")
    if rest and not command:
        raise SpecError(f"cannot read {' '.join(rest)!r} after {head!r}: write {_usage(kind)}")
    _check(kind, detail, command, keep, end, tool or argument)
    return TargetSpec(kind, detail, command, keep or end is not None, end, tool, argument)


def _is_contract(head: str) -> bool:
    """Whether a contract has this name. Raises SpecError: one has, but for its number."""
    reset = head.startswith("reset-every-")
    return head in specs.CONTRACTS or (reset and specs.contract(head) is not None)


def _check(
    kind: str, detail: str, command: tuple[str, ...], keep: bool, end: str | None, tool: str | None
) -> None:
    wants_command = kind == "python" or (kind == "mcp" and not detail)
    if wants_command != bool(command):
        raise SpecError(f"{kind} takes {'a' if wants_command else 'no'} command: {_usage(kind)}")
    if kind == "mcp" and detail and not detail.startswith(("http://", "https://")):
        raise SpecError(f"{detail!r} is no URL: write {_usage(kind)}")
    if kind == "python" and detail:
        raise SpecError(f"cannot read 'python:{detail}': write {_usage(kind)}")
    if (keep or end is not None) and kind != "python":
        raise SpecError("--keep and --end belong to: okrt probe python --keep -- CMD")
    if tool is not None and kind != "mcp":
        raise SpecError("--tool and --argument belong to: okrt probe mcp")


def _usage(kind: str) -> str:
    tails = {"python": " -- CMD", "mcp": " -- CMD, or mcp http://HOST/PATH"}
    return f"okrt probe {kind if kind in KINDS else 'TARGET'}{tails.get(kind, '')}"


def _known() -> str:
    return (
        "jupyter, python -- CMD, mcp -- CMD, mcp URL, smolagents, "
        f"{', '.join(specs.CONTRACTS)}, reset-every-K, module:attribute"
    )
