"""A gate file, read and validated: what a run must hold, and what it must show.

TOML: a file of its own, or `[tool.okrt.gates]` of a `pyproject.toml`. Whatever is wrong with it is
said in one line with the file, the line, the value and what may stand there. See docs/gates.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from okrt import specs
from okrt.analysis.measures import MEASURED, Measured
from okrt.errors import UsageError
from okrt.gates.decoding import ConditionsTable, GateTable, OtherTable, RunTable, Text, decode
from okrt.gates.limits import ABSOLUTE, KINDS, LimitKind, hopeless, kinds_of, wrong
from okrt.types import Contract, TaskFamily

T = TypeVar("T")
RELEASE = "release"
LEVELS = 0.501, 0.999
"""Of a gate: beyond, 9,999 resamples have no bound to show."""
"""The name of the gates that ship."""
SHIPPED = Path(__file__).with_name("release.toml")
STARTER = Path(__file__).with_name("starter.toml")
"""What `okrt init` writes."""
TIERS = ("T1", "T0", "unsafe", "none")
"""Of isolation, from the highest."""
BASELINE: Literal["baseline"] = "baseline"


@dataclass(frozen=True, slots=True)
class Other:
    """Another cell of the same run and tier; None: as of the cell that is judged."""

    contract: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must be shown, of every cell that it is about."""

    name: str
    metric: Measured
    kind: LimitKind
    limit: float
    against: Literal["baseline"] | Other | None
    contract: str | None
    """None: every runtime of the run; likewise tier and model."""
    tier: str | None
    model: str | None
    level: float
    """Confidence of the one-sided bound."""
    why: str | None
    """The reason of the margin, as it was written."""


@dataclass(frozen=True, slots=True)
class GateFile:
    """What a run must hold, and what it must show."""

    name: str
    """Of the file."""
    digest: str
    """SHA-256 of its bytes."""
    family: TaskFamily
    given_family: str
    """As it is given to `okrt run`: a name, or `module:attribute`."""
    tiers: tuple[str, ...]
    seeds: range
    repeats: int
    runtimes: Mapping[str, str]
    """As they are given on the command line -> the contract's name; empty: those given there."""
    tool_cap: int | None
    """None: whichever one the run has."""
    gates: tuple[Gate, ...]
    isolation: str
    """The lowest tier of isolation."""
    failures: float
    """The largest share of a cell's episodes that infrastructure may have broken off."""

    @property
    def wants_baseline(self) -> bool:
        return any(gate.against == BASELINE for gate in self.gates)


OwnContract = Callable[[str], Contract | None]
"""Returns the runtime that a plugin knows by a name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was named on the command line."""

    models: tuple[str, ...]
    """Labels; none where the scripted experts stand in."""
    contracts: tuple[str, ...]


def find(text: str, folder: Path) -> Path:
    """Returns the path of a gate file; `release` names the gates that ship.

    Raises:
        UsageError: there is no such file.
    """
    path = folder / text
    if text == RELEASE and not path.exists():
        return SHIPPED
    if not text or not path.is_file():
        raise UsageError(f"gates {text!r}: no such file; `{RELEASE}` names those that ship")
    return path


def read(
    path: Path, own_contract: OwnContract = lambda name: None, *, decidable: bool = False
) -> GateFile:
    """Returns the gates of a file.

    Raises:
        UsageError: it cannot be read, or something in it is wrong; of `decidable` gates, no outcome
            of so many tasks could pass one of them.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"gates {path}: cannot be read: {error.strerror}") from None
    text, tables = decode(path, content)
    run = tables.run
    family = _asked(text, "family", lambda: specs.family(run.family))
    runtimes = _runtimes(text, run, own_contract)
    seeds = _asked(text, "seeds", lambda: specs.seeds(str(run.seeds)))
    _check_run(text, run, family)
    _check_conditions(text, tables.conditions)
    return GateFile(
        name=RELEASE if path == SHIPPED else path.name,
        digest=hashlib.sha256(content).hexdigest(),
        family=family,
        given_family=run.family,
        tiers=tuple(run.tiers),
        seeds=seeds,
        repeats=run.repeats,
        runtimes=runtimes,
        tool_cap=run.tool_cap,
        gates=_gates(text, tables.gate, run, runtimes, len(seeds) if decidable else None),
        isolation=tables.conditions.isolation,
        failures=tables.conditions.infrastructure_failures_at_most,
    )


def _asked(text: Text, key: str, ask: Callable[[], T]) -> T:
    """Returns what the call returns; what it refuses is said with the line of [run]'s key."""
    try:
        return ask()
    except UsageError as error:
        text.refuse(str(error), "run", 0, key)


def _runtimes(text: Text, run: RunTable, own_contract: OwnContract) -> dict[str, str]:
    if run.runtimes == []:
        told = "runtimes is empty: leave it out for those of the command line"
        text.refuse(told, "run", 0, "runtimes")
    found: dict[str, str] = {}
    for given in run.runtimes or ():
        contract = _asked(text, "runtimes", lambda g=given: own_contract(g) or specs.contract(g))  # type: ignore[misc]  # of a lambda's default
        if contract.name in found.values():
            text.refuse(f"runtimes names {given!r} twice", "run", 0, "runtimes")
        found[given] = contract.name
    return found


def _check_run(text: Text, run: RunTable, family: TaskFamily) -> None:
    if not run.tiers or len({*run.tiers}) < len(run.tiers):
        told = f"tiers = {run.tiers}: name each once, of {', '.join(family.tiers)}"
        text.refuse(told, "run", 0, "tiers")
    for tier in run.tiers:
        _asked(text, "tiers", partial(specs.tier, tier, family))
    if run.repeats < 1:
        text.refuse(f"repeats = {run.repeats}: 1 or more", "run", 0, "repeats")
    if run.tool_cap is not None and run.tool_cap < 1:
        text.refuse(f"tool_cap = {run.tool_cap}: 1 or more", "run", 0, "tool_cap")


