"""What a probe found, and the one sentence that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Found = Literal[
    "kept", "lost", "leaked", "contained", "shown", "hidden", "enforced", "none seen", "yes", "no",
    "whole", "cut", "not observable",
]  # fmt: skip
Verdict = Literal["persistent", "stateless", "neither", "unknown"]

NAMES = ("variables", "functions", "classes", "imports")
"""The laws of the group `between blocks` that decide: what an agent takes to be there or not."""

RESETS = "a reset now and then"
"""The law of that group that says whether names last through some blocks and are then gone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one law found."""

    group: str
    law: str
    found: Found
    detail: str = ""
    """How much or how long; where nothing could be seen, why."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one target."""

    schema: int
    target: str
    verdict: Verdict
    sentence: str
    findings: tuple[Finding, ...]
    blocks: int
    """How many blocks were sent."""
    wall_s: float

    def found(self, group: str, law: str) -> Found:
        """Returns what a law found; `not observable` where it was not asked."""
        for finding in self.findings:
            if (finding.group, finding.law) == (group, law):
                return finding.found
        return "not observable"


def report(target: str, findings: Sequence[Finding], blocks: int, wall_s: float) -> Report:
    """Returns the report of these findings."""
    found = {(one.group, one.law): one.found for one in findings}
    reset = next((one.detail for one in findings if one.law == RESETS and one.found == "yes"), "")
    verdict, sentence = judge(found, reset)
    return Report(1, target, verdict, sentence, tuple(findings), blocks, wall_s)


def judge(found: Mapping[tuple[str, str], Found], reset: str = "") -> tuple[Verdict, str]:
    """Returns the verdict on names, and a sentence that says it with its exceptions.

    Args:
        reset: when names that had lasted were gone, if there was such a reset.

    Files, environment and the like decide nothing: a runtime that keeps a folder but no name is
    stateless to an agent that thinks in variables, and the sentence says what it keeps.
    """
    names = {name: found.get(("between blocks", name), "not observable") for name in NAMES}
    kept = [name for name, one in names.items() if one == "kept"]
    lost = [name for name, one in names.items() if one == "lost"]
    later = found.get(("between blocks", "variables, many blocks later"))
    after = found.get(("after an error", "variables of earlier blocks"))
    if names["variables"] == "not observable":
        return "unknown", "whether variables last from block to block could not be observed"
    if reset:
        return "neither", f"names last from block to block, but are gone {reset}"
    if kept and lost:
        return "neither", f"{_list(kept)} last from block to block, {_list(lost)} do not"
    if lost:
        others = [
            law for (group, law), one in found.items()
            if group == "between blocks" and one == "kept" and law not in NAMES
        ]  # fmt: skip
        beside = f"; what lasts: {_list(others)}" if others else ""
        if found.get(("past a tool-call cap", "variables of that block")) == "kept":
            beside += "; but a block that the tool-call cap cut short leaves its names to the next"
        return "stateless", f"each block starts without the names of earlier ones{beside}"
    if later == "lost":
        return "neither", "names last from one block to the next, but not through many blocks"
    if after == "lost":
        return "neither", "names last from block to block until a block fails"
    return "persistent", "names last from block to block"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
