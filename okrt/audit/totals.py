"""Many episodes -> the set's verdict, shares with their intervals, and the worst offenders.

Memory does not grow with the set: of each verdict only the most telling episodes are kept.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from okrt.analysis.stats import Estimate, rate_interval
from okrt.audit.reading import read
from okrt.audit.traces import Trace, Unread
from okrt.audit.verdict import VERDICTS, EpisodeAudit, Verdict, audit_trace

ALIKE = 0.95
"""Share of the decided episodes that makes a set persistent, or stateless."""
KEPT = 20
"""Episodes of each verdict that are kept, and unread lines, and names."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An episode that is kept to be shown."""

    audit: EpisodeAudit
    trace: Trace


@dataclass(frozen=True, slots=True)
class Audit:
    """What a set of traces comes to."""

    verdict: Verdict
    """`persistent` or `stateless`: at least `ALIKE` of the decided episodes, the lower end of the
    interval above one half, and at least half of the episodes decided; `mixed`: the other sets of
    which at least half is decided and whose shares are known well enough; else `undecided`."""
    episodes: int
    """With at least one block of code."""
    verdicts: Mapping[Verdict, int]
    shares: Mapping[Verdict, Estimate]
    """Of the decided episodes."""
    missing_rate: Estimate
    """Share of episodes that would meet an uncaught NameError, were each block run in a fresh
    interpreter. Less than the truth where names are hidden."""
    blocks: int
    reading_blocks: Estimate
    """Share of the blocks after the first that read a name bound earlier."""
    findings: Mapping[str, int]
    never_bound: Mapping[str, int]
    """Names that no block bound, the most frequent, by the number of episodes."""
    formats: Mapping[str, int]
    without_code: int
    unread: int
    unread_first: tuple[Unread, ...]
    unreadable: Mapping[str, int]
    """Blocks that could not be read, by reason."""
    hidden: Mapping[str, int]
    """Blocks in which something hides names, by what does."""
    kept: Mapping[Verdict, tuple[Shown, ...]] = field(default_factory=dict)
    """The most telling episodes of each verdict, the most findings first."""


def audit_files(
    paths: Iterable[Path],
    provided: Set[str] = frozenset(),
    progress: Callable[[int], None] = lambda episodes: None,
) -> Audit:
    """Returns the audit of files and folders.

    Args:
        provided: names that the runtime gives to every block.
        progress: is told of the episodes read so far, after each.

    Raises:
        okrt.errors.UsageError: see `okrt.audit.reading.read`.
    """
    return audit_traces(read(paths), provided, progress)


def audit_traces(
    traces: Iterable[Trace | Unread],
    provided: Set[str] = frozenset(),
    progress: Callable[[int], None] = lambda episodes: None,
) -> Audit:
    """Returns the audit of traces as they come."""
    totals = _Totals()
    for number, one in enumerate(traces, 1):
        if isinstance(one, Unread):
            totals.unread += 1
            totals.unread_first = (*totals.unread_first, one)[:KEPT]
        else:
            totals.add(one, provided)
        progress(number)
    return totals.audit()


@dataclass(slots=True)
class _Totals:
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    never_bound: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    later_blocks: int = 0
    reading_blocks: int = 0
    misses: int = 0
    without_code: int = 0
    unread: int = 0
    unread_first: tuple[Unread, ...] = ()
    kept: dict[Verdict, list[tuple[int, int, Shown]]] = field(default_factory=dict)

    def add(self, trace: Trace, provided: Set[str]) -> None:
        self.formats[trace.format] += 1
        if not trace.blocks:
            self.without_code += 1
            return
        found = audit_trace(trace, provided)
        self.verdicts[found.verdict] += 1
        self.findings.update(found.counts)
        self.never_bound.update(found.never_bound)
        self.never_bound = _most(self.never_bound, 10_000)
        self.unreadable.update(f.name for f in found.findings if f.kind == "cannot be read")
        self.hidden.update(f.name for f in found.findings if f.kind == "hides")
        self.blocks += found.blocks
        self.later_blocks += found.blocks - 1
        self.reading_blocks += sum(bool(reads) for reads in found.reads)
        self.misses += found.misses
        kept = self.kept.setdefault(found.verdict, [])
        # the number keeps the order of equals, and keeps traces from being compared
        weight = len(found.contradictions) or len(found.findings)
        heapq.heappush(kept, (weight, -self.verdicts.total(), Shown(found, trace)))
        if len(kept) > KEPT:
            heapq.heappop(kept)

    def audit(self) -> Audit:
        decided = self.verdicts.total() - self.verdicts["undecided"]
        shares = {v: rate_interval(self.verdicts[v], decided) for v in VERDICTS[:3]}
        return Audit(
            verdict=_verdict(shares, decided, self.verdicts.total()),
            episodes=self.verdicts.total(),
            verdicts={verdict: self.verdicts[verdict] for verdict in VERDICTS},
            shares=shares,
            missing_rate=rate_interval(self.misses, self.verdicts.total()),
            blocks=self.blocks,
            reading_blocks=rate_interval(self.reading_blocks, self.later_blocks),
            findings=dict(self.findings.most_common()),
            never_bound=dict(self.never_bound.most_common(KEPT)),
            formats=dict(self.formats),
            without_code=self.without_code,
            unread=self.unread,
            unread_first=self.unread_first,
            unreadable=dict(self.unreadable.most_common()),
            hidden=dict(self.hidden.most_common()),
            kept={
                verdict: tuple(shown for _, _, shown in sorted(kept, reverse=True, key=_weight))
                for verdict, kept in self.kept.items()
            },
        )


def _weight(one: tuple[int, int, Shown]) -> tuple[int, int]:
    return one[:2]


def _most(names: Counter[str], limit: int) -> Counter[str]:
    """Bounds the memory that names nobody bound can take."""
    return names if len(names) <= 2 * limit else Counter(dict(names.most_common(limit)))


def _verdict(shares: Mapping[Verdict, Estimate], decided: int, episodes: int) -> Verdict:
    if decided == 0 or 2 * decided < episodes:
        return "undecided"
    for verdict in VERDICTS[:2]:
        share = shares[verdict]
        if share.value is not None and share.low is not None and share.value >= ALIKE:
            return verdict if share.low > 0.5 else "undecided"
    return "mixed"
