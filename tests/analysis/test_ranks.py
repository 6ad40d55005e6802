"""McNemar, Wilcoxon with its effect size, and the two one-sided t-tests: published examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from okrt.analysis.stats import equivalent, mcnemar, signed_ranks, student, tost

DEPRESSION = (
    [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30],
    [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29],
)
"""R's documentation of wilcox.test, after Hollander and Wolfe (1973)."""
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
"""R's data set sleep, after Student (1908)."""
PLANTS = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
"""scipy's documentation of wilcoxon: heights of crossed and self-fertilised plants."""


def test_mcnemar_is_exact() -> None:
    # R package contingencytables: McNemar_exact_cond_test_paired_2x2(cavo_2012), 59 / 6 / 16 / 80
    assert mcnemar(6, 16).p_value == pytest.approx(0.052479, abs=5e-7)
    # by hand: 2 x (1 + 8) / 2**8
    assert mcnemar(1, 7).p_value == pytest.approx(18 / 256)
    assert mcnemar(7, 1) == mcnemar(1, 7)
    assert (mcnemar(5, 5).p_value, mcnemar(5, 5).n) == (1, 10)
    assert (mcnemar(0, 0).p_value, mcnemar(0, 0).method) == (1, "none: no pair differs")
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_wilcoxon_reproduces_published_examples() -> None:
    found = signed_ranks(*DEPRESSION)
    assert found.positive == 40  # V
    assert found.p_value == pytest.approx(2 * 0.01953, abs=1e-5)  # R's is one-sided
    # R package effectsize: rank_biserial(first, second, paired = TRUE) is 0.78
    assert found.rank_biserial == pytest.approx(0.78, abs=0.005)
    plants = signed_ranks(PLANTS, [0] * len(PLANTS))
    assert (plants.negative, plants.p_value) == (24, 0.041259765625)
    assert plants.method == "Wilcoxon signed-rank, exact"


def test_the_rank_biserial_is_signed_and_reaches_its_ends() -> None:
    assert signed_ranks([2, 3, 4], [1, 1, 1]).rank_biserial == 1
    assert signed_ranks([1, 1, 1], [2, 3, 4]).rank_biserial == -1
    turned = signed_ranks(*reversed(DEPRESSION))
    assert turned.rank_biserial == pytest.approx(-(signed_ranks(*DEPRESSION).rank_biserial or 0))


def test_pairs_that_are_equal_or_missing_are_left_out_of_the_ranks() -> None:
    found = signed_ranks([2, 5, 7, None, 4], [1, 5, 4, 3, 6])
    # +1 and -2 and +3: ranks 1, 2 and 3
    assert (found.n, found.equal) == (3, 1)
    assert (found.positive, found.negative) == (4, 2)
    assert found.rank_biserial == pytest.approx(1 / 3)
    none = signed_ranks([0.5, 0.1 + 0.2], [0.5, 0.3])
    assert (none.p_value, none.rank_biserial, none.n, none.equal) == (1, None, 0, 2)
    assert signed_ranks([], []).method == "none: no pair differs"
    with pytest.raises(ValueError, match="zip"):
        signed_ranks([1], [1, 2])


def test_differences_that_rounding_parted_are_tied() -> None:
    found = signed_ranks([0.3, 0.9, 0.4], [0.2, 0.8, 0.1])
    assert (found.positive, found.method) == (6, "Wilcoxon signed-rank, normal approximation")


def test_many_or_tied_differences_go_by_the_normal_approximation() -> None:
    assert "normal" in signed_ranks(range(1, 52), [0] * 51).method
    assert "exact" in signed_ranks(range(1, 51), [0] * 50).method


@pytest.mark.parametrize("n", [1, 2, 7, 50, 51, 200])
@pytest.mark.parametrize("tied", [False, True])
def test_wilcoxon_has_the_figures_of_scipy(n: int, tied: bool) -> None:
    generator = np.random.default_rng(n)
    gaps = generator.integers(1, 6, n) if tied else np.arange(1, n + 1) ** 1.5
    gaps = gaps * generator.choice([-1, 1], n, p=[0.3, 0.7])
    found = signed_ranks(gaps, np.zeros(n))
    exact = n <= 50 and np.unique(np.abs(gaps)).size == n
    expected = stats.wilcoxon(gaps, method="exact" if exact else "asymptotic").pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert found.positive == stats.rankdata(np.abs(gaps))[gaps > 0].sum()


def test_mcnemar_has_the_figures_of_scipy() -> None:
    for one in range(12):
        for other in range(1, 12):
            expected = stats.binomtest(one, one + other, 0.5).pvalue
            assert mcnemar(one, other).p_value == pytest.approx(expected, rel=1e-12)


def test_tost_reproduces_a_published_example() -> None:
    """R package TOSTER: t_TOST(extra ~ group, sleep, paired = TRUE) with bounds of 1 gives p =
    0.9149441 (lower) and 4.778596e-05 (upper), 90% interval -2.293005 to -0.8669947."""
    found = tost(*SLEEP, margin=1)
    assert found.p_value == pytest.approx(0.9149441, abs=5e-8)
    assert found.n == 10
    gaps = [one - other for one, other in zip(*SLEEP, strict=True)]
    inference = student(gaps, "task")
    assert inference.p_below(1) == pytest.approx(4.778596e-05, rel=1e-6)
    estimate = inference.estimate(0.90)
    assert (estimate.low, estimate.high) == pytest.approx((-2.293005, -0.8669947), abs=1e-6)
    assert equivalent(estimate, 1).word == "inconclusive"
    assert equivalent(estimate, 2.3).word == "pass"
    assert tost(*SLEEP, margin=2.3).p_value < 0.05 < tost(*SLEEP, margin=2.29).p_value


def test_tost_of_what_bears_no_test() -> None:
    assert tost([1.0], [1.0], 0.1).p_value == 1
    assert tost([], [], 0.1).method == "none: no values"
    with pytest.raises(ValueError, match="margin must be positive"):
        tost([1.0], [1.0], 0)
