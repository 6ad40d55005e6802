"""What may be said of contrasts: different, equivalent within a margin, or undecided at this n.

Each contrast is tested two ways, for a difference and, where a margin is stated, for equivalence
within it (two one-sided tests). Holm's correction is over all tests of a report; as a contrast
cannot be both without difference and outside its margin, no step corrects for more tests than there
are contrasts (Shaffer, 1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from okrt.analysis.stats import LEVEL, Estimate, Inference, holm, identical, two_sided

Word = Literal["different", "equivalent", "different within the margin", "undecided", "identical"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A figure of which a report says something."""

    name: str
    inference: Inference
    null: float = 0.0
    """What it is where nothing differs: 0 for differences, 1 for ratios."""
    margin: float | None = None
    """How far from `null` still counts as equal: an amount for differences, a factor above 1 for
    ratios. None: no equivalence is claimed."""
    same: tuple[int, int] | None = None
    """On how many tasks of how many the two cells say the same, where that was looked at."""

    def __post_init__(self) -> None:
        smallest = 0 if self.null == 0 else 1
        if self.null not in (0, 1):
            raise ValueError(f"null must be 0 (a difference) or 1 (a ratio), got {self.null}")
        if self.margin is not None and not smallest < self.margin < float("inf"):
            raise ValueError(f"the margin of {self.name} must be above {smallest}: {self.margin}")

    @property
    def equal(self) -> tuple[float, float] | None:
        """What counts as equal."""
        if self.margin is None:
            return None
        return (-self.margin, self.margin) if self.null == 0 else (1 / self.margin, self.margin)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is said of a contrast, among the others of the report."""

    name: str
    word: Word
    said: str
    """The word in full: within which margin, at which n."""
    text: str
    """One line, with the interval."""
    estimate: Estimate
    p_different: float
    """Holm-adjusted; below alpha, the contrast is different."""
    p_equivalent: float | None
    """Holm-adjusted, of the larger of the two one-sided tests; None where no margin was stated."""


def findings(
    contrasts: Sequence[Contrast], alpha: float = 0.05, level: float = LEVEL
) -> list[Finding]:
    """Returns what may be said of each contrast of one report, in the order given.

    Contrasts of cells that say the same on every task enter no test and no correction.

    Raises:
        ValueError: alpha or the level does not lie in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}; 0.05 is usual")
    tested = [one for one in contrasts if not _identical(one)]
    tests = [("different", one) for one in tested]
    tests += [("equivalent", one) for one in tested if one.equal]
    adjusted = holm([_p_value(kind, one) for kind, one in tests], len(tested))
    p = {(kind, id(one)): value for (kind, one), value in zip(tests, adjusted, strict=True)}
    return [
        _finding(one, p.get(("different", id(one))), p.get(("equivalent", id(one))), alpha, level)
        for one in contrasts
    ]


def _p_value(kind: str, one: Contrast) -> float:
    if kind == "different" or one.equal is None:
        return two_sided(one.inference, one.null)
    low, high = one.equal
    return max(one.inference.p_above(low), one.inference.p_below(high))


def _identical(one: Contrast) -> bool:
    return one.same is not None and one.same[0] == one.same[1] > 0


def _finding(
    one: Contrast, different: float | None, equivalent: float | None, alpha: float, level: float
) -> Finding:
    estimate = one.inference.estimate(level)
    if different is None:
        same, n = one.same or (0, 0)
        said = f"identical in {same} of {n} tasks"
        text = f"{one.name}: {said}; {_differ(same, n, level)}"
        return Finding(one.name, "identical", said, text, estimate, 1.0, None)
    word = _word(different <= alpha, equivalent is not None and equivalent <= alpha)
    said = {
        "different": "different",
        "equivalent": f"equivalent within {_margin(one)}",
        "different within the margin": f"different, but within {_margin(one)}",
        "undecided": f"undecided at n = {estimate.n}",
    }[word]
    p = equivalent if word == "equivalent" and equivalent is not None else different
    text = f"{one.name}: {said}: {_interval(estimate)}, adjusted p {p:.2g}"
    return Finding(one.name, word, said, text, estimate, different, equivalent)


def _word(
    different: bool, equivalent: bool
) -> Literal["different", "equivalent", "different within the margin", "undecided"]:
    if different:
        return "different within the margin" if equivalent else "different"
    return "equivalent" if equivalent else "undecided"


def _margin(one: Contrast) -> str:
    if one.margin is None:
        return "no margin"
    return f"{one.margin:g}" if one.null == 0 else f"a factor of {one.margin:g}"


def _differ(same: int, n: int, level: float) -> str:
    differ = identical(same, n).estimate(2 * level - 1)  # one-sided: none was seen to differ
    share = f"at most {differ.high or 0:.1%} differ"
    return f"of tasks like these, {share} (exact {level:.0%} bound)"


def _interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return estimate.method.removeprefix("none: ")
    if estimate.low is None and estimate.high is None:
        side = estimate.side and f"{estimate.side} "
        return f"{side}{estimate.value:.4g}, no interval ({estimate.method.removeprefix('none: ')})"
    low = "..." if estimate.low is None else f"{estimate.low:.4g}"
    high = "..." if estimate.high is None else f"{estimate.high:.4g}"
    return f"{estimate.value:.4g} [{low}, {high}] ({estimate.level:.0%}, {estimate.method})"
