"""The probe tells real interpreters apart, right in every row of the table in `expected.py`."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from okrt.probe.asking import Limits
from okrt.probe.probing import probe
from okrt.probe.spec import target_spec
from okrt.probe.target import TargetSpec
from okrt.specs import CONTRACTS
from tests.probe.expected import EXPECTED, TARGETS, VERDICTS, expected
from tests.probe.interpreters import LOOP, MCP_SERVER

PYTHON = [sys.executable, "-I", "-S"]
PATIENT = Limits(seconds=400, step_s=100, wait_s=0.5, close_s=60)
"""A busy machine is waited for; only the last is ever waited out."""
ENFORCED = Limits(seconds=400, step_s=100, wait_s=4, close_s=60)

SLOW = ("files", "carryover")
THOROUGH = [pytest.param(target, marks=pytest.mark.thorough) for target in SLOW]


@contextmanager
def served(mine: Path) -> Iterator[TargetSpec]:
    """An MCP server that keeps nothing, over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = mine / "server.py"
    program.write_text(f"KEEPS, PORT = False, {port}\n{MCP_SERVER}")
    with subprocess.Popen([sys.executable, program], stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(1000):
                with socket.socket() as trial:
                    if trial.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield target_spec(["mcp", f"http://127.0.0.1:{port}/mcp"], tool="run_python")
        finally:
            server.kill()


def spec(target: str, mine: Path) -> TargetSpec:
    if target == "fresh":
        return target_spec(["python", "--", *PYTHON, "-"])
    if target == "REPL":
        return target_spec(["python", "--", *PYTHON, "-iq"], keep=True)
    if target == "loop":
        (mine / "loop.py").write_text(LOOP)
        return target_spec(["python", "--", *PYTHON, str(mine / "loop.py")], end="%%END")
    if target == "mcp keeps":
        (mine / "server.py").write_text(f"KEEPS, PORT = True, None\n{MCP_SERVER}")
        return target_spec(["mcp", "--", sys.executable, str(mine / "server.py")])
    return target_spec(target)


@pytest.mark.parametrize("target", [*(one for one in TARGETS if one not in SLOW), *THOROUGH])
def test_every_row_of_the_table_is_right(target: str, mine: Path) -> None:
    reach = served(mine) if target == "mcp forgets" else nullcontext(spec(target, mine))
    limits = ENFORCED if target in CONTRACTS else PATIENT
    with reach as wanted:
        report = probe(wanted, limits)
    found = {f"{one.group}: {one.law}": one.found for one in report.findings}
    assert found == expected(target)
    assert report.verdict == VERDICTS[target], report.sentence


def test_no_two_kinds_of_target_read_alike() -> None:
    """Of the table itself: only what is one interpreter asked in two ways has equal columns."""
    columns = {target: tuple(expected(target).items()) for target in TARGETS}
    kinds = [target for target in TARGETS if target not in ("REPL", "mcp keeps")]
    assert len({columns[target] for target in kinds}) == len(kinds)
    assert len(re.findall("^.+[|]", EXPECTED, re.MULTILINE)) == len(expected("persistent"))


def test_names_of_two_laws_are_never_taken_for_each_other(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smolagents reads a missing name as the most similar one that an earlier law left."""
    monkeypatch.setattr("okrt.probe.laws.secrets.choice", lambda letters: letters[0])
    report = probe(spec("smolagents", mine), PATIENT)
    (found,) = [one.found for one in report.findings if one.law == "which name is missing"]
    assert found == "shown"
