"""The okrt side of one pytest process: what it collects and how a test gets its episode.

Registered as a plugin of its own when the first okrt option or test is met, so that other sessions
import nothing. There are two kinds: `pytest_okrt.controller` and `pytest_okrt.worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from okrt.engines.runner import Runner
from okrt.errors import OkrtError, UsageError
from okrt.plan import case_id
from okrt.redact import without_secrets
from okrt.selection.arguments import Given, read_options
from okrt.selection.cases import CaseSpec
from okrt.types import Episode
from pytest_okrt.cases import FIXTURES, Families, cases_of
from pytest_okrt.options import dest, value_of
from pytest_okrt.properties import properties
from pytest_okrt.workers import Collected

T = TypeVar("T")


COLLECT_ERROR = "okrt: "


class OkrtSession:
    """What both kinds share.

    Raises:
        okrt.errors.UsageError: an option or ini key is wrong.
    """

    def __init__(self, config: pytest.Config, run: Path, workers: Path) -> None:
        self.config = config
        self.run = run
        self.workers = workers
        self.given = _given(config)
        self.options = read_options(self.given)
        self.families = Families()
        self.runner = Runner(self.options, self.given.own_model)

    def generate(self, metafunc: pytest.Metafunc, mark: pytest.Mark) -> None:
        """Parametrizes a marked test; a mistake in the marker is a collection error of one line."""
        if not set(FIXTURES) & set(metafunc.fixturenames):
            name = metafunc.function.__name__
            raise pytest.Collector.CollectError(
                f"{COLLECT_ERROR}{name} is marked okrt but asks for none of the fixtures "
                f"{', '.join(FIXTURES)}"
            )
        try:
            cases = cases_of(mark, self.options, self.families)
        except UsageError as error:
            raise pytest.Collector.CollectError(f"{COLLECT_ERROR}{error}") from None
        options = self.options
        ids = [case_id(case.key, options.repeats > 1, options.axes) for case in cases]
        metafunc.parametrize("okrt_case", cases, ids=ids, indirect=True)

    def episode(self, item: pytest.Item, spec: CaseSpec) -> Episode:
        """Returns the episode of a test; a failure of infrastructure is an error of the test. Where
        there are gates, these judge how much may fail, and the test is skipped."""
        episode = self.one_line(lambda: self.obtain(item, spec))
        item.user_properties += properties(episode)
        if episode.failure is not None:
            failure = episode.failure
            told = f"infrastructure failed ({failure.boundary}): {failure.message}"
            if self.options.gates is not None:
                pytest.skip(f"okrt-infra: {told}")
            pytest.fail(f"okrt: {told}", pytrace=False)
        return episode

    @staticmethod
    def one_line(call: Callable[[], T]) -> T:
        """Returns what the call returns; what okrt raises fails the test with its message alone."""
        try:
            return call()
        except OkrtError as error:
            message = without_secrets(str(error))
        pytest.fail(f"okrt: {message}", pytrace=False)  # outside, or pytest shows the whole chain

    def collection(self, items: list[pytest.Item]) -> Collected:
        """Returns the selected cases and the sources of their families."""
        found = selected(items)
        cases = {item.nodeid: spec.manifest() for item, spec in found}
        return Collected(cases, self.families.sources(spec for _, spec in found))

    def obtain(self, item: pytest.Item, spec: CaseSpec) -> Episode:
        """Returns the episode of a test, run now or before, and sees to its being recorded.

        Raises:
            okrt.errors.OkrtError: its model or task cannot be had.
        """
        raise NotImplementedError


def _given(config: pytest.Config) -> Given:
    """Returns the options of a pytest session; plugins of plugins are asked by the hooks."""
    return Given(
        value=lambda name: value_of(config, name),
        folder=config.invocation_params.dir,
        writes=not hasattr(config, "workerinput"),
        own_model=lambda spec: config.hook.pytest_okrt_model(spec=spec),
        own_contract=lambda spec: config.hook.pytest_okrt_contract(spec=spec),
        warn=lambda line: config.issue_config_time_warning(
            pytest.PytestConfigWarning(f"okrt: {line}"), stacklevel=2
        ),
        on_command_line=lambda name: config.getoption(dest(name)),
    )


def selected(items: list[pytest.Item]) -> list[tuple[pytest.Item, CaseSpec]]:
    """Returns the tests that will be given an episode, with the coordinates of their cases."""
    found: list[tuple[pytest.Item, CaseSpec]] = []
    for item in items:
        if isinstance(item, pytest.Function) and "episode" in item.fixturenames:
            spec = item.callspec.params.get("okrt_case") if hasattr(item, "callspec") else None
            if isinstance(spec, CaseSpec):
                found.append((item, spec))
    return found
