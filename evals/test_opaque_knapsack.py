"""Opaque Knapsack: the shipped evaluation, 100 tasks a tier."""

import pytest


@pytest.mark.okrt(family="opaque_knapsack", tiers=["easy"], seeds=range(100))
def test_opaque_knapsack(episode):
    assert episode.outcome is not None
