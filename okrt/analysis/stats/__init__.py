"""Estimates with intervals that say what they are, and verdicts by them.

Each number comes with its method, level, n and pairing. Where the data bear no interval (nothing,
few values, no spread), none is claimed: `low` and `high` are None and the method says why.
Resampling is seeded: the same values in the same order give the same interval. Which method answers
which question is in docs/statistics.md.
"""

from okrt.analysis.stats.bootstrap import RESAMPLES
from okrt.analysis.stats.estimate import (
    FEWEST,
    LEVEL,
    ONE_SIDED,
    Estimate,
    Inference,
    Pairing,
    Unknown,
    two_sided,
)
from okrt.analysis.stats.means import (
    clustered_mean,
    mean,
    mean_difference,
    mean_interval,
    ratio,
    ratio_of_ratios,
    ratio_of_sums,
    student,
)
from okrt.analysis.stats.ranks import PValue, SignedRanks, mcnemar, signed_ranks, tost
from okrt.analysis.stats.rates import (
    CLOPPER_PEARSON,
    clustered_rate,
    identical,
    rate,
    rate_difference,
    rate_interval,
)
from okrt.analysis.stats.seeds import OverSeeds, over_seeds
from okrt.analysis.stats.verdicts import (
    Verdict,
    at_least,
    at_most,
    equivalent,
    equivalent_ratio,
    holm,
    non_inferior,
    within,
)

__all__ = [
    "CLOPPER_PEARSON",
    "FEWEST",
    "LEVEL",
    "ONE_SIDED",
    "RESAMPLES",
    "Estimate",
    "Inference",
    "OverSeeds",
    "PValue",
    "Pairing",
    "SignedRanks",
    "Unknown",
    "Verdict",
    "at_least",
    "at_most",
    "clustered_mean",
    "clustered_rate",
    "equivalent",
    "equivalent_ratio",
    "holm",
    "identical",
    "mcnemar",
    "mean",
    "mean_difference",
    "mean_interval",
    "non_inferior",
    "over_seeds",
    "rate",
    "rate_difference",
    "rate_interval",
    "ratio",
    "ratio_of_ratios",
    "ratio_of_sums",
    "signed_ranks",
    "student",
    "tost",
    "two_sided",
    "within",
]
