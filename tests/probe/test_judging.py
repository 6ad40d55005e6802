"""Runtimes that keep some things and not others, and what is concluded from findings."""

from __future__ import annotations

import pytest

from okrt.probe.asking import Limits, Mark
from okrt.probe.laws import resets
from okrt.probe.probing import probe
from okrt.probe.report import NAMES, Found, Verdict, judge
from okrt.probe.spec import target_spec
from okrt.probe.table import table

PATIENT = Limits(seconds=200, step_s=60, wait_s=0.3, close_s=60)


@pytest.mark.parametrize(
    ("name", "verdict", "said"),
    [
        ("keeps", "persistent", "names last from block to block"),
        ("resets_on_error", "neither", "until a block fails"),
        ("resets_every_fifth", "neither", "but are gone after every 5 blocks"),
        ("keeps_functions", "neither", "functions, classes and imports last"),
        ("hides_output", "unknown", "could not be observed"),
    ],
)
def test_a_runtime_of_a_users_own_is_judged(name: str, verdict: Verdict, said: str) -> None:
    report = probe(target_spec(f"tests.probe.fakes:{name}"), PATIENT)
    assert (report.verdict, said in report.sentence) == (verdict, True), report.sentence
    shown = table(report)
    assert f"verdict: {verdict}" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


@pytest.mark.parametrize(
    ("target", "verdict", "said"),
    [
        ("reset-every-2", "neither", "names last from block to block, but are gone after every 2"),
        pytest.param("reset-every-3", "neither", "every 3 blocks", marks=pytest.mark.thorough),
        pytest.param("files", "stateless", "lasts: files in the", marks=pytest.mark.thorough),
        pytest.param("carryover-announced", "stateless", "cap cut", marks=pytest.mark.thorough),
    ],
)
def test_a_contract_of_okrt_s_own_is_judged(target: str, verdict: Verdict, said: str) -> None:
    report = probe(target_spec(target), PATIENT)
    assert (report.verdict, said in report.sentence) == (verdict, True), report.sentence


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([1, 2, 3], ("none seen", "within 3 blocks")),
        ([7, 8, 9], ("none seen", "within 3 blocks")),
        ([1, 1, 1], ("none seen", "each block starts anew")),
        ([1, 2, 1, 2, 1], ("yes", "after every 2 blocks")),
        ([2, 1, 2, 3, 1], ("yes", "after every 3 blocks")),
        ([1, 2, 3, 1, 2], ("yes", "once within 5 blocks")),
        ([1, 2, 1, 1, 2, 3, 1], ("yes", "after 1 to 3 blocks")),
        ([1, "SyntaxError", 3], ("not observable", "SyntaxError")),
    ],
)
def test_a_reset_is_read_off_a_count(counts: list[int | str], found: tuple[Found, str]) -> None:
    assert resets(counts) == found


def names(**found: Found) -> dict[tuple[str, str], Found]:
    return {("between blocks", name): found.get(name, "not observable") for name in NAMES}


def test_what_was_not_seen_decides_nothing() -> None:
    assert judge({})[0] == "unknown"
    assert judge(names(functions="kept"))[0] == "unknown"
    assert judge(names(variables="kept"))[0] == "persistent"
    assert judge(names(variables="lost"))[0] == "stateless"
    assert judge(names(variables="lost", imports="kept"))[0] == "neither"


def test_what_else_lasts_is_told_beside_a_stateless_verdict() -> None:
    found = names(variables="lost") | {("between blocks", "temporary files"): "kept"}
    assert judge(found)[1].endswith("what lasts: temporary files")
    found |= {("past a tool-call cap", "variables of that block"): "kept"}
    verdict, sentence = judge(found)
    assert (verdict, sentence.rpartition("; ")[2][:11]) == ("stateless", "but a block")


def test_a_reset_decides_whatever_it_hit() -> None:
    for seen in (names(variables="lost"), names(variables="kept", classes="lost")):
        assert judge(seen, "after every 2 blocks")[0] == "neither"


def test_a_mark_is_shown_by_running_code_alone(capsys: pytest.CaptureFixture[str]) -> None:
    mark = Mark()
    code = mark.prints("6 * 7")
    assert mark.read(code) is None
    exec(code)
    assert mark.read(capsys.readouterr().out) == "42"
