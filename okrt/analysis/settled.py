"""Figures of tasks that all say the same, of which a bootstrap has nothing to draw."""

from __future__ import annotations

from dataclasses import dataclass

from okrt.analysis.stats import LEVEL, Estimate, Pairing
from okrt.analysis.stats.estimate import check_level


@dataclass(frozen=True, slots=True)
class Settled:
    """What n tasks say that all have one value, where any other lies within [lowest, highest].

    At most a share u of tasks has another (Clopper and Pearson, 1934: none of n was seen), so that
    the mean is at least value - u x (value - lowest), and likewise above. The same bound as
    `stats.mean_difference` has for differences that are all equal.
    """

    value: float
    lowest: float
    highest: float
    n: int
    pairing: Pairing
    method: str

    def estimate(self, level: float = LEVEL) -> Estimate:
        check_level(level)
        share = 1 - ((1 - level) / 2) ** (1 / self.n)
        low = self.value - share * (self.value - self.lowest)
        high = self.value + share * (self.highest - self.value)
        return Estimate(self.value, low, high, level, self.method, self.n, self.pairing)

    def p_above(self, null: float) -> float:
        return self._tail(self.value - null, self.value - self.lowest)

    def p_below(self, null: float) -> float:
        return self._tail(null - self.value, self.highest - self.value)

    def _tail(self, distance: float, reach: float) -> float:
        if distance <= 0:
            return 1.0
        return max(0.0, 1 - distance / reach) ** self.n if reach > 0 else 0.0
