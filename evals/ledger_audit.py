"""Ledger audit: 100 tasks a tier. By name alone, `pytest evals/ledger_audit.py`."""

import pytest


@pytest.mark.okrt(family="ledger_audit", tiers=["easy"], seeds=range(100))
def test_ledger_audit(episode):
    assert episode.outcome is not None
