"""Lookup control, where no runtime may matter: 100 tasks a tier. By name alone,
`pytest evals/lookup_control.py`."""

import pytest


@pytest.mark.okrt(family="lookup_control", tiers=["easy"], seeds=range(100))
def test_lookup_control(episode):
    assert episode.outcome is not None
