"""One run of several families: an expert's name means each family's own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.plugin.conftest import Run, alone, plain, rows

EVALUATION = """
import pytest

@pytest.mark.okrt(family="opaque_knapsack")
def test_knapsack(episode):
    assert episode.trajectory.ending == "finished"

@pytest.mark.okrt(family="ledger_audit")
def test_ledger(episode):
    assert episode.outcome.solved

@pytest.mark.okrt(family="lookup_control")
def test_control(episode):
    assert episode.outcome.solved
"""
FIGURES = ("score", "turns", "prompt_tokens", "completion_tokens", "transcript_chars", "errors")


OWN = """
from tests.toys import Counting

FAMILY = AGAIN = Counting()
"""
TWO = """
import pytest
from depots import FAMILY

@pytest.mark.okrt(family="depots:FAMILY")
def test_one(okrt_task):
    pass

@pytest.mark.okrt(family={other})
def test_other(okrt_task):
    pass
"""
MARKED = """
import pytest

@pytest.mark.okrt(family="below:FAMILY")
def test_one(episode):
    pass

@pytest.mark.okrt(family="below:DEPOTS")
def test_other(episode):
    pass
"""
BELOW = (
    OWN
    + """
class Depots(Counting):
    name = "depots"

DEPOTS = Depots()
"""
)
MODEL = """
def talk(conversation):
    return "nothing"
"""


@alone
@pytest.mark.parametrize(
    ("other", "told"),
    [
        ('"other:FAMILY"', "other:FAMILY"),
        ('__import__("other").FAMILY', "other.Other object"),
    ],
)
def test_two_families_of_one_name_are_a_collection_error(
    evaluate: Run, pytester: pytest.Pytester, workers: str, other: str, told: str
) -> None:
    another = OWN.replace("Counting()", "type('Other', (Counting,), {})()")
    pytester.makepyfile(depots=OWN, other=another, model=MODEL, test_two=TWO.format(other=other))
    result = evaluate("--model=model:talk")
    assert (
        f"okrt: two families are named 'counting', depots:FAMILY and {told}: give each its own name"
        in plain(result)
    )


@alone
@pytest.mark.parametrize("other", ['"depots:FAMILY"', '"depots:AGAIN"', "FAMILY", "type(FAMILY)()"])
def test_a_family_may_be_named_in_several_ways(
    evaluate: Run, pytester: pytest.Pytester, workers: str, other: str
) -> None:
    pytester.makepyfile(depots=OWN, model=MODEL, test_two=TWO.format(other=other))
    evaluate("--model=model:talk", "--okrt-seeds=1").assert_outcomes(passed=4)


def test_the_source_of_a_family_is_that_of_the_run(
    evaluate: Run, pytester: pytest.Pytester, workers: str
) -> None:
    (tests := pytester.path / "below").mkdir()
    (tests / "test_source.py").write_text(MARKED)
    (tests / "below.py").write_text(BELOW)  # found by the process that collects, and by no other
    pytester.makepyfile(model=MODEL)
    options = (
        "below",
        "--model=model:talk",
        "--okrt-seeds=3",
        "--runtime=stateless",
        "-k=test_one",
    )
    evaluate(*options, "--okrt-max-tokens=1")
    digest = f"sha256:{hashlib.sha256(BELOW.encode()).hexdigest()}"
    sources = json.loads((pytester.path / "run" / "run.json").read_text())["sources"]
    assert sources.pop("family counting") == digest
    assert list(sources) == ["model model:talk"]
    (tests / "below.py").write_text(BELOW + "# changed\n")
    result = evaluate(*options, "--okrt-resume=run", out=False)
    assert "the source of family counting has changed since" in plain(result)


@alone
def test_a_run_of_several_families_plays_each_with_its_own_experts(
    evaluate: Run, pytester: pytest.Pytester, workers: str
) -> None:
    pytester.makepyfile(EVALUATION)
    evaluate("--okrt-tier=micro", "--okrt-seeds=1").assert_outcomes(passed=12)
    found = rows(Path(pytester.path) / "run")
    lost = {
        (row["family"], row["contract"])
        for row in found
        if row["model"] == "expert:persistent" and row["lost_errors"]
    }
    assert lost == {("opaque_knapsack", "stateless"), ("ledger_audit", "stateless")}
    control = [[row[f] for f in FIGURES] for row in found if row["family"] == "lookup_control"]
    assert control == [control[0]] * 4
