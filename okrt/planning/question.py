"""What is to be decided: a metric, a limit of some kind, a level."""

from __future__ import annotations

from dataclasses import dataclass

from okrt.analysis.measures import Measured
from okrt.gates.limits import ABSOLUTE, LimitKind, by_ratio, is_share

LEVEL = 0.95
"""Of each one-sided bound."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a figure of one cell, or of two compared by task, is within a limit."""

    metric: Measured
    kind: LimitKind
    limit: float
    level: float = LEVEL

    @property
    def alpha(self) -> float:
        return round(1 - self.level, 12)  # 1 - 0.95 is more than 0.05

    @property
    def cells(self) -> int:
        """How many cells it is about."""
        return 1 if self.kind in ABSOLUTE else 2

    @property
    def by_ratio(self) -> bool:
        return by_ratio(self.metric, self.kind)

    @property
    def nothing_differs(self) -> float:
        """The value of a comparison where the cells are equal."""
        return 1.0 if self.by_ratio else 0.0

    def eased(self, distance: float, truth: float) -> float | None:
        """Returns the limit that lies so far from the truth, the easier the farther; None where
        no such limit makes sense. Of comparisons the distance is from equality."""
        match self.kind:
            case "at_least" | "ratio_at_least":
                limit = truth - distance
                return limit if limit > 0 else None
            case "at_most" | "ratio_at_most":
                limit = truth + distance
            case "within" if self.by_ratio:
                limit = 1 + distance
            case _:
                limit = distance
        return None if is_share(self.metric) and not self.by_ratio and limit >= 1 else limit

    def words(self, limit: float | None = None) -> str:
        """Returns what is asked, in words; of another limit, where one is given."""
        number = self.limit if limit is None else limit
        value = f"{number:,.0f}" if number >= 1_000 else f"{number:.6g}"
        said = {
            "at_most": f"at most {value}",
            "at_least": f"at least {value}",
            "not_lower_by": f"lower by at most {value}",
            "not_higher_by": f"higher by at most {value}",
            "ratio_at_most": f"at most {value} times the other cell's",
            "ratio_at_least": f"at least {value} times the other cell's",
            "within": f"within {'a factor of ' * self.by_ratio}{value} of the other cell's",
        }[self.kind]
        return f"{self.metric.name} {said}"
