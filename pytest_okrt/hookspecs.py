"""Hooks by which plugins of plugins add models and contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from okrt.types import Contract, Model


@pytest.hookspec(firstresult=True)
def pytest_okrt_model(spec: str) -> Model | None:
    """Returns the model of a `--model` spec (its label cut off), or None to leave it to others.

    Asked before okrt's own reading of the spec, once in each process that runs episodes, and once
    in the controller to find out whether the spec names anything.
    """


@pytest.hookspec(firstresult=True)
def pytest_okrt_contract(spec: str) -> Contract | None:
    """Returns the contract of a `--runtime` name, or None to leave it to others."""