def _check_conditions(text: Text, conditions: ConditionsTable) -> None:
    if conditions.isolation not in TIERS:
        told = f"isolation = {conditions.isolation!r}; known: {', '.join(TIERS)}"
        text.refuse(told, "conditions", 0, "isolation")
    share = conditions.infrastructure_failures_at_most
    if not 0 <= share < 1:
        key = "infrastructure_failures_at_most"
        text.refuse(f"{key} = {share:g}: a share in [0, 1), 1% is 0.01", "conditions", 0, key)


def _gates(
    text: Text,
    tables: list[GateTable],
    run: RunTable,
    runtimes: Mapping[str, str],
    tasks: int | None,
) -> tuple[Gate, ...]:
    found: dict[str, int] = {}
    for number, gate in enumerate(tables):
        if gate.name in found:
            line = text.where("gate", found[gate.name], "name").rpartition(":")[2]
            told = f"gate {gate.name!r}: the name is taken by the gate of line {line}"
            text.refuse(told, "gate", number, "name")
        found[gate.name] = number
    readers = [_Reader(text, number, gate, tasks) for number, gate in enumerate(tables)]
    return tuple(reader.gate(run.tiers, runtimes) for reader in readers)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one gate."""

    text: Text
    number: int
    table: GateTable
    tasks: int | None
    """Of a cell; None: it is not asked whether so many can pass."""

    def gate(self, tiers: list[str], runtimes: Mapping[str, str]) -> Gate:
        table = self.table
        if not table.name.strip() or not table.name.isprintable():
            self._refuse("name", "a name is one line of text")
        metric = MEASURED.get(table.metric)
        if metric is None:
            self._refuse("metric", f"unknown metric {table.metric!r}; known: {', '.join(MEASURED)}")
        if table.tier is not None and table.tier not in tiers:
            told = f"tier {table.tier!r} is none of [run]; known: {', '.join(tiers)}"
            self._refuse("tier", told)
        if not LEVELS[0] <= table.level <= LEVELS[1]:
            least, most = LEVELS
            told = f"level = {table.level:.15g}: a confidence from {least} to {most}, 0.95 is usual"
            self._refuse("level", told)
        if table.model == "":
            self._refuse("model", "model = '': give a model's label, or leave it out")
        kind, limit = self._limit(metric)
        return Gate(
            name=table.name,
            metric=metric,
            kind=kind,
            limit=limit,
            against=self._against(kind, runtimes),
            contract=self._contract("runtime", table.runtime, runtimes),
            tier=table.tier,
            model=table.model,
            level=table.level,
            why=table.reason,
        )

    def _limit(self, metric: Measured) -> tuple[LimitKind, float]:
        allowed = kinds_of(metric)
        given = {kind: value for kind in KINDS if (value := getattr(self.table, kind)) is not None}
        if len(given) != 1:
            has = f"it has {', '.join(given)}" if given else "it has none"
            self._refuse("metric", f"one limit is needed, {has}; known: {', '.join(allowed)}")
        ((kind, value),) = given.items()
        if kind not in allowed:
            told = f"{kind} makes no sense for {metric.name}; known: {', '.join(allowed)}"
            self._refuse(kind, told)
        told = wrong(metric, kind, value)
        if self.tasks is not None:
            told = told or hopeless(metric, kind, value, self.table.level, self.tasks)
        if told:
            self._refuse(kind, f"{kind} = {value:g}: {told}")
        return kind, value

    def _against(
        self, kind: LimitKind, runtimes: Mapping[str, str]
    ) -> Literal["baseline"] | Other | None:
        against, table = self.table.against, self.table
        if kind in ABSOLUTE:
            if against is not None:
                self._refuse(kind, f"{kind} is a limit by itself: leave out against")
            return None
        if against is None:
            told = 'compares with something: add against = "baseline", or {runtime = "NAME"}'
            self._refuse(kind, f"{kind} {told}")
        if isinstance(against, OtherTable):
            return self._other(against, table, runtimes)
        if against != BASELINE:
            told = (
                f'against = {against!r}; known: "baseline", {{runtime = "NAME", model = "LABEL"}}'
            )
            self._refuse("against", told)
        return BASELINE

    def _other(self, other: OtherTable, table: GateTable, runtimes: Mapping[str, str]) -> Other:
        for name in ("runtime", "model"):
            theirs, own = getattr(other, name), getattr(table, name)
            if theirs is not None and own is None:
                told = f'add {name} = "NAME", which is compared with {theirs!r}'
                self._refuse("against", f"against names a {name}, the gate itself none: {told}")
        contract = self._contract("against", other.runtime, runtimes)
        own_contract = self._contract("runtime", table.runtime, runtimes)
        if contract in (None, own_contract) and other.model in (None, table.model):
            self._refuse("against", "against names the gate's own cell: name another")
        return Other(contract, other.model)

    def _contract(self, key: str, given: str | None, runtimes: Mapping[str, str]) -> str | None:
        if given is None:
            return None
        if given not in runtimes:
            known = f"known: {', '.join(runtimes)}" if runtimes else "it states no runtimes"
            self._refuse(key, f"runtime {given!r} is none of [run]; {known}")
        return runtimes[given]

    def _refuse(self, key: str, message: str) -> NoReturn:
        self.text.refuse(f"gate {self.table.name!r}: {message}", "gate", self.number, key)
