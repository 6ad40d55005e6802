"""A long run says how far it is, to a person at a terminal."""

from __future__ import annotations

import re

import pytest

from pytest_okrt import recorder
from tests.plugin.conftest import Run, first_on_workers, text

LINE = re.compile(r"okrt: \d+/8 episodes, [\d.]+/s, [\d.]+ min left")


@pytest.mark.parametrize(
    ("workers", "case"), first_on_workers([(True, ""), (True, "-q"), (False, "")])
)
def test_progress_is_shown_at_a_terminal_alone(
    evaluate: Run,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[bool, str],
) -> None:
    tty, argument = case
    monkeypatch.setattr(recorder, "PROGRESS_S", 0.0)
    pytester.makeconftest(
        f"""
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_configure(config):
            reporter = config.pluginmanager.getplugin("terminalreporter")
            if reporter is not None:
                reporter.isatty = type(reporter.isatty)({tty})
        """
    )
    shown = text(evaluate(*argument.split()))
    assert bool(LINE.search(shown)) == (tty and not argument)
