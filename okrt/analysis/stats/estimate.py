"""What every estimate says of itself, and what can be asked of the data behind one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Pairing = Literal["none", "task"]
Floats = npt.NDArray[np.float64]

LEVEL = 0.95
"""Of the intervals that are shown."""
ONE_SIDED = 0.90
"""Level of the two-sided interval whose two ends are the one-sided 95% bounds of a verdict."""
FEWEST = 10
"""Values below which no bootstrap interval is claimed: it lies within the values, so that of n it
covers the mean of a symmetric distribution at most 1 - 2**(1 - n) of the time, half at n = 2."""
NO_VALUES = "none: no values"
NO_SPREAD = "none: no spread among the values"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far it can be trusted."""

    value: float | None
    """None where there is nothing to estimate it from."""
    low: float | None
    """None alone: the data say nothing of how low the truth may lie; likewise `high`."""
    high: float | None
    level: float
    """Of the two-sided interval [low, high]; each end alone is a bound at (1 + level) / 2."""
    method: str
    """How the interval was found, or "none: " and why there is none."""
    n: int
    """Values that entered: tasks, unless the caller says otherwise."""
    pairing: Pairing
    """`task`: two measures of each task were kept together."""
    side: Literal["", "at least", "at most"] = ""
    """What the value itself is known to be, where limits cut what it was computed from."""


class Inference(Protocol):
    """What the data say of one figure: an interval at any level, and tests that agree with it."""

    def estimate(self, level: float = LEVEL) -> Estimate:
        """Returns the figure with its interval.

        Raises:
            ValueError: the level does not lie in (0, 1).
        """

    def p_above(self, null: float) -> float:
        """Returns the p-value against `null` of the alternative that the truth lies above it."""

    def p_below(self, null: float) -> float:
        """Returns the p-value against `null` of the alternative that the truth lies below it."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An inference that bears no interval; every p-value is 1."""

    value: float | None
    reason: str
    """Starts with "none: "."""
    n: int
    pairing: Pairing

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        return Estimate(self.value, None, None, level, self.reason, self.n, self.pairing)

    def p_above(self, null: float) -> float:
        return 1.0

    def p_below(self, null: float) -> float:
        return 1.0


def two_sided(inference: Inference, null: float) -> float:
    """Returns the p-value against `null` of the alternative that the truth is another."""
    return min(1.0, 2 * min(inference.p_above(null), inference.p_below(null)))


def check_level(level: float) -> None:
    """Raises ValueError unless the level lies in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"the level must lie in (0, 1), got {level}; 0.95 is usual")


def known(columns: list[Iterable[float | None]]) -> list[Floats]:
    """Returns the columns without the places at which any of them is missing (None, NaN).

    Raises:
        ValueError: the lengths differ, or a value is infinite.
    """
    table = np.array(list(zip(*columns, strict=True)), dtype=np.float64)  # None becomes NaN
    table = table.reshape(-1, len(columns))
    if np.isinf(table).any():
        raise ValueError("values must be finite; a missing value is None or NaN")
    kept = table[~np.isnan(table).any(axis=1)]
    return [np.ascontiguousarray(column) for column in kept.T]


def no_interval(values: Floats, fewest: int = FEWEST) -> str:
    """Returns why these values bear no interval, or nothing. Rounding is no spread."""
    if values.size == 0:
        return NO_VALUES
    if values.size > 1 and np.ptp(values) <= 1e-9 * np.abs(values).max():
        return NO_SPREAD
    return f"none: fewer than {fewest} values" if values.size < fewest else ""
