"""A/A noise is what playing the same tasks again makes of a mean, and covers what it says."""

from __future__ import annotations

from statistics import fmean, variance

import numpy as np
import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.estimands import score, total_tokens
from okrt.analysis.noise import noise, noise_of
from tests.baselines.build import episode

Z = 1.959964


def tasks(*plays: tuple[float, ...]) -> list[list[Brief]]:
    return [
        [episode(seed, repeat, score=value) for repeat, value in enumerate(some)]
        for seed, some in enumerate(plays)
    ]


def test_it_is_the_repeatability_coefficient_of_the_mean() -> None:
    one = tasks((0.5, 0.7), (0.8, 0.8), (0.2, 0.5, 0.5))
    other = tasks((0.5, 0.6), (0.8, 0.9), (0.1, 0.2))
    spreads = [(variance((0.5, 0.7)) + 0 + 2 * variance((0.2, 0.5, 0.5))) / 4]
    spreads.append(fmean(variance(pair) for pair in ((0.5, 0.6), (0.8, 0.9), (0.1, 0.2))))
    error = spreads[0] * (1 / 2 + 1 / 2 + 1 / 3) / 9 + spreads[1] * (3 / 2) / 9
    found = noise(one, other, score)
    assert found is not None
    assert found.difference == pytest.approx(Z * error**0.5)
    assert found.tasks == 6


def test_a_side_that_was_played_once_takes_the_spread_of_the_other() -> None:
    for sides in ([(0.4, 0.6)], [(0.5,)]), ([(0.5,)], [(0.4, 0.6)]):
        found = noise_of(*sides)
        assert found is not None
        assert found.difference == pytest.approx(Z * (variance((0.4, 0.6)) * (1 / 2 + 1)) ** 0.5)
        assert found.tasks == 1


def test_between_single_plays_it_is_the_published_coefficient() -> None:
    """Bland and Altman (1999): 1.96 x sqrt(2) x the standard deviation within; here of 500 tasks
    of which one was played twice."""
    base = [(0.5,)] * 499
    found = noise_of([*base, (0.4, 0.6)], [*base, (0.5,)])
    assert found is not None
    each = found.difference * 500**0.5
    assert each == pytest.approx(Z * 2**0.5 * variance((0.4, 0.6)) ** 0.5, rel=1e-3)


def test_without_repeats_nothing_is_known() -> None:
    assert noise(tasks((0.4,), (0.5,)), tasks((0.4,), (0.5,)), score) is None
    assert noise([], [], score) is None
    assert noise(tasks((0.4, 0.5)), [], score) is None


def test_plays_that_are_all_alike_make_none() -> None:
    found = noise(tasks((0.4, 0.4), (0.5, 0.5)), tasks((0.4,), (0.5,)), score)
    assert found is not None
    assert (found.difference, found.ratio) == (0.0, 1.0)


def test_a_ratio_of_means_that_are_zero_is_not_known() -> None:
    found = noise(tasks((0.0, 0.0)), tasks((0.0,)), score)
    assert found is not None
    assert found.ratio is None


def test_what_was_not_measured_is_left_out() -> None:
    unknown = [[episode(0, repeat, total_tokens=None) for repeat in range(2)]]
    assert noise(unknown, unknown, total_tokens) is None
    found = noise([*tasks((0.4, 0.6)), unknown[0]], tasks((0.5,)), lambda row: row.total_tokens)
    assert found is not None  # the other task's tokens


def test_it_covers_95_percent_of_comparisons_of_a_model_with_itself() -> None:
    """Of synthetic cells of 40 tasks: two plays of each task, and a baseline of one."""
    draw = np.random.default_rng(7)
    inside = ratio_inside = 0
    rounds = 600
    base = draw.uniform(400, 800, size=40)
    for _ in range(rounds):
        new, old = base[:, None] + draw.normal(0, 60, (40, 2)), base + draw.normal(0, 60, 40)
        found = noise_of(new.tolist(), old[:, None].tolist())
        assert found is not None
        assert found.ratio is not None
        inside += bool(abs(new.mean() - old.mean()) < found.difference)
        ratio_inside += bool(1 / found.ratio < new.mean() / old.mean() < found.ratio)
    assert 0.93 < inside / rounds < 0.97
    assert 0.93 < ratio_inside / rounds < 0.97
