"""`--okrt-gates`: a session ends with 0 only where every gate passed, whatever became of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from okrt.cli import main
from tests.plugin.conftest import Run, alone, text

EVALUATION = """
import pytest
from okrt.errors import ModelFailure
from tests.toys import block

def talk(conversation):
    return block("finish()")

def gone(conversation):
    raise ModelFailure("server gone")

@pytest.mark.okrt(tiers=["easy"], seeds=2)
def test_own(episode):
    assert episode.outcome is not None
"""
GATES = """
[run]
tiers = ["micro"]
seeds = 10
runtimes = ["stateless"]

[[gate]]
name = "lost"
metric = "lost_rate"
at_most = 0.30
"""
LENIENT = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 0
"""
MODEL = "--model=m=test_own:talk"
GATED = ("--okrt-gates=gates.toml", MODEL)
thorough = partial(pytest.param, marks=pytest.mark.thorough)
ALONE = pytest.mark.parametrize("workers", ["0"], ids=["alone"])


@pytest.fixture
def gated(evaluate: Run, pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs the evaluation with a gate file; `gates` is its text, `given` in the place of GATED."""

    def run(
        *arguments: str, gates: str = GATES, given: tuple[str, ...] = GATED, out: bool = True
    ) -> pytest.RunResult:
        (pytester.path / "gates.toml").write_text(gates)
        if not (pytester.path / "test_own.py").exists():
            pytester.makepyfile(test_own=EVALUATION)
        return evaluate(*given, *arguments, out=out)

    return run


def decided(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "gates.json").read_text())
    return found


def refused(result: pytest.RunResult, *said: str) -> None:
    """A session that was to decide and could not: not 0, and it says why."""
    assert result.ret != 0
    shown = text(result)
    assert "INTERNALERROR" not in shown
    for words in said:
        assert words in shown, shown


def test_a_run_whose_gates_pass_ends_with_0(
    gated: Run, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate file says which tiers, tasks and runtimes; the same is decided offline."""
    result = gated()
    result.assert_outcomes(passed=10)
    assert result.ret == 0
    shown = text(result)
    assert "pass          lost (m, stateless, micro): lost_rate: 0, one-sided 95% bounds" in shown
    assert "gates: pass: 1 of 1 gate passed (opaque_knapsack/micro, seeds 0-9, tool cap 6)" in shown
    assert "no gates" not in shown
    run = pytester.path / "run"
    first = decided(run)
    assert (first["verdict"], first["file"]) == ("pass", "gates.toml")
    (run / "gates.json").unlink()
    capsys.readouterr()
    assert main(["gate", str(run), "--gates", str(pytester.path / "gates.toml")]) == 0
    assert decided(run) == first
    printed = capsys.readouterr()
    assert "gates: pass" in printed.out
    assert printed.err == ""
    strict = pytester.path / "strict.toml"
    strict.write_text(GATES + '\n[[gate]]\nname="q"\nmetric="score"\nat_least=0.99\n')
    assert "fail: 1 of 2 gates" not in (run / "report.html").read_text("utf-8")
    assert main(["gate", str(run), "--gates", str(strict)]) == 1
    assert f"{run / 'gates.json'} said before: pass: 1 of 1 gate" in capsys.readouterr().err
    assert "fail: 1 of 2 gates" in (run / "report.html").read_text("utf-8")


@pytest.mark.thorough
@alone
def test_a_gate_that_fails_ends_with_1_though_every_test_passed(
    gated: Run, pytester: pytest.Pytester
) -> None:
    result = gated(gates=GATES + '\n[[gate]]\nname="q"\nmetric="score"\nat_least=0.5\n')
    result.assert_outcomes(passed=10)
    assert result.ret == 1
    assert "fail          q (m, stateless, micro): score" in text(result)
    assert "gates: fail: 1 of 2 gates failed: q" in text(result)
    assert decided(pytester.path / "run")["verdict"] == "fail"


@ALONE
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-k", "nothing-at-all"), "no case was run"),
        thorough(("-k", "micro-1"), "9 of 10 episodes are missing (seeds 0, 2, 3, ...)"),
        (("--collect-only", "-q"), "--collect-only runs nothing"),
        (("--okrt-estimate",), "--okrt-estimate runs three tasks a cell"),
        (("--deselect=test_own.py",), "no case was run"),
        thorough(("--no-summary", "-k", "micro-1"), "gates: incomplete"),
        thorough(("--okrt-max-tokens=1",), "episodes are missing"),
    ],
    ids=["none", "some", "collect", "estimate", "deselect", "no-summary", "tokens"],
)
def test_a_session_that_leaves_something_out_never_ends_with_0(
    gated: Run, arguments: tuple[str, ...], said: str
) -> None:
    refused(gated(*arguments), said, "gates: incomplete")


