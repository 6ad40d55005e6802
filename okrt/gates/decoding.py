"""The text of a gate file -> its tables, strictly: an unknown key or a wrong type is told of, with
its line."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from okrt.errors import UsageError
from okrt.gates.places import line_of

LEVEL = 0.95
"""Confidence of each one-sided bound."""
FAILURES = 0.01
"""Share of a cell's episodes that infrastructure may have broken off."""


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table that holds its own keys and no others."""


class RunTable(Strict, frozen=True):
    tiers: list[str]
    seeds: int | str
    runtimes: list[str] | None = None
    family: str = "opaque_knapsack"
    repeats: int = 1
    tool_cap: int | None = None


class OtherTable(Strict, frozen=True):
    runtime: str | None = None
    model: str | None = None


class GateTable(Strict, frozen=True):
    name: str
    metric: str
    runtime: str | None = None
    tier: str | None = None
    model: str | None = None
    against: str | OtherTable | None = None
    reason: str | None = None
    level: float = LEVEL
    at_most: float | None = None
    at_least: float | None = None
    not_lower_by: float | None = None
    not_higher_by: float | None = None
    ratio_at_most: float | None = None
    ratio_at_least: float | None = None
    within: float | None = None


class ConditionsTable(Strict, frozen=True):
    isolation: str = "T0"
    infrastructure_failures_at_most: float = FAILURES


class Tables(Strict, frozen=True):
    run: RunTable
    gate: list[GateTable]
    conditions: ConditionsTable = ConditionsTable()


_TABLES: dict[str, type[Strict]] = {
    "": Tables,
    "run": RunTable,
    "gate": GateTable,
    "conditions": ConditionsTable,
    "against": OtherTable,
}


@dataclass(frozen=True, slots=True)
class Text:
    """A gate file's text, for what is to be said of places in it."""

    path: Path
    text: str

    def where(self, table: str, number: int = 0, key: str = "") -> str:
        return f"{shown(self.path)}:{line_of(self.text, table, number, key)}"

    def refuse(self, message: str, table: str, number: int = 0, key: str = "") -> NoReturn:
        """Raises UsageError with the line of the key."""
        raise UsageError(f"{self.where(table, number, key)}: {message}")


def shown(path: Path) -> str:
    """Returns a path as short as it can be told."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def decode(path: Path, content: bytes) -> tuple[Text, Tables]:
    """Returns the text and tables of a gate file, or of `[tool.okrt.gates]` in a `pyproject.toml`.

    Raises:
        UsageError: it is no TOML, or holds something else than gates.
    """
    try:
        text = Text(path, content.decode())
        data: Any = tomllib.loads(text.text)
    except UnicodeDecodeError:
        raise UsageError(f"{shown(path)}:1: it is no UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        line = match.group(1) if match else content.count(b"\n") + 1
        raise UsageError(f"{shown(path)}:{line}: it is no TOML: {error}") from None
    if path.name == "pyproject.toml":
        for part in ("tool", "okrt", "gates"):
            data = data.get(part) if isinstance(data, dict) else None
        if data is None:
            raise UsageError(f"{shown(path)}:1: it has no [tool.okrt.gates]")
    try:
        tables = msgspec.convert(data, Tables)
    except msgspec.ValidationError as error:
        _explain(text, str(error))
    if not tables.gate:
        text.refuse("it has no [[gate]]: nothing would be decided", "gate")
    return text, tables


def _explain(text: Text, message: str) -> NoReturn:
    """Says what the decoder said, with the line, and what may stand there."""
    said, _, place = message.partition(" - at `$.")
    path = [part for part in re.split(r"[.\[\]`]+", place) if part]
    table = path[0] if path else ""
    number = int(path[1]) if len(path) > 1 and path[1].isdecimal() else 0
    key = next((part for part in reversed(path[1:]) if not part.isdecimal()), "")
    field = re.search(r"`([^`]*)`$", said)
    if field and "unknown field" in said:
        known = ", ".join(_TABLES[key or table].__struct_fields__)
        at = (table, number, key or field[1]) if table else (field[1], 0, field[1])
        text.refuse(f"unknown {field[1]!r}; known: {known}", *at)
    if field and "missing required field" in said:
        text.refuse(f"{table or 'the file'} lacks {field[1]}", table or field[1], number, key)
    what = ".".join(part for part in (table, key) if part) or "the file"
    plain = f"{said[:1].lower()}{said[1:]}".replace("`", "")
    text.refuse(f"{what}: {plain}", table, number, key)
