"""Targets that do not answer, die, flood, lie, print garbage or hang cost time, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from okrt.errors import UsageError
from okrt.probe.asking import Limits
from okrt.probe.probing import probe, sweep
from okrt.probe.processes import descendants
from okrt.probe.spec import target_spec
from okrt.probe.target import ProbeError
from tests.probe import interpreters
from tests.probe.test_table import PYTHON
from tests.signals import hear_interrupts

SHORT = Limits(seconds=100, step_s=1, wait_s=0.3)
PATIENT = Limits(seconds=200, step_s=60, wait_s=0.3, close_s=60)


def fresh(mine: Path, program: str) -> list[str]:
    (mine / "target.py").write_text(program)
    return ["python", "--", *PYTHON, str(mine / "target.py")]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (interpreters.SILENT, "no answer to a first block in 1 s"),
        (interpreters.DIES, "no licence"),
        (interpreters.ECHOES, "did not print what it computes"),
        (interpreters.GARBAGE, "did not print what it computes"),
        (interpreters.FLOODS, "though it sent 2,0"),
    ],
    ids=["silent", "dies", "echoes", "garbage", "floods"],
)
def test_what_runs_no_python_is_told_in_one_line(mine: Path, program: str, said: str) -> None:
    with pytest.raises(ProbeError, match=said) as caught:
        probe(target_spec(fresh(mine, program)), SHORT)
    assert len(str(caught.value)) < 400


def test_a_command_that_ends_at_every_block_is_given_up(mine: Path) -> None:
    words = fresh(mine, "import sys; exec(sys.stdin.readline()); sys.exit(1)")
    with pytest.raises(ProbeError, match="ended at 3 blocks in a row"):
        probe(target_spec(words, end=""), PATIENT)


def test_a_crooked_target_is_measured_and_not_believed(mine: Path) -> None:
    """Noise hides no finding, limits are not taken on trust, what is left behind is ended, and
    files are removed by the target itself, which runs elsewhere."""
    program = f"import os; os.chdir({str(mine)!r})\n{interpreters.CROOKED}"
    report = probe(target_spec(fresh(mine, program)), PATIENT)
    assert report.verdict == "stateless"
    assert report.found("in the answer", "long output") == "whole"
    assert report.found("past a time limit", "a limit of the target's own") == "none seen"
    pids = (mine / "pids").read_text().split()
    assert len(pids) == 2  # one for each session's first block
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)
    assert sorted(path.name for path in mine.iterdir()) == ["pids", "target.py"]


def test_what_an_interrupted_target_left_is_swept_up(mine: Path) -> None:
    (mine / "okrt-probe-ab-1").touch()
    (mine / "okrt-probe-ab-2").mkdir()
    (mine / "okrt-probe-cd-1").touch()
    sweep(mine, "ab")
    assert [path.name for path in mine.iterdir()] == ["okrt-probe-cd-1"]


def test_a_target_that_hangs_on_close_is_ended() -> None:
    limits = Limits(seconds=200, step_s=60, wait_s=0.3, close_s=1)
    began = time.monotonic()
    report = probe(target_spec("tests.probe.fakes:hangs_on_close"), limits)
    assert report.verdict == "persistent"
    assert report.found("closing", "ends when it is closed") == "no"
    assert time.monotonic() - began < 100


@pytest.mark.parametrize(
    ("name", "limits", "said"),
    [
        ("never_returns", SHORT, "did not come back in time"),
        ("floods", PATIENT, "until the memory allowed was full"),
        ("answers_text", PATIENT, "must return an okrt.probe.target.Answer"),
    ],
)
def test_an_adapter_that_breaks_its_protocol_is_told(name: str, limits: Limits, said: str) -> None:
    with pytest.raises(ProbeError, match=said):
        probe(target_spec(f"tests.probe.fakes:{name}"), limits)


def test_a_target_without_close_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="has no close"):
        probe(target_spec("tests.probe.fakes:Incomplete"), PATIENT)


def test_text_that_is_no_unicode_goes_through() -> None:
    report = probe(target_spec("tests.probe.fakes:prints_surrogates"), PATIENT)
    assert report.verdict == "persistent"


def test_a_probe_that_runs_out_of_time_says_what_it_saw() -> None:
    report = probe(
        target_spec("tests.probe.fakes:keeps"), Limits(seconds=200, step_s=60, wait_s=300)
    )
    limit = report.findings[-4]
    assert (limit.group, limit.found) == ("past a time limit", "not observable")
    assert report.verdict == "persistent"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_probe_that_is_interrupted_or_killed_leaves_no_process(
    mine: Path, number: signal.Signals
) -> None:
    """In the middle of a block; and no file, unless it had no time to remove any."""
    asked = mine / "asked"
    words = fresh(mine, f"import time; open({str(asked)!r}, 'w').close(); time.sleep(600)")
    program = (
        "from okrt.probe.probing import probe; from okrt.probe.spec import target_spec\n"
        "from okrt.probe.asking import Limits\n"
        f"probe(target_spec({words!r}), Limits(close_s=1))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        preexec_fn=hear_interrupts,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(mine)},
    ) as running:
        while not asked.exists() and running.poll() is None:
            time.sleep(0.01)
        below = descendants(running.pid)
        running.send_signal(number)
        assert running.wait(100) == -number
    assert len(below) >= 2
    for _ in range(1000 if number == signal.SIGKILL else 1):
        alive = [pid for pid in below if Path(f"/proc/{pid}/exe").exists()]
        if alive:
            time.sleep(0.05)
    assert not alive
    if number == signal.SIGINT:
        assert sorted(path.name for path in mine.iterdir()) == ["asked", "target.py"]
