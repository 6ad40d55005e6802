"""Fixtures of all tests."""

from __future__ import annotations

import os

for _name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)  # runs within tests are nothing for the summary of our own job

pytest_plugins = ["pytester"]
