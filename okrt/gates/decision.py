"""All gates of a file on a run: the verdict, and everything that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from okrt.analysis.brief import Brief
from okrt.analysis.settings import unusual
from okrt.baselines.alike import differences
from okrt.errors import StoreError
from okrt.gates import complete
from okrt.gates.complete import Taken, Where
from okrt.gates.file import BASELINE, TIERS, Asked, Gate, GateFile, Other
from okrt.gates.judge import Judged, Word, incomplete, judge

EXIT: Mapping[Word, int] = {"pass": 0, "fail": 1, "inconclusive": 3, "incomplete": 4}
"""Of a command that decides; 2 is a mistake of the user's."""
NO_MODEL = "no model was named: a verdict is on the models given by --model LABEL=SPEC"
NO_RUNTIME = "no runtime was named, by --runtime or in [run]"
NO_BASELINE = "no baseline was given"
SAVE_ONE = (
    f"{NO_BASELINE}: save a run of the model that is deployed (okrt baseline save RUN NAME), then "
    "name it (--okrt-baseline NAME; of okrt gate, --baseline NAME)"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What is judged."""

    run: Mapping[str, Any]
    """Its `run.json`; empty where nothing was run."""
    rows: Sequence[Brief]
    problems: Sequence[str] = ()
    """What keeps it from being what it should be: damaged lines, a session that did nothing."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What it is compared with."""

    name: str
    """Of its directory."""
    run: Mapping[str, Any]
    rows: Sequence[Brief]
    digest: str
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """What the run must be like for any gate to be decided by it."""

    name: str
    verdict: Literal["pass", "incomplete"]
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why."""

    verdict: Word
    words: str
    """One line, the verdict in it."""
    file: GateFile
    baseline: Baseline | None
    incomplete: tuple[str, ...]
    conditions: tuple[Condition, ...]
    gates: tuple[Judged, ...]


@dataclass
class _Deciding:
    """A decision on its way."""

    file: GateFile
    asked: Asked
    run: Run
    baseline: Baseline | None
    versions: Mapping[str, int]
    lacks: dict[str, None] = field(default_factory=dict)
    """Lines, each once, in their order."""

    def __post_init__(self) -> None:
        self.held = complete.index(self.run.rows)
        self.base_held = complete.index(self.baseline.rows if self.baseline else ())
        self.cells = complete.wanted(self.file, self.asked)
        self.taken = {
            cell: complete.take(self.file, cell, self.held, self.versions) for cell in self.cells
        }
        self.bases: dict[Where, Taken] = {}

    def note(self, *lines: str) -> None:
        self.lacks |= dict.fromkeys(lines)

    def what_lacks(self) -> None:
        """Notes what must be there and is not."""
        self.note(*self.run.problems)
        if not self.asked.models:
            self.note(NO_MODEL)
        if not (self.file.runtimes or self.asked.contracts):
            self.note(NO_RUNTIME)
        for taken in self.taken.values():
            self.note(*taken.lacks)
        self.note(*complete.strangers(self.file, self.cells, self.held))
        self.note(*complete.against_settings(self.run.run, self.taken.values()))
        if self.file.wants_baseline and self.baseline is None:
            self.note(SAVE_ONE)

    def judged(self, gate: Gate) -> list[Judged]:
        """Returns the gate on each of its cells."""
        cells = [
            cell
            for cell in self.cells
            if gate.model in (None, cell.model)
            and gate.contract in (None, cell.contract)
            and gate.tier in (None, cell.tier)
        ]
        if cells:
            return [self._on(gate, cell) for cell in cells]
        known = ", ".join(self.asked.models) or "none"
        told = f"gate {gate.name!r} is of a cell that was not asked for; models given: {known}"
        self.note(told)
        return [incomplete(gate, None, _said(gate, None), told)]

    def _on(self, gate: Gate, cell: Where) -> Judged:
        against = _said(gate, cell)
        mine, other, lacks = self.taken[cell], None, list(self.taken[cell].lacks)
        if gate.against == BASELINE:
            other, more = self._base(cell)
            lacks += more
        elif isinstance(gate.against, Other):
            where = _where(gate.against, cell)
            other = self.taken.get(where)
            lacks += other.lacks if other else [f"{where}: this cell was not asked for"]
        self.note(*(line for line in lacks if line != NO_BASELINE))
        if lacks:
            return incomplete(gate, cell, against, lacks[0])
        return judge(gate, mine, other, against)

    def _base(self, cell: Where) -> tuple[Taken | None, list[str]]:
        """Returns the baseline's cell, and what keeps it from being compared."""
        if self.baseline is None:
            return None, [NO_BASELINE]
        name = f"baseline {self.baseline.name}"
        if self.baseline.problems:
            return None, [f"{name}: {line}" for line in self.baseline.problems]
        models = {
            key.model
            for key in self.base_held
            if (key.family, key.contract, key.tier)
            == (self.file.family.name, cell.contract, cell.tier)
        }
        if cell.model not in models and len(models) != 1:
            has = f"models {', '.join(sorted(models))}" if models else "no model"
            told = f"it has {has} in {cell.contract}, {cell.tier}: use one that has one model there"
            return None, [f"{name}: {told}"]
        model = cell.model if cell.model in models else next(iter(models))
        where = Where(model, cell.contract, cell.tier)
        taken = complete.take(self.file, where, self.base_held, self.versions)
        self.bases[where] = taken
        lines = list(taken.lacks)
        try:
            mine = (*self.taken[cell].rows, *self.taken[cell].broken)
            theirs = (*taken.rows, *taken.broken)
            lines += differences(self.run.run, mine, self.baseline.run, theirs)
        except StoreError as error:
            lines.append(str(error))
        return taken, [f"{name}: {line}" for line in lines]

    def conditions(self) -> tuple[Condition, ...]:
        cells = [*self.taken.values()]
        failures = _failures(self.file, [*cells, *self.bases.values()])
        return failures, _isolation(self.file, cells)


def decide(
    file: GateFile, asked: Asked, run: Run, baseline: Baseline | None, versions: Mapping[str, int]
) -> Decision:
    """Returns what the gates of a file say of a run. Pure; the same rows give the same decision.

    `versions` are those of the tasks that the family generates today, by tier.
    """
    deciding = _Deciding(file, asked, run, baseline, versions)
    deciding.what_lacks()
    gates = tuple(one for gate in file.gates for one in deciding.judged(gate))
    conditions = deciding.conditions()
    lacks = tuple(deciding.lacks)
    verdict = _verdict(lacks, conditions, gates)
    words = _words(verdict, lacks, conditions, gates) + _about(file, [*deciding.taken.values()])
    return Decision(verdict, words, file, baseline, lacks, conditions, gates)


def _verdict(
    lacks: Sequence[str], conditions: Sequence[Condition], gates: Sequence[Judged]
) -> Word:
    """A gate that fails on whole cells decides, whatever lacks elsewhere: all must pass."""
    words = {gate.verdict for gate in gates}
    if any(condition.verdict != "pass" for condition in conditions):
        return "incomplete"
    if "fail" in words:
        return "fail"
    if lacks or "incomplete" in words or not gates:
        return "incomplete"
    return "inconclusive" if "inconclusive" in words else "pass"


def _words(
    verdict: Word,
    lacks: Sequence[str],
    conditions: Sequence[Condition],
    gates: Sequence[Judged],
) -> str:
    if verdict == "pass":
        return f"pass: {len(gates)} of {_count(len(gates), 'gate')} passed"
    if verdict == "incomplete":
        lines = [*lacks, *(one.reason for one in conditions if one.verdict != "pass")]
        lines = lines or [gate.reason for gate in gates if gate.verdict == "incomplete"]
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        return f"incomplete: {lines[0]}{more}"
    named = [_name(gate) for gate in gates if gate.verdict == verdict]
    what = "failed" if verdict == "fail" else "cannot be told at this n"
    return f"{verdict}: {len(named)} of {_count(len(gates), 'gate')} {what}: {'; '.join(named)}"


def _about(file: GateFile, taken: Sequence[Taken]) -> str:
    """On what it was measured: a verdict holds there and nowhere else."""
    seeds = f"seeds {file.seeds.start}-{file.seeds.stop - 1}"
    where = f"{file.family.name}/{'+'.join(file.tiers)}, {seeds}"
    rows = [row for cell in taken for row in cell.rows]
    scripted = bool(rows) and all(row.model_spec.startswith("expert:") for row in rows)
    self_check = "; scripted experts: a self-check, no evidence about models" if scripted else ""
    return f" ({', '.join([where, *unusual(rows)])}{self_check})"


def _name(judged: Judged) -> str:
    return judged.gate.name if judged.where is None else f"{judged.gate.name} ({judged.where})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _where(other: Other, cell: Where) -> Where:
    return Where(other.model or cell.model, other.contract or cell.contract, cell.tier)


def _said(gate: Gate, cell: Where | None) -> str | None:
    if not isinstance(gate.against, Other):
        return gate.against
    if cell is not None:
        return str(_where(gate.against, cell))
    return ", ".join(part for part in (gate.against.model, gate.against.contract) if part)


def _isolation(file: GateFile, taken: Sequence[Taken]) -> Condition:
    name, lowest = f"isolation {file.isolation} or higher", TIERS.index(file.isolation)
    rows = [row for cell in taken for row in cell.rows]
    below = [r for r in rows if r.isolation not in TIERS or TIERS.index(r.isolation) > lowest]
    if below:
        share = f"{len(below)} of {len(rows)} episodes"
        told = f"{share} ran under isolation {below[0].isolation!r} ({below[0].task_id})"
        return Condition(name, "incomplete", f"{told}; at least {file.isolation} is asked for")
    has = ", ".join(sorted({row.isolation for row in rows})) or "nothing ran"
    return Condition(name, "pass" if rows else "incomplete", has)


def _failures(file: GateFile, taken: Sequence[Taken]) -> Condition:
    name = f"infrastructure failures at most {100 * file.failures:g}% of a cell"
    over = [cell for cell in taken if len(cell.broken) > file.failures * cell.needed]
    if over:
        first = over[0].broken[0].failure
        why = f"{first.boundary}: {first.message[:200]}" if first else "no outcome"
        told = f"{over[0].where}: infrastructure broke off {len(over[0].broken)} of "
        told += f"{over[0].needed} episodes ({why}); go on in the run to try them again"
        return Condition(name, "incomplete", told)
    total = sum(len(cell.broken) for cell in taken)
    if not any(cell.rows for cell in taken):
        return Condition(name, "incomplete", "nothing ran")
    return Condition(name, "pass", f"{total} of {sum(cell.needed for cell in taken)}")
