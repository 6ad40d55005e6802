"""A user's mistake is one line with the value and the remedy, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import EVALUATION, Run, text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--model=nosuch/dir", "unknown model 'nosuch/dir': give expert:NAME"),
        ("--model=expert:nobody", "nobody"),
        ("--model=", "empty model ''"),
        ("--model=test_fit:nothing", "has no attribute 'nothing'"),
        ("--runtime=nosuch", "unknown runtime 'nosuch'; known: persistent, stateless"),
        ("--okrt-seeds=5:5", "seeds '5:5' is an empty range"),
        ("--okrt-seeds=many", "cannot read seeds 'many'"),
        ("--okrt-repeats=0", "--okrt-repeats '0': give a whole number of at least 1"),
        ("--okrt-tool-cap=-1", "--okrt-tool-cap '-1'"),
        ("--okrt-max-turns=x", "--okrt-max-turns 'x'"),
        ("--okrt-temperature=hot", "--okrt-temperature 'hot': give 0 (greedy)"),
        ("--okrt-temperature=nan", "--okrt-temperature 'nan'"),
        ("--okrt-prompts=nosuch", "--okrt-prompts 'nosuch' is not one of matched, coached"),
        ("--okrt-cue=maybe", "--okrt-cue 'maybe' is not one of none, true, false"),
        ("--okrt-names=yes", "--okrt-names 'yes' is not one of on, off"),
        ("--okrt-format=xml", "--okrt-format 'xml' is not one of fenced, code_tag"),
        ("--okrt-thinking=hard", "--okrt-thinking 'hard' is not one of off, strip, keep"),
        ("--okrt-trained-under=x=both", "--okrt-trained-under 'x=both': write LABEL=CONTRACT"),
        ("--okrt-trained-under=x=mixed", "no model 'x'; have expert:persistent"),
        ("--okrt-out=test_fit.py", "is a file; name another directory"),
        ("--okrt-out=test_fit.py/below", "is not writable"),
    ],
)
def test_a_wrong_value_is_a_usage_error(
    evaluate: Run, pytester: pytest.Pytester, argument: str, message: str
) -> None:
    pytester.makepyfile(test_fit=EVALUATION)
    result = evaluate(argument, out=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in text(result)
    assert "Traceback" not in text(result)
    assert sum("okrt" in line for line in result.errlines) == 1
    assert not (pytester.path / "okrt-runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=a/same", "--model=b/same"], "two models are labelled 'same'"),
        (["--runtime=stateless", "--runtime=stateless"], "a runtime is given twice"),
    ],
)
def test_values_that_clash_are_a_usage_error(
    evaluate: Run, arguments: list[str], message: str
) -> None:
    result = evaluate(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in text(result)
    assert "Traceback" not in text(result)


def test_a_directory_without_a_checkpoint_says_what_is_missing(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "empty").mkdir()
    result = evaluate("--model=empty")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "config.json" in text(result)
    assert "Traceback" not in text(result)


def test_an_unknown_option_is_pytest_s_own_error(evaluate: Run) -> None:
    result = evaluate("--okrt-nosuch=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --okrt-nosuch=1" in text(result)


def test_a_run_directory_that_holds_something_is_refused(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "run").mkdir()
    (pytester.path / "run" / "precious").write_text("x")
    result = evaluate()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "run is not empty; name a new one or remove it" in text(result)
    assert [p.name for p in Path(pytester.path / "run").iterdir()] == ["precious"]


def test_a_default_run_directory_that_cannot_be_made_ends_the_session(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makefile("", **{"okrt-runs": "a file is in the way"})
    result = evaluate(out=False)
    assert "cannot write a run directory" in text(result)
    assert "Traceback" not in text(result)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)


MARKERS = {
    'tiers=["nosuch"]': "unknown tier 'nosuch' of opaque_knapsack; known: micro, easy",
    'family="nosuch"': "unknown family 'nosuch'; known: opaque_knapsack",
    "seeds=range(0)": "the marker's seeds are empty",
    "seeds=[-1]": "seed -1 is no whole number",
    "seeds=[1, 1]": "names a seed twice",
    "sedes=range(3)": "takes family, tiers, seeds by keyword",
    "family=object()": "breaks its protocol: it has no name, tiers, task, environment",
}


@pytest.mark.parametrize("marker", MARKERS)
def test_a_wrong_marker_is_a_collection_error_of_one_line(
    evaluate: Run, pytester: pytest.Pytester, marker: str
) -> None:
    pytester.makepyfile(
        test_fit=EVALUATION.replace(
            'family="opaque_knapsack", tiers=["micro"], seeds=range(2)', marker
        )
    )
    result = evaluate()
    assert result.ret != 0
    assert MARKERS[marker] in text(result)
    assert "Traceback" not in text(result)
    assert "INTERNALERROR" not in text(result)


def test_an_unknown_tier_of_the_command_line_is_one_line(evaluate: Run) -> None:
    result = evaluate("--okrt-tier=nosuch")
    assert result.ret != 0
    assert "unknown tier 'nosuch' of opaque_knapsack; known: micro, easy, medium, hard" in text(
        result
    )
    assert "Traceback" not in text(result)
    assert "INTERNALERROR" not in text(result)


def test_fixtures_without_the_marker_say_so(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_unmarked(episode):
            pass

        @pytest.mark.okrt(seeds=range(2))
        def test_without():
            pass
        """
    )
    result = evaluate()
    assert "test_without is marked okrt but asks for none of the fixtures" in text(result)
    pytester.makepyfile("def test_unmarked(episode): pass")
    result = evaluate()
    result.assert_outcomes(errors=1)
    assert "okrt fixtures need the test to be marked" in text(result)


def test_dist_each_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_fit=EVALUATION)
    result = pytester.runpytest_inprocess("-n2", "--dist=each", "--runtime=stateless")
    assert "--dist=each runs every episode in each worker" in text(result)
    assert "Traceback" not in text(result)


BROKEN = """
import pytest
from tests.toys import Counting

class Broken(Counting):
    def {member}(self, *args, **kwargs):
        raise KeyError("nothing there")

def talk(conversation):
    return "hm"

@pytest.mark.okrt(family=Broken(), tiers=["low"], seeds=range(1))
def test_own(episode):
    pass
"""


@pytest.mark.parametrize("member", ["task", "environment"])
def test_a_family_that_breaks_its_protocol_is_named(
    evaluate: Run, pytester: pytest.Pytester, member: str
) -> None:
    pytester.makepyfile(test_own=BROKEN.format(member=member))
    result = evaluate("--model=test_own:talk", "--runtime=stateless")
    result.assert_outcomes(errors=1)
    assert f"TaskFamily.{member} raised KeyError: 'nothing there'" in text(result)
    assert "Traceback" not in text(result)
    assert result.ret == 1
