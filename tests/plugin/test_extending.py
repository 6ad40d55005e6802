"""A user's own models, contracts, families and options."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import EVALUATION, Run, alone, first_on_workers, rows, text

OWN = """
import pytest
from okrt.runtimes.contracts import PERSISTENT
from okrt.types import Kept
from tests.toys import FAMILY, Says, block

class Own:
    name = "kept"
    notice = "Variables stay."
    false_notice = "Variables go."
    def keeps(self, turn, last):
        return Kept(names=True, files=True, note="Kept for you.")

def talk(conversation):
    return block("add(1)", "finish()")

MODEL = Says(block("add(1)", "finish()"), name="own")

KEPT = Own()

@pytest.mark.okrt(family="tests.toys:FAMILY", tiers=["low"], seeds=range(3))
def test_own(episode):
    assert episode.outcome.score >= 0
"""


@pytest.mark.parametrize(
    ("workers", "model"), first_on_workers(["test_own:talk", "test_own:MODEL"])
)
def test_a_model_contract_and_family_of_one_s_own(
    evaluate: Run, pytester: pytest.Pytester, model: str
) -> None:
    pytester.makepyfile(test_own=OWN)
    result = evaluate(f"--model={model}", "--runtime=test_own:KEPT")
    result.assert_outcomes(passed=3)
    assert {(r["model"], r["contract"], r["family"]) for r in rows(pytester.path / "run")} == {
        (model, "kept", "counting")
    }
    assert "self-check" not in text(result)


@alone
def test_a_family_object_in_the_marker(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=OWN.replace('"tests.toys:FAMILY"', "FAMILY"))
    evaluate("--model=test_own:talk").assert_outcomes(passed=6)


def test_hooks_add_models_and_contracts(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=OWN)
    pytester.makeconftest(
        """
        def pytest_okrt_model(spec):
            if spec == "house:one":
                from test_own import MODEL
                return MODEL

        def pytest_okrt_contract(spec):
            if spec == "house":
                from test_own import KEPT
                return KEPT
        """
    )
    evaluate("--model=house:one", "--runtime=house").assert_outcomes(passed=3)
    assert {(r["model"], r["contract"]) for r in rows(pytester.path / "run")} == {
        ("house:one", "kept")
    }


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_a_hook_is_asked_to_see_that_there_is_a_model_and_to_play_it(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    """No more, since it may load weights each time."""
    pytester.makepyfile(test_own=OWN)
    pytester.makeconftest(
        """
        def pytest_okrt_model(spec):
            from test_own import MODEL
            with open("asked", "a") as file:
                file.write(spec + "\\n")
            return MODEL
        """
    )
    evaluate("--model=house:one", "--runtime=stateless").assert_outcomes(passed=3)
    asked = (pytester.path / "asked").read_text().splitlines()
    assert asked == ["house:one"] * 2


def test_a_suite_that_defines_model_itself_drops_the_short_names(
    evaluate: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKRT_SHORT_OPTIONS", "0")
    pytester.makeconftest(
        """
        def pytest_addoption(parser):
            parser.addoption("--model", default="theirs")
            parser.addoption("--runtime", default="theirs")
        """
    )
    pytester.makepyfile(
        test_fit=EVALUATION + "\ndef test_theirs(request):\n"
        "    assert request.config.getoption('--model') == 'gpt'\n"
    )
    result = evaluate("--model=gpt", "--okrt-model=expert:stateless", "--okrt-runtime=stateless")
    result.assert_outcomes(passed=3)


def test_a_plugin_that_came_first_keeps_its_model_option(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        first="""
        def pytest_addoption(parser):
            parser.addoption("--model", default="theirs")
        """,
        test_theirs="def test_theirs(request):\n"
        "    assert request.config.getoption('--model') == 'gpt'\n",
    )
    monkeypatch.syspath_prepend(str(pytester.path))
    result = pytester.runpytest_subprocess("-p", "first", "--model=gpt", "--runtime=stateless")
    result.assert_outcomes(passed=1)