@ALONE
def test_a_session_without_its_tests_never_ends_with_0(
    gated: Run, pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]
) -> None:
    pytester.makepyfile(test_own="def test_other(): pass")
    refused(gated(given=("--okrt-gates=gates.toml", "--model=expert:stateless")), "no case was run")
    pytester.makepyfile(test_own=EVALUATION + "    pytest.exit('enough', returncode=0)")
    assert gated("--okrt-out=other", out=False).ret == 1
    capfd.readouterr()
    pytester.makeconftest(LENIENT)
    result = gated("-p", "no:terminal", "-k", "micro-1", "--okrt-out=third", out=False)
    assert result.ret != 0
    assert "okrt: gates: incomplete" in text(result) + capfd.readouterr().err
    assert decided(pytester.path / "third")["verdict"] == "incomplete"


@pytest.mark.thorough
@pytest.mark.parametrize("workers", ["2"], ids=["n2"])
def test_deselected_cases_are_incomplete_on_workers_too(gated: Run) -> None:
    refused(gated("-k", "micro-1"), "9 of 10 episodes are missing", "gates: incomplete")


@pytest.mark.thorough
@ALONE
def test_a_failed_test_keeps_its_exit_and_x_leaves_the_run_incomplete(
    gated: Run, pytester: pytest.Pytester
) -> None:
    strict = EVALUATION.replace("is not None", "is not None\n    assert episode.task.seed")
    pytester.makepyfile(test_own=strict)
    result = gated()
    assert result.ret == 1
    assert "gates: pass" in text(result)
    refused(gated("-x", "--okrt-out=other", out=False))


