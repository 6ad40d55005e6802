"""The bootstrap of a function of means, for one sample or many at once.

Source: Efron (1987), "Better bootstrap confidence intervals"; Efron and Tibshirani (1993), chapter
14. Draws, quantiles and the bias correction are those of scipy.stats.bootstrap with the same
generator; differs: the jackknife of a function of means is had in one step from the total, not from
n resamples of n - 1 values, and a resample whose figure differs from the sample's by rounding alone
counts as equal to it.

Resamples are drawn as counts, how often each task is in each, from a fixed seed: the same for every
sample of n tasks. So a figure of thousands of samples costs one matrix product, and calibration
(`benchmarks/calibration.py`) runs the code that production runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from okrt.analysis.stats.estimate import Floats
from okrt.analysis.stats.special import special

Statistic = Callable[[Floats], Floats]
"""Means (..., k columns, m) -> figures (..., m)."""

RESAMPLES = 9_999
"""The default of scipy.stats.bootstrap."""
_SEED = 20_260_301
_RESAMPLED_AT_ONCE = 1_000_000
"""Values drawn in one step, which bounds the memory of a bootstrap."""
_ROUNDING = 1e-10
"""Share of the range of the resampled figures below which two of them are one."""


def only(means: Floats) -> Floats:
    """Returns the one mean."""
    first: Floats = means[..., 0, :]
    return first


def quotient(means: Floats) -> Floats:
    """Returns the first mean over the second."""
    found: Floats = means[..., 0, :] / means[..., 1, :]
    return found


def quotient_of_quotients(means: Floats) -> Floats:
    """Returns (first / second) / (third / fourth)."""
    return quotient(means) / quotient(means[..., 2:, :])


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """The figures of resamples, and what BCa corrects their quantiles by; (...) is one a sample."""

    value: Floats
    """(...): the figure of the sample itself."""
    figures: Floats
    """(..., RESAMPLES), sorted."""
    bias: Floats
    """(...): z0, infinite where every resample lies on one side of the sample."""
    acceleration: Floats
    """(...)"""

    def corrected(self, tails: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Returns, for each sample, whether BCa has an answer at all these tails."""
        shifted = self._shifted(np.asarray(tails, dtype=np.float64))
        return np.asarray(np.isfinite(shifted).all(axis=-1))

    def bounds(self, tails: npt.ArrayLike) -> Floats:
        """Returns (..., tails): the lower confidence bounds at these tail probabilities.

        By BCa; of a sample for which that has no answer, the plain percentiles.
        """
        plain = np.asarray(tails, dtype=np.float64)
        usable = self.corrected(plain)[..., None]
        return _quantiles(
            self.figures, np.where(usable, special().ndtr(self._shifted(plain)), plain)
        )

    def tail(self, null: float) -> Floats:
        """Returns (...): at which tail probability the lower bound is `null`.

        It is the p-value of the alternative that the truth lies above `null`, never below
        1 / (RESAMPLES + 1). It inverts `bounds`.
        """
        smallest = 1 / (self.figures.shape[-1] + 1)
        share = np.clip(_share_below(self.figures, np.float64(null)), smallest, 1 - smallest)
        with np.errstate(invalid="ignore", divide="ignore"):
            away = special().ndtri(share) - self.bias
            stretch = 1 + self.acceleration * away
            tail = special().ndtr(away / stretch - self.bias)
        found = np.where(np.isfinite(self.bias) & (stretch > 0), tail, share)
        return np.clip(found, smallest, 1 - smallest)

    def _shifted(self, tails: Floats) -> Floats:
        """Normal quantiles that take the place of those of the tails, NaN where there are none."""
        with np.errstate(invalid="ignore"):
            moved = self.bias[..., None] + special().ndtri(tails)
            stretch = 1 - self.acceleration[..., None] * moved
            return np.where(stretch > 0, self.bias[..., None] + moved / stretch, np.nan)


def resample(columns: Floats, statistic: Statistic) -> Resampled:
    """Returns the resampled figures of samples: columns (..., k, n), kept together by task."""
    *samples, size = columns.shape
    flat = columns.reshape(-1, size)
    sums = [flat @ counts.T.astype(np.float64) for counts in _counts(size)]
    means = np.concatenate(sums, axis=-1) / size
    figures = statistic(means.reshape(*samples, -1))
    figures.sort(axis=-1)
    value = statistic(columns.mean(axis=-1, keepdims=True))
    moved = influence(columns, statistic)
    with np.errstate(invalid="ignore"):
        acceleration = (moved**3).sum(axis=-1) / (6 * (moved**2).sum(axis=-1) ** 1.5)
    bias = special().ndtri(_share_below(figures, value))
    return Resampled(value[..., 0], figures, bias, acceleration)


def standard_error(columns: Floats, statistic: Statistic) -> Floats:
    """Returns (...): the jackknife standard error of the figure of columns (..., k, n).

    Source: Efron and Tibshirani (1993), section 11.2.
    """
    size = columns.shape[-1]
    squares = (influence(columns, statistic) ** 2).sum(axis=-1)
    error: Floats = np.sqrt(squares * (size - 1) / size)
    return error


def influence(columns: Floats, statistic: Statistic) -> Floats:
    """Returns (..., n): the figures without each task in turn, taken from their mean."""
    total = columns.sum(axis=-1, keepdims=True)
    left_out = statistic((total - columns) / (columns.shape[-1] - 1))
    found: Floats = left_out.mean(axis=-1, keepdims=True) - left_out
    return found


@lru_cache(maxsize=1)
def _counts(size: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """Returns (some resamples, tasks): how often each task is in each resample.

    Kept, because a report asks for the same ones many times and drawing them takes four fifths of
    the time: 50 MB for 5,000 tasks. No task is drawn 256 times where each is once on average.
    """
    found = []
    generator = np.random.default_rng(_SEED)
    at_once = max(1, _RESAMPLED_AT_ONCE // size)
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        drawn = generator.integers(0, size, (rows, size))
        drawn += size * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * size)
        found.append(counts.reshape(rows, size).astype(np.uint8))
    return tuple(found)


def _share_below(figures: Floats, value: Floats | np.float64) -> Floats:
    """Share of the sorted figures below a value, those that equal it counted half."""
    near = _ROUNDING * (figures[..., -1:] - figures[..., :1])
    below = (figures < value - near).mean(axis=-1)
    up_to = (figures <= value + near).mean(axis=-1)
    share: Floats = (below + up_to) / 2
    return share


def _quantiles(figures: Floats, shares: Floats) -> Floats:
    """Linear interpolation between neighbours, as numpy.quantile does."""
    shares = np.broadcast_to(shares, (*figures.shape[:-1], shares.shape[-1]))
    place = shares * (figures.shape[-1] - 1)
    floor = np.clip(np.floor(place), 0, figures.shape[-1] - 2).astype(np.intp)
    low = np.take_along_axis(figures, floor, axis=-1)
    high = np.take_along_axis(figures, floor + 1, axis=-1)
    found: Floats = low + (place - floor) * (high - low)
    return found
