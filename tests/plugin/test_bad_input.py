"""A user's mistake is one line with the value and the remedy, never a traceback."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.checkpoints import make_adapter, make_checkpoint
from tests.plugin.conftest import EVALUATION, Run, alone, first_on_workers, plain


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--model=nosuch/dir", "unknown model 'nosuch/dir': there is no such directory; give expe"),
        ("--model=expert:nobody", "nobody"),
        ("--model=", "empty model ''"),
        ("--model=test_fit:nothing", "has no attribute 'nothing'"),
        ("--runtime=nosuch", "unknown runtime 'nosuch'; known: persistent, stateless, carryover,"),
        ("--runtime=reset-every-1", "give reset-every-K, K a number of blocks from 2 on"),
        ("--runtime=tests.toys:FAMILY", "it has no notice, false_notice, keeps"),
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
        ("--okrt-format=xml", "--okrt-format 'xml' is not one of fenced, code_tag, tool_call"),
        ("--okrt-thinking=hard", "--okrt-thinking 'hard' is not one of off, strip, keep"),
        ("--okrt-trained-under=x=both", "--okrt-trained-under 'x=both': write LABEL=CONTRACT"),
        ("--okrt-trained-under=x=mixed", "no model 'x'; have expert:persistent"),
        ("--okrt-preset=release", "--okrt-preset release needs the model to be judged"),
        ("--okrt-baseline=nosuch", "'nosuch' is no run directory and no saved baseline"),
        ("--okrt-out=", "--okrt-out '' names no directory"),
        ("--okrt-allow-package=no_such_package", "no_such_package"),
        ("--model=os:sep", "must have `name` and `generate`"),
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
    assert message in plain(result)
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
    assert message in plain(result)


def test_a_directory_without_a_checkpoint_says_what_is_missing(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "empty").mkdir()
    result = evaluate("--model=empty")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "config.json" in plain(result)


def test_an_unknown_option_is_pytest_s_own_error(evaluate: Run) -> None:
    result = evaluate("--okrt-nosuch=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --okrt-nosuch=1" in plain(result)


def test_a_run_directory_that_holds_something_is_refused(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "run").mkdir()
    (pytester.path / "run" / "precious").write_text("x")
    result = evaluate()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "run is not empty; name a new one or remove it" in plain(result)
    assert [p.name for p in Path(pytester.path / "run").iterdir()] == ["precious"]
    (pytester.path / "run" / "run.json").write_text("{}")
    told = plain(evaluate())
    assert "run holds a run: go on in it with --okrt-resume " in told
    assert "remove" not in told


def test_a_default_run_directory_that_cannot_be_made_ends_the_session(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makefile("", **{"okrt-runs": "a file is in the way"})
    result = evaluate(out=False)
    assert "cannot write a run directory" in plain(result)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)


MARKERS = {
    'tiers=["nosuch"]': "unknown tier 'nosuch' of opaque_knapsack; known: micro, easy",
    'family="nosuch"': "unknown family 'nosuch'; known: opaque_knapsack",
    "seeds=range(0)": "the marker's seeds are empty",
    "seeds=[-1]": "seed -1 is no whole number",
    "seeds=[1, 1]": "names a seed twice",
    "seeds=None": "the marker's seeds None are no list",
    "seeds=iter([])": "the marker's seeds are empty",
    "tiers=3": "the marker's tiers 3 are no list",
    "tiers=[]": "the marker's tiers are empty",
    "seeds=range(3), sedes=range(3)": "by keyword, not sedes (did you mean seeds?)",
    'tier="micro"': "by keyword, not tier (did you mean tiers?)",
    'seeds=[1], runtime="stateless"': "by keyword, not runtime (an option: --okrt-runtime)",
    "tool_cap=3, nosuch=1": "not tool_cap (an option: --okrt-tool-cap), nosuch",
    '"micro"': "takes family, tiers, seeds by keyword, not 'micro'",
    "family=object()": "breaks its protocol: it has no name, tiers, task, environment",
}


@pytest.mark.parametrize(("workers", "marker"), first_on_workers(MARKERS))
def test_a_wrong_marker_is_a_collection_error_of_one_line(
    evaluate: Run, pytester: pytest.Pytester, marker: str
) -> None:
    pytester.makepyfile(
        test_fit=EVALUATION.replace(
            'family="opaque_knapsack", tiers=["micro"], seeds=range(2)', marker
        )
    )
    result = evaluate()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert MARKERS[marker] in plain(result)


@alone
def test_an_expert_that_the_family_does_not_have_is_a_collection_error_of_one_line(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_fit=EVALUATION.replace("opaque_knapsack", "ledger_audit"))
    result = evaluate("--model=expert:persistent,batch=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "of ledger_audit: unknown setting 'batch=all'" in plain(result)


@alone
def test_an_unknown_tier_of_the_command_line_is_one_line(evaluate: Run) -> None:
    result = evaluate("--okrt-tier=nosuch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    known = "unknown tier 'nosuch' of opaque_knapsack; known: micro, easy, medium, hard"
    assert known in plain(result)


@alone
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
    assert "test_without is marked okrt but asks for none of the fixtures" in plain(result)
    pytester.makepyfile("def test_unmarked(episode): pass")
    result = evaluate()
    result.assert_outcomes(errors=1)
    assert "okrt fixtures need the test to be marked" in plain(result)


def test_dist_each_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_fit=EVALUATION)
    result = pytester.runpytest_inprocess("-n2", "--dist=each", "--runtime=stateless")
    assert "--dist=each runs every episode in each worker" in plain(result)


BROKEN = """
import pytest
from dataclasses import replace
from tests.toys import Counter, Counting