@ALONE
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--okrt-gates=gates.toml",), "give --model on the command line"),
        (("--okrt-gates=nosuch.toml", MODEL), "gates 'nosuch.toml': no such file"),
        ((*GATED, "--okrt-seeds=5"), "--okrt-seeds 5 contradicts the gates 'gates.toml', which"),
        ((*GATED, "--okrt-tier=easy"), "--okrt-tier easy contradicts the gates"),
        ((*GATED, "--runtime=persistent"), "--okrt-runtime persistent contradicts the gates"),
        ((*GATED, "--okrt-baseline=nosuch"), "okrt baseline save RUN"),
        (("--okrt-gates=release", MODEL), "states no runtimes: give --runtime"),
        (("--okrt-gates=", MODEL), "gates '': no such file"),
    ],
    ids=["model", "file", "seeds", "tier", "runtime", "baseline", "open", "empty"],
)
def test_what_contradicts_is_said_at_once(gated: Run, given: tuple[str, ...], said: str) -> None:
    result = gated(given=given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in text(result)
    assert "Traceback" not in text(result)


@ALONE
def test_the_cap_that_the_file_states_is_run(gated: Run) -> None:
    capped = GATES.replace("[run]", "[run]\ntool_cap = 4")
    result = gated(gates=capped)
    assert "gates: pass: 1 of 1 gate passed (opaque_knapsack/micro, seeds 0-9, tool cap 4)" in text(
        result
    )
    result = gated("--okrt-tool-cap=6", gates=capped)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--okrt-tool-cap 6 contradicts the gates 'gates.toml', which state 4" in text(result)
    result = gated("--okrt-tool-cap=44", "--okrt-repeats=" + "9" * 5000, gates=capped)
    assert "--okrt-tool-cap 44 contradicts the gates" in text(result)
    twice = capped.replace("seeds = 10", "seeds = 10\nrepeats = 10")
    for fewer in ("007", " 7"):
        result = gated(f"--okrt-repeats={fewer}", gates=twice)
        assert "contradicts the gates 'gates.toml', which state 10" in text(result)
    result = gated("--okrt-repeats=" + "9" * 5000, gates=capped)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--okrt-repeats '9999" in text(result)


@ALONE
def test_a_wrong_gate_file_is_one_line(gated: Run) -> None:
    result = gated(gates=GATES.replace("0.30", "30"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "gates.toml:10: gate 'lost': at_most = 30: a share lies above 0" in text(result)
    result = gated(gates=GATES + 'model = "other"\n')
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "model 'other' is not among those given: m" in text(result)


@ALONE
def test_ini_keys_do_not_name_the_model_and_do_not_shrink_the_run(
    gated: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\nokrt_gates = gates.toml\nokrt_model = m=test_own:talk\n")
    assert gated(given=()).ret == pytest.ExitCode.USAGE_ERROR
    ini = "[pytest]\nokrt_gates = gates.toml\nokrt_seeds = 3\nokrt_tier = easy\n"
    pytester.makeini(ini)
    result = gated(given=(MODEL,))
    result.assert_outcomes(passed=10)
    assert result.ret == 0


@pytest.mark.thorough
@ALONE
def test_more_than_the_gates_ask_for_may_be_run(gated: Run, pytester: pytest.Pytester) -> None:
    more = ("--okrt-seeds=11", "--okrt-tier=micro", "--runtime=stateless", "--runtime=persistent")
    result = gated(*more, "--model=n=test_own:talk")
    assert result.ret == 0
    result.assert_outcomes(passed=44)
    cells = [
        (one["model"], one["runtime"], one["n"]) for one in decided(pytester.path / "run")["gates"]
    ]
    assert cells == [("m", "stateless", 10), ("n", "stateless", 10)]


@alone
def test_infrastructure_is_judged_by_the_gates_and_fails_no_test(
    gated: Run, pytester: pytest.Pytester
) -> None:
    result = gated(given=("--okrt-gates=gates.toml", "--model=m=test_own:gone"))
    result.assert_outcomes(skipped=10)
    refused(result, "infrastructure broke off 10 of 10 episodes (model: m: the")
    assert decided(pytester.path / "run")["verdict"] == "incomplete"


@alone
def test_after_resume_the_whole_run_is_judged(gated: Run, pytester: pytest.Pytester) -> None:
    """What was decided before the run went on is not what it says of itself afterwards."""
    gated("-n0", "--okrt-max-tokens=1")
    run = pytester.path / "run"
    given = (MODEL, "--runtime=stateless", "--okrt-tier=micro", "--okrt-seeds=10")
    gated("-n0", "--okrt-resume=run", given=given, out=False)
    assert not (run / "gates.json").exists()
    assert gated("--okrt-resume=run", out=False).ret == 0
    assert decided(run)["verdict"] == "pass"


@ALONE
def test_half_the_records_deleted_is_incomplete_offline(
    gated: Run, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """One test for each way of not being whole: records, a tier, a label, a session without a
    model."""
    gated()
    run, gates = pytester.path / "run", str(pytester.path / "gates.toml")

    def gate(name: str, change: Callable[[bytes], bytes], *more: str) -> int:
        copy = pytester.path / name
        shutil.copytree(run, copy)
        file = copy / "episodes.jsonl"
        file.write_bytes(change(file.read_bytes()))
        capsys.readouterr()
        return main(["gate", str(copy), "--gates", gates, *more])

    def half(content: bytes) -> bytes:
        return b"".join(content.splitlines(keepends=True)[::2])

    assert gate("half", half) == 4
    assert "5 of 10 episodes are missing" in capsys.readouterr().out
    assert gate("tier", lambda found: found.replace(b'"tier":"micro"', b'"tier":"easy"')) == 4
    assert "in their stead there is m, stateless, easy" in capsys.readouterr().out
    assert gate("label", lambda found: found.replace(b'"label":"m"', b'"label":"n"')) == 4
    assert "in their stead there is n, stateless, micro" in capsys.readouterr().out
    assert gate("version", lambda found: found.replace(b'"version":1', b'"version":0')) == 4
    assert "stale tasks" in capsys.readouterr().out
    assert gate("schema", lambda found: found.replace(b'"schema":1', b'"schema":9')) == 4
    assert "schema 9 is unknown" in capsys.readouterr().out
    assert gate("torn", lambda found: found[:-9]) == 4
    assert "half written" in capsys.readouterr().out
    assert gate("other", lambda found: found, "--model", "n") == 4
    assert gate("same", lambda found: found, "--model", "m", "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"
    run_json = run / "run.json"
    run_json.write_text(run_json.read_text().replace('"asked"', '"asked_not"'))
    assert gate("unasked", lambda found: found) == 4
    assert "no model was named" in capsys.readouterr().out
    assert main(["gate", str(pytester.path), "--gates", gates]) == 2
    assert main(["gate", str(run), "--gates", "nosuch"]) == 2
    assert main(["gate", str(run), "--gates", gates, "--runtime", "stateless"]) == 2


@ALONE
def test_okrt_run_decides_likewise(
    gated: Run, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    pytester.makepyfile(test_own=EVALUATION)
    (pytester.path / "gates.toml").write_text(GATES)
    run = ["run", "--gates", "gates.toml", "--model", "m=test_own:talk"]
    (pytester.path / "gates.toml").write_text(GATES + '\n[[gate]]\nname="q"\nmetric="score"\n'
                                              'against="baseline"\nnot_lower_by=0.5\n')  # fmt: skip
    assert main([*run, "--out", "two"]) == 4
    assert "okrt baseline save RUN NAME" in capsys.readouterr().out
    assert main([*run, "--out", "three", "--baseline", "two"]) == 0
    assert decided(pytester.path / "three")["baseline"]["name"] == "two"
    assert main([*run, "--estimate"]) == 4
    assert main([*run[:3]]) == 2
    assert main([*run, "--shard", "1/2"]) == 2
    assert "okrt gate RUN" in capsys.readouterr().err
    assert main([*run, "--family", "test_own:nosuch"]) == 2
