"""An audit as the terminal shows it. Pure: text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from okrt.analysis.stats import Estimate
from okrt.audit.totals import Audit
from okrt.audit.verdict import VERDICTS

LISTED = 5
"""Mixed episodes whose contradictions are listed, contradictions of one, and unread lines."""


def text(audit: Audit) -> str:
    """Returns the whole answer, several lines."""
    return "\n".join(_lines(audit)) + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    yield f"These traces teach: {audit.verdict}"
    yield ""
    yield f"{'verdict':<12}{'episodes':>9}   share of the decided"
    for verdict in VERDICTS:
        share = f"   {percent(audit.shares[verdict])}" if verdict in audit.shares else ""
        yield f"{verdict:<12}{audit.verdicts[verdict]:>9,}{share}"
    yield ""
    yield f"If deployed stateless, episodes with a missing variable: {percent(audit.missing_rate)}"
    yield f"Blocks that read what an earlier block bound: {percent(audit.reading_blocks)}"
    yield f"Found in {audit.blocks:,} blocks: {_counted(audit.findings) or 'nothing'}"
    if audit.never_bound:
        names = list(audit.never_bound)[:LISTED]
        yield f"Bound by no block (tools, or slips): {', '.join(names)}"
    yield from _contradictions(audit)
    yield from _left_out(audit)


def _contradictions(audit: Audit) -> Iterator[str]:
    mixed = audit.kept.get("mixed", ())
    if mixed:
        yield ""
        n = audit.verdicts["mixed"]
        yield f"Contradictions, in {min(LISTED, len(mixed))} of {n:,} mixed episodes:"
    for shown in mixed[:LISTED]:
        found = shown.audit.contradictions
        yield f"  {shown.audit.id}"
        yield from (f"    {finding}" for finding in found[:LISTED])
        if len(found) > LISTED:
            yield f"    and {len(found) - LISTED:,} more"


def _left_out(audit: Audit) -> Iterator[str]:
    yield ""
    yield f"Read as: {_counted(audit.formats) or 'nothing'}"
    if audit.without_code:
        yield f"Without code: {audit.without_code:,} episodes"
    if audit.unreadable:
        yield f"Blocks that cannot be read: {_counted(audit.unreadable)}"
    if audit.hidden:
        yield f"Blocks in which names are hidden: {_counted(audit.hidden)}"
    if audit.unread:
        yield f"Lines not read: {audit.unread:,}"
        yield from (f"  {one.where}: {one.reason}" for one in audit.unread_first[:LISTED])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def percent(estimate: Estimate) -> str:
    """Returns `12.3% (10.1 to 14.8)`, the interval of its level in brackets."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