class Env(Counter):
    pass

class Broken(Counting):
    def environment(self, task):
        return Env(5)

{body}

def talk(conversation):
    return "hm"

@pytest.mark.okrt(family=Broken(), tiers=["low"], seeds=range(2))
def test_own(episode, okrt_task):
    pass
"""

RAISES = "def fail(self, *a): raise KeyError('gone')\n"
CHANGED = "def task(self, *a): return replace(Counting().task(*a), {})\nBroken.task = task"
MEMBERS = {
    "TaskFamily.task raised KeyError": RAISES + "Broken.task = fail",
    "TaskFamily.task was asked for": CHANGED.format("family='other'"),
    "TaskFamily.task: Task.private must be JSON data": CHANGED.format("private={'a': object()}"),
    "TaskFamily.environment raised KeyError": RAISES + "Broken.environment = fail",
    "Environment.tools raised KeyError": RAISES + "Env.tools = property(fail)",
    "Environment.finished raised KeyError": RAISES
    + "def put(self, value): pass\nEnv.finished = property(fail, put)",
    "Environment.outcome raised KeyError": RAISES + "Env.outcome = fail",
}


@pytest.mark.parametrize(("workers", "message"), first_on_workers(MEMBERS))
def test_a_family_that_breaks_its_protocol_is_named(
    evaluate: Run, pytester: pytest.Pytester, message: str
) -> None:
    pytester.makepyfile(test_own=BROKEN.format(body=MEMBERS[message]))
    result = evaluate("--model=test_own:talk", "--runtime=stateless", "--okrt-max-turns=2")
    result.assert_outcomes(errors=2)
    assert message in plain(result)
    assert "incomplete: 0 of 2 episodes" in plain(result)
    assert result.ret == 1


@alone
def test_a_contract_that_raises_fails_its_cases_and_no_other(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_own="""
        import pytest
        from okrt.types import Kept

        class Odd:
            name, notice, false_notice = "odd", "Some.", "None."
            def keeps(self, turn, last):
                if last.stdout:
                    raise KeyError("never asked")
                return Kept(True, True)

        ODD = Odd()

        @pytest.mark.okrt(tiers=["micro"], seeds=range(2))
        def test_own(episode):
            pass
        """
    )
    result = evaluate("--model=expert:stateless", "--runtime=test_own:ODD", "--runtime=stateless")
    result.assert_outcomes(passed=2, errors=2)
    said = "infrastructure failed (contract): Contract.keeps raised KeyError: 'never asked'"
    assert said in plain(result)
    assert "incomplete: 2 of 4 episodes, 2 broken off by infrastructure" in plain(result)


def test_two_contracts_of_one_name_are_refused(evaluate: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own=EVALUATION + "\nfrom okrt.runtimes.contracts import PERSISTENT as MINE\n"
    )
    result = evaluate("--runtime=test_own:MINE", "--runtime=persistent")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "a runtime is given twice" in plain(result)


@alone
def test_a_model_path_is_that_of_the_command_line(evaluate: Run, pytester: pytest.Pytester) -> None:
    make_checkpoint(pytester.path / "ck")
    pytester.makepyfile(
        test_fit=EVALUATION
        + """
@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
"""
    )
    evaluate(
        "--model=ck", "--runtime=stateless", "--okrt-max-turns=1", "--okrt-max-new-tokens=4"
    ).assert_outcomes(passed=2)


def test_a_checkpoint_without_the_extra_names_it(
    evaluate: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(pytester.path / "ck")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a)
    )
    result = evaluate("--model=ck")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "pip install 'okrt[hf]'" in plain(result)


def test_an_adapter_of_an_adapter_is_refused(evaluate: Run, pytester: pytest.Pytester) -> None:
    make_checkpoint(pytester.path / "base")
    make_adapter(pytester.path / "ad", pytester.path / "base")
    config = pytester.path / "ad" / "adapter_config.json"
    found = json.loads(config.read_text())
    config.write_text(json.dumps(found | {"base_model_name_or_path": str(config.parent)}))
    result = evaluate("--model=ad")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "is itself an adapter" in plain(result)


def test_an_estimate_leaves_out_what_cannot_be_run(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_own=BROKEN.format(body=RAISES + "Broken.environment = fail"))
    result = evaluate("--model=test_own:talk", "--runtime=stateless", "--okrt-estimate")
    assert "cannot be run: TaskFamily.environment raised KeyError" in plain(result)
    assert "all: 0 episodes" in plain(result)
    assert "1 cells left out" in plain(result)
    assert result.ret == 1


def test_an_estimate_of_a_model_that_counts_no_tokens_says_so(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_own=EVALUATION
        + """
from okrt.types import Completion, Usage

class Silent:
    name = "silent"
    def generate(self, conversations):
        return [Completion("hm", "stop", Usage()) for _ in conversations]

MODEL = Silent()
"""
    )
    shown = plain(
        evaluate(
            "--model=test_own:MODEL", "--runtime=stateless", "--okrt-estimate", "--okrt-max-turns=2"
        )
    )
    assert "2 episodes, tokens not measured" in shown
