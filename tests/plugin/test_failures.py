"""Infrastructure that fails, workers that die, Ctrl-C: nothing finished is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.plugin.conftest import ROOT, Run, rows, text
from tests.signals import hear_interrupts

FAILING = """
import pytest
from okrt.errors import ModelFailure
from tests.toys import block

class Flaky:
    name = "flaky"
    def generate(self, conversations):
        raise ModelFailure("server gone")

MODEL = Flaky()

@pytest.mark.okrt(tiers=["micro"], seeds=range(2))
def test_own(episode):
    raise AssertionError("never reached")
"""


def test_infrastructure_that_fails_is_an_error_and_is_recorded(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_own=FAILING)
    result = evaluate("--model=test_own:MODEL", "--runtime=stateless")
    result.assert_outcomes(errors=2)
    assert result.ret == 1
    assert "infrastructure failed (model): server gone" in text(result)
    assert "incomplete" in text(result)
    found = rows(pytester.path / "run")
    assert [row["score"] for row in found] == [None, None]
    assert {row["failure"]["boundary"] for row in found} == {"model"}


CRASHING = """
import os, pathlib, pytest
from tests.toys import block

def talk(conversation):
    tried = pathlib.Path(os.environ["TRIED"])
    if "always" in os.environ["CRASH"] or not tried.exists():
        tried.touch()
        os._exit(9)
    return block("finish()")

@pytest.mark.okrt(tiers=["micro"], seeds=range(3))
def test_own(episode, request):
    assert episode.outcome
"""


def crash(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, when: str, *arguments: str
) -> pytest.RunResult:
    pytester.makepyfile(test_own=CRASHING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.syspath_prepend(str(pytester.path))
    monkeypatch.setenv("TRIED", str(pytester.path / "tried"))
    monkeypatch.setenv("CRASH", when)
    return pytester.runpytest_inprocess(
        "-n2", "--model=test_own:talk", "--runtime=stateless", "--okrt-out=run", *arguments
    )


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_the_case_of_a_crashed_worker_is_run_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    result = crash(pytester, monkeypatch, "once", f"--dist={mode}")
    assert result.ret == 0
    found = rows(pytester.path / "run")
    assert [row["failure"] for row in found] == [None] * 3
    assert "1 rerun" in text(result)


def test_a_case_that_crashes_every_worker_is_an_infrastructure_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = crash(pytester, monkeypatch, "always", "--okrt-seeds=1")
    assert result.ret == 1
    (row,) = rows(pytester.path / "run")
    assert row["failure"]["boundary"] == "worker"
    assert row["score"] is None
    assert "infrastructure failed (worker)" in text(result)


def test_other_modes_record_the_failure_at_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(pytester, monkeypatch, "once", "--dist=loadscope", "--okrt-seeds=1")
    (row,) = rows(pytester.path / "run")
    assert row["failure"]["boundary"] == "worker"


def test_workers_that_collect_other_cases_end_the_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import os, pytest

        FIRST = 0 if os.environ.get("PYTEST_XDIST_WORKER") == "gw0" else 5

        @pytest.mark.okrt(tiers=["micro"], seeds=range(FIRST, FIRST + 2))
        def test_fit(episode):
            pass
        """
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    result = pytester.runpytest_inprocess("-n2", "--okrt-out=run", "--runtime=stateless")
    assert result.ret != 0
    assert "collected other cases: 8 cases differ" in text(result)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_and_reports_what_finished(
    pytester: pytest.Pytester, workers: str, number: signal.Signals
) -> None:
    pytester.makepyfile(
        test_slow="""
        import pytest, time

        @pytest.mark.okrt(tiers=["micro"], seeds=range(200))
        def test_fit(episode):
            time.sleep(0.1)
        """
    )
    run = Path(pytester.path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n", workers, "--okrt-out=run"],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _lines(run / "episodes.jsonl") < 5:
        time.sleep(0.1)
    if number == signal.SIGTERM:
        process.terminate()  # as a container's, which is of its first process alone
    else:
        os.killpg(process.pid, number)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 2, shown
    found = rows(run)
    assert 5 <= len(found) < 800
    assert len(found) == _lines(run / "episodes.jsonl")
    assert f"incomplete: {len(found)} of 800 episodes" in shown
    assert "opaque_knapsack/micro" in shown
    assert not (run / "workers").exists()


def _lines(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.exists() else 0


SIGTERM = """
import pytest, signal

@pytest.mark.okrt(tiers=["micro"], seeds=range(2))
def test_fit(episode):
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
"""
ELSE = """
import signal

def test_else():
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
def test_sigterm_is_taken_while_episodes_are_played_and_given_back(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    pytester.makepyfile(test_fit=SIGTERM)
    evaluate("--runtime=stateless").assert_outcomes(passed=4)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    (pytester.path / "test_fit.py").unlink()
    pytester.makepyfile(test_else=ELSE)
    evaluate("--okrt-seeds=1", out=False).assert_outcomes(passed=1)
