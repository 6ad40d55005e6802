"""Which limits a metric can have, and which values they can take.

A limit must be something that data can be on either side of: a share of 0 can never be shown, a
share of 5 is meant as 0.05, a ratio of 10 as 1.10.
"""

from __future__ import annotations

from math import ceil, isfinite, log, log1p
from typing import Literal, get_args

from okrt.analysis.measures import Measured

LimitKind = Literal[
    "at_most",
    "at_least",
    "not_lower_by",
    "not_higher_by",
    "ratio_at_most",
    "ratio_at_least",
    "within",
]
KINDS: tuple[LimitKind, ...] = get_args(LimitKind)
ABSOLUTE: tuple[LimitKind, ...] = ("at_most", "at_least")
_SHARES = ("score", "relative score", "share")
MOST_RELATIVE = 2.0
"""Relative scores are 1 at the reference player, who may be beaten, but not by so much."""
FACTOR = 10.0
"""Ratios at or beyond it, either way, are percentages written as ratios."""


def is_share(metric: Measured) -> bool:
    """Whether its differences lie in [-1, 1]; else it is an amount, compared by ratios."""
    return metric.unit in _SHARES


def kinds_of(metric: Measured) -> tuple[LimitKind, ...]:
    """Returns the limits that make sense for a metric: that better is enough, never worse."""
    better = metric.more_is_better
    found: list[LimitKind] = ["at_least" if better else "at_most"]
    if metric.differs:
        found.append("not_lower_by" if better else "not_higher_by")
    if metric.divides:
        found.append("ratio_at_least" if better else "ratio_at_most")
    return (*found, "within")


def by_ratio(metric: Measured, kind: LimitKind) -> bool:
    """Whether a limit is one on a ratio; `within` is, of an amount."""
    return kind.startswith("ratio") or (kind == "within" and not is_share(metric))


def wrong(metric: Measured, kind: LimitKind, value: float) -> str:
    """Returns what a limit's value must be, where it is not that; else nothing."""
    if not isfinite(value):
        return "a limit is a finite number"
    if by_ratio(metric, kind):
        return _wrong_ratio(kind, value)
    if kind in ABSOLUTE:
        return _wrong_amount(metric, value)
    if is_share(metric):
        if 0 < value < 1:
            return ""
        what = f"a difference in {metric.unit} lies above 0 and below 1 (3 points are 0.03)"
        return what + ("; the direction is in the name of the limit" if value < 0 else "")
    if value < 1 and metric.unit != "turns":
        return (
            f"a difference is in {metric.unit}, 1 at least; for a share of them write "
            "ratio_at_most = 1.10 in a gate file, --ratio 1.10 on the command line"
        )
    return "" if value > 0 else f"a difference in {metric.unit} lies above 0"


def hopeless(metric: Measured, kind: LimitKind, value: float, level: float, tasks: int) -> str:
    """Returns why no outcome of so many tasks could pass a limit of a rate; else nothing.

    Of n tasks without one event the bound of Clopper and Pearson is 1 - alpha ** (1 / n).
    """
    if metric.kind != "rate" or kind not in ABSOLUTE:
        return ""
    limit = value if kind == "at_most" else 1 - value
    fewest = ceil(log(1 - level) / log1p(-limit) - 1e-9)
    if tasks >= fewest:
        return ""
    return f"{tasks} tasks a cell can never show it: {fewest} without one slip are the fewest"


def _wrong_ratio(kind: LimitKind, value: float) -> str:
    if kind == "within":
        return "" if 1 < value < FACTOR else "a factor lies above 1 and below 10: 1.10, say"
    if 1 / FACTOR < value < FACTOR:
        return ""
    return "a ratio lies between 0.1 and 10: 1.10 allows ten percent more, 0.90 ten percent less"


def _wrong_amount(metric: Measured, value: float) -> str:
    if metric.unit == "relative score":
        allowed = 0 < value < MOST_RELATIVE
        return "" if allowed else "a relative score lies between 0 and 2, both left out"
    if is_share(metric):
        return "" if 0 < value < 1 else f"a {metric.unit} lies above 0 and below 1: 5% is 0.05"
    if metric.kind == "ratio":
        return "" if value > 0 else f"a {metric.unit} lies above 0"
    return "" if value >= 1 else f"{metric.unit} are at least 1"
