"""What an incomplete run lacks is said where its figures stand."""

from __future__ import annotations

import msgspec

from okrt.analysis.brief import briefs
from okrt.plan import Planned
from okrt.report.lacking import lacking
from okrt.report.tables import markdown
from okrt.types import Failure
from tests.report.test_tables import make

PLAN = [
    msgspec.to_builtins(Planned("opaque_knapsack", "easy", "eval", model, contract, 0, ((0, 10),)))
    for model in ("a", "b")
    for contract in ("persistent", "stateless", "reset-every-3")
]
RUN = {"complete": False, "plan": PLAN}
SOME = [
    make("a", contract=name, seed=seed) for name in ("persistent", "stateless") for seed in (0, 1)
]


def test_it_counts_episodes_and_names_the_cells_of_which_there_is_none() -> None:
    said = lacking(RUN, list(briefs(SOME)))
    assert said is not None
    assert said.startswith(
        "4 of 60 episodes are there, none of a in reset-every-3, b in persistent, b in stateless "
        "and 1 more; short episodes end first"
    )
    assert f"**incomplete**: {said}" in markdown(SOME, RUN)


def test_what_infrastructure_broke_off_is_not_there() -> None:
    broken = make("a", contract="persistent", seed=2, failure=Failure("model", "X", "gone"))
    assert (lacking(RUN, list(briefs([*SOME, broken]))) or "").startswith("4 of 60 episodes")


def test_a_run_that_is_whole_lacks_nothing_and_one_without_a_plan_says_what_is_known() -> None:
    rows = list(briefs(SOME))
    assert lacking({}, rows) is None
    assert lacking({"complete": True, "plan": PLAN}, rows) is None
    untold = "cases that the run was to hold are missing or failed"
    assert lacking({"complete": False}, rows) == untold
    assert lacking({"complete": False, "plan": [3]}, rows) == untold
    shard = [{**PLAN[0], "seeds": [[0, 2]]}, {**PLAN[1], "seeds": [[0, 2]]}]
    assert lacking({"complete": False, "plan": shard}, rows) == untold
