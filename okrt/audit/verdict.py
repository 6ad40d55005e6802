"""One episode's blocks -> what is found in them, and which contract they teach. Pure.

The rule, block by block. A block *relies* on memory if it reads a name that an earlier block bound,
other than one that it is ready to miss. A block *restates* if it does not rely, and establishes
anew what an earlier block, one that ran to its end, had established. The verdict:

- `persistent`: a block relies, none restates state, and no read was told NameError;
- `stateless`: none relies, and one restates;
- `mixed`: both;
- `undecided`: neither can be seen.

Importing again and defining again with another body are habits under any contract: they make a
block restate only where no block relies.
"""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Literal

from okrt.audit.needs import Needs, needs
from okrt.audit.restating import Past, Restated, Restating, changed, restated, statements
from okrt.audit.traces import Trace, TraceBlock

Verdict = Literal["persistent", "stateless", "mixed", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("persistent", "stateless", "mixed", "undecided")
Kind = Literal["reads", "swallows", "guards", "is told NameError", "hides", "cannot be read"]
"""`reads`: relies on a name; `swallows`: the same, under a handler that catches everything;
`guards`: is ready to miss it; `is told NameError`: relies on it, and it was gone."""
_OF_SHIELD: dict[str, Kind] = {"none": "reads", "swallowed": "swallows", "guarded": "guards"}
HABITS = ("imports again", "defines again")
HARMLESS_UNREADABLE = "syntax error"
"""Code that no Python runs binds and reads nothing; other unreadable code may."""

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "display", "get_ipython"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found in a block."""

    kind: Kind | Restating
    block: int
    """From 1."""
    line: int
    """Within the block, from 1; 0: the block as a whole."""
    name: str
    bound_in: int | None = None
    """The block that had bound the name."""

    def __str__(self) -> str:
        place = f"block {self.block}" + (f", line {self.line}" if self.line else "")
        origin = f", bound in block {self.bound_in}" if self.bound_in else ""
        return f"{place}: {self.kind} {self.name}{origin}"


@dataclass(frozen=True, slots=True)
class EpisodeAudit:
    """What was found in one episode."""

    id: str
    verdict: Verdict
    blocks: int
    findings: tuple[Finding, ...]
    reads: tuple[frozenset[str], ...]
    """For each block, every name that it reads and an earlier one bound."""
    misses: bool
    """Whether a block would end in a NameError if each ran in a fresh interpreter."""
    never_bound: frozenset[str] = frozenset()
    """Read, but bound by no block and no builtin: tools, and slips."""
    contradictions: tuple[Finding, ...] = ()
    """Of a mixed episode: what speaks for persistent and what for stateless, in order."""
    counts: Counter[str] = field(default_factory=Counter)
    """Findings by kind."""


@dataclass(frozen=True, slots=True)
class _Look:
    """One block, seen after those before it."""

    findings: tuple[Finding, ...]
    reads: frozenset[str]
    misses: bool
    never_bound: frozenset[str]
    relies: tuple[Finding, ...]
    restates: tuple[Finding, ...]


def audit_trace(trace: Trace, provided: Set[str] = frozenset()) -> EpisodeAudit:
    """Returns what is found in an episode.

    Args:
        provided: names that the runtime gives to every block, besides those the trace names.
    """
    looks = list(_looks(trace, _BUILTINS | trace.provided | provided))
    relies = [finding for look in looks for finding in look.relies]
    losses = [finding for finding in relies if finding.kind == "is told NameError"]
    restates = [finding for look in looks for finding in look.restates]
    strong = [finding for finding in restates if finding.kind not in HABITS]
    findings = tuple(finding for look in looks for finding in look.findings)
    verdict: Verdict = "undecided"
    if relies:
        verdict = "mixed" if strong or losses else "persistent"
    elif restates:
        verdict = "stateless"
    return EpisodeAudit(
        trace.id,
        verdict,
        len(looks),
        findings,
        tuple(look.reads for look in looks),
        any(look.misses for look in looks),
        frozenset[str]().union(*(look.never_bound for look in looks)),
        tuple(sorted([*relies, *strong], key=_place)) if verdict == "mixed" else (),
        Counter(finding.kind for finding in findings),
    )


def _place(finding: Finding) -> tuple[int, int]:
    return finding.block, finding.line


def _looks(trace: Trace, known: Set[str]) -> Iterator[_Look]:
    alive: dict[str, int] = {}
    past = Past()
    for number, block in enumerate(trace.blocks, 1):
        need = needs(block.code)
        made = statements(need.tree, block.code) if need.tree is not None else []
        yield _look(number, block, need, list(restated(made, past)), alive, known)
        alive.update(dict.fromkeys(need.bound, number))
        for name in need.deleted:
            alive.pop(name, None)
        if need.tree is not None and not block.raised:
            past.add(made, need.bound, changed(need.tree))
        past.show(block.code)
        past.show(block.observation or "")


def _look(
    number: int,
    block: TraceBlock,
    need: Needs,
    again: list[Restated],
    alive: dict[str, int],
    known: Set[str],
) -> _Look:
    found = [
        Finding(_OF_SHIELD[read.shield], number, read.line, read.name, alive[read.name])
        for read in need.reads
        if read.name in alive
    ]
    reads = frozenset(finding.name for finding in found)
    found = [finding for finding in found if finding.name not in known]
    misses = any(finding.kind == "reads" for finding in found)
    found = [_as_told(finding, block) for finding in found]
    relies = [finding for finding in found if finding.kind != "guards"]
    anew = [Finding(one.kind, number, one.line, one.name, alive.get(one.name)) for one in again]
    opaque = [Finding("hides", number, 0, reason) for reason in need.hidden]
    if need.unreadable is not None:
        opaque.append(Finding("cannot be read", number, 0, need.unreadable))
    never = frozenset(read.name for read in need.reads if read.name not in alive) - known
    clear = not opaque
    return _Look(
        findings=(*found, *anew, *opaque),
        reads=reads,
        misses=misses,
        never_bound=never,
        relies=tuple(relies) if clear else (),
        restates=tuple(anew) if clear and not relies else (),
    )


def _as_told(finding: Finding, block: TraceBlock) -> Finding:
    if finding.kind == "reads" and finding.name == block.missing_name:
        return Finding(
            "is told NameError", finding.block, finding.line, finding.name, finding.bound_in
        )
    return finding
