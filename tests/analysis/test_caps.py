"""Estimands over caps equal what was worked out by hand; demand, exposure, dose and response."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.caps import (
    Response,
    at_cap,
    between_caps,
    doses,
    gap_change,
    over_training_seeds,
    responses,
    sweeps,
)
from okrt.analysis.cells import Table, tables
from okrt.analysis.demand import Demand, demands, exposure
from okrt.analysis.estimands import FourCells, difference, four_cells
from okrt.analysis.pairing import paired
from okrt.analysis.rows import row
from okrt.analysis.stats import mean_interval
from okrt.errors import UsageError
from tests.analysis.build import call, episode, ran, turn
from tests.analysis.test_contrasts import changed
from tests.analysis.test_estimands import N, cell, value

Q = {
    25: {"pp": 0.66, "ps": 0.07, "sp": 0.60, "ss": 0.58},
    80: {"pp": 0.77, "ps": 0.61, "sp": 0.70, "ss": 0.72},
}
"""The truth: quality by cap, trained and run."""
AT = {
    25: {"G_P": 0.59, "G_S": -0.02, "D": 0.57, "M": -0.51},
    80: {"G_P": 0.16, "G_S": 0.02, "D": 0.18, "M": -0.11},
}
BETWEEN = {"A_P": 0.43, "A_S": -0.04, "T": 0.39}
"""0.59 - 0.16, -0.02 - 0.02, 0.57 - 0.18."""
FOUR = ("pp", "ps", "sp", "ss")


def scores(cap: int, which: str) -> list[float]:
    """The truth and a spread about it that is another in each cell, and adds up to nothing."""
    step = 1 + FOUR.index(which) + (cap == 25) * 5
    wave = [0.005 * ((task * (2 * step + 1)) % N - (N - 1) / 2) for task in range(N)]
    return [Q[cap][which] + one - sum(wave) / N for one in wave]


def rows(cap: int, seed: str = "", **changes: object) -> list[Brief]:
    return [
        changed(
            one,
            model=one.model + seed,
            model_spec="path",
            episode_id=f"{which}{cap}{one.seed}{seed}",
            transcript_digest=f"{which}{cap}{seed}",
            **changes,
        )
        for which in FOUR
        for one in cell(which, scores(cap, which), tool_cap=cap)
    ]


@pytest.fixture(scope="module")
def both() -> dict[int, FourCells]:
    return {cap: four_cells(rows(cap)) for cap in Q}


@pytest.mark.parametrize("cap", [25, 80])
def test_the_estimands_of_one_cap_are_those_worked_out_by_hand(
    both: dict[int, FourCells], cap: int
) -> None:
    found = at_cap(both[cap])
    assert {name: value(one) for name, one in found.items()} == pytest.approx(AT[cap])


def test_those_between_caps_are_those_worked_out_by_hand(both: dict[int, FourCells]) -> None:
    found = between_caps(both[25], both[80])
    assert {name: value(one) for name, one in found.items()} == pytest.approx(BETWEEN)
    reverse = between_caps(both[80], both[25])
    assert value(reverse["T"]) == pytest.approx(-BETWEEN["T"])


def test_intervals_are_of_the_sums_of_each_task(both: dict[int, FourCells]) -> None:
    found = between_caps(both[25], both[80])
    columns = {(cap, which): scores(cap, which) for cap in Q for which in FOUR}

    def gap(task: int, cap: int, home: str, away: str) -> float:
        return columns[cap, home][task] - columns[cap, away][task]

    a_p = [gap(task, 25, "pp", "ps") - gap(task, 80, "pp", "ps") for task in range(N)]
    a_s = [gap(task, 25, "ss", "sp") - gap(task, 80, "ss", "sp") for task in range(N)]
    t = [one + other for one, other in zip(a_p, a_s, strict=True)]
    for name, by_task in (("A_P", a_p), ("A_S", a_s), ("T", t)):
        expected, made = mean_interval(by_task), found[name].estimate()
        assert (made.low, made.high) == pytest.approx((expected.low, expected.high))
        assert (made.n, made.pairing) == (N, "task")
        assert made.low is not None
        assert made.high is not None
        assert made.low < BETWEEN[name] < made.high


@pytest.mark.parametrize("cap", [25, 80])
def test_intervals_at_one_cap_are_of_the_differences_of_each_task(
    both: dict[int, FourCells], cap: int
) -> None:
    found = at_cap(both[cap])
    pp, ps, sp, ss = (scores(cap, which) for which in FOUR)
    by_task = {
        "G_P": [pp[task] - ps[task] for task in range(N)],
        "G_S": [ss[task] - sp[task] for task in range(N)],
        "D": [pp[task] - ps[task] - sp[task] + ss[task] for task in range(N)],
        "M": [ps[task] - ss[task] for task in range(N)],
    }
    assert by_task.keys() == found.keys()
    for name, differences in by_task.items():
        expected, made = mean_interval(differences), found[name].estimate()
        assert (made.low, made.high) == pytest.approx((expected.low, expected.high))
        assert (made.n, made.pairing) == (N, "task")


def test_where_all_tasks_say_the_same_the_interval_is_as_wide_as_one_task_can_differ() -> None:
    """By 1 between two cells, by 2 over four, by 4 over eight: the exact bound on a rare task."""
    four = {cap: four_cells([changed(one, score=0.5) for one in rows(cap)]) for cap in Q}
    found = at_cap(four[25]) | between_caps(four[25], four[80])
    most = {"G_P": 1, "G_S": 1, "M": 1, "D": 2, "A_P": 2, "A_S": 2, "T": 4}
    assert {name: one.estimate().high for name, one in found.items()} == pytest.approx(
        {name: width * (1 - 0.025 ** (1 / N)) for name, width in most.items()}
    )


def test_a_task_that_one_cell_lacks_is_in_no_estimand_between_caps(
    both: dict[int, FourCells],
) -> None:
    fewer = FourCells(both[25].pp, both[25].ps, both[25].sp, both[25].ss[1:])
    found = between_caps(fewer, both[80])
    assert found["T"].estimate().n == N - 1
    assert found["A_P"].estimate().n == N


def test_caps_are_never_mixed_by_accident(both: dict[int, FourCells]) -> None:
    """A gate over them is refused so, and is incomplete."""
    mixed = [*both[25].pp, *both[80].pp]
    with pytest.raises(UsageError, match=r"a cell holds several values of tool_cap \(25, 80\)"):
        paired(mixed)
    with pytest.raises(UsageError, match=r"a cell holds several values of tool_cap \(25, 80\)"):
        gap_change(mixed, both[25].ps, both[80].pp, both[80].ps)
    with pytest.raises(UsageError, match=r"differ in tool_cap \(25, 80\)"):
        difference(both[25].pp, both[80].pp)
    with pytest.raises(UsageError, match=r"differ in tool_cap \(25, 80\)"):
        between_caps(FourCells(both[25].pp, both[80].ps, both[25].sp, both[25].ss), both[80])
    with pytest.raises(UsageError, match=r"differ in tool_cap \(25, 80\)"):
        between_caps(both[25], FourCells(both[80].pp, both[80].ps, both[25].sp, both[80].ss))
    with pytest.raises(UsageError, match="both sides ran under the tool cap 25: compare two caps"):
        between_caps(both[25], both[25])
    other = FourCells(*([changed(one, cue="true") for one in some] for some in _of(both[25])))
    with pytest.raises(UsageError, match="differ in cue"):
        between_caps(other, both[80])


def _of(cells: FourCells) -> Sequence[Sequence[Brief]]:
    return (cells.pp, cells.ps, cells.sp, cells.ss)


def test_training_seeds_are_shown_one_by_one_and_over() -> None:
    """Of a second and a third seed the persistent-trained lose 0.1 more, or less, at the cap 25."""
    found, pairs = [], {}
    for seed, shift in (("1", 0.0), ("2", 0.1), ("3", -0.1)):
        pairs[seed] = (f"m-persistent{seed}", f"m-stateless{seed}")
        for cap in Q:
            for one in rows(cap, seed):
                hit = (cap, one.trained_under, one.contract) == (25, "persistent", "persistent")
                found.append(changed(one, score=(one.score or 0) + shift) if hit else one)
    over = over_training_seeds(found, pairs, 25, 80)
    assert over["A_P"].values == pytest.approx({"1": 0.43, "2": 0.53, "3": 0.33})
    assert over["T"].estimate.value == pytest.approx(0.39)
    assert over["T"].estimate.n == 3
    assert "Student's t over 3 training seeds" in over["T"].estimate.method
    assert over["M(25)"].estimate.value == pytest.approx(-0.51)


# -- demand ----------------------------------------------------------------------------------------


def test_exposure_is_the_share_of_blocks_that_want_more_than_the_cap() -> None:
    wanted = [0, 3, 25, 26, 90]
    assert [exposure(wanted, cap) for cap in (1, 25, 26, 80, 90)] == [0.8, 0.4, 0.2, 0.2, 0.0]
    assert exposure([], 25) is None
    with pytest.raises(ValueError, match="a cap is at least 1, got 0"):
        exposure(wanted, 0)
    with pytest.raises(ValueError, match="makes no -1 calls"):
        exposure([-1], 3)


def test_demand_counts_what_was_refused_and_says_where_it_was_cut() -> None:
    two = (call("inspect", "a"), call("inspect", "b", error="TypeError: no"))
    turns = [
        turn(execution=ran((), (), *two, refused=1, status="cap", error_type="ToolCapExceeded")),
        turn(execution=ran((), (), *two, refused=5)),  # it caught the refusals
        turn(None),
        turn(execution=ran((), (), *two)),
        turn(execution=ran(None, (), *two[:1], status="timeout")),
        turn(execution=ran(None, (), status="died")),
    ]
    assert demands(turns) == [
        Demand(3, True), Demand(7, False), Demand(2, False), Demand(1, True), Demand(0, True),
    ]  # fmt: skip
    made = row(episode(*turns))
    assert (made.blocks, made.max_demand, made.cut_blocks, made.cap_hits) == (5, 7, 3, 2)
    assert exposure((one.calls for one in demands(turns)), 2) == 0.4


# -- a report --------------------------------------------------------------------------------------


def made(*extra: Brief) -> list[Table]:
    """Of 4 blocks of a task, 3 and 1 in turn are beyond the cap 25, and none beyond the cap 80."""
    found = [
        changed(
            one,
            blocks=4,
            cap_hits=(3 if one.seed % 2 else 1) if cap == 25 else 0,
            max_demand=cap + 1 if cap == 25 else 44,
            total_tokens=1_000 * cap + one.seed,
        )
        for cap in Q
        for one in rows(cap)
    ]
    return tables([*found, *extra])


def test_a_sweep_is_the_tables_that_differ_in_the_cap_alone() -> None:
    (sweep,) = sweeps(made())
    assert (sweep.caps, sweep.axes, len(sweep.cells)) == ((25, 80), {}, 4)
    told = [changed(one, cue="true", episode_id=f"{one.episode_id}t") for one in rows(25)]
    (sweep,) = sweeps(made(*told))  # the cue true has one cap alone
    assert (sweep.caps, sweep.axes) == ((25, 80), {"cue": "none"})
    assert sweeps(tables(rows(25))) == []


def test_doses_are_the_figures_of_each_cap() -> None:
    (sweep,) = sweeps(made())
    found = doses(sweep)
    assert [(one.model, one.contract, one.tool_cap) for one in found[:3]] == [
        ("m-persistent", "persistent", 25),
        ("m-persistent", "persistent", 80),
        ("m-persistent", "stateless", 25),
    ]
    tight, slack = found[:2]
    assert (tight.score.value, slack.score.value) == pytest.approx((0.66, 0.77))
    assert tight.total_tokens.value == pytest.approx(25_000 + 100 + (N - 1) / 2)
    assert tight.total_tokens.low is not None
    assert tight.exposure is not None
    assert slack.exposure is not None
    assert tight.exposure.value == 0.5
    assert tight.exposure.low is not None
    assert 0 < tight.exposure.low < 0.5
    assert (slack.exposure.value, slack.exposure.low) == (0, 0)
    assert 0.1 < (slack.exposure.high or 0) < 0.2  # of 24 tasks none had such a block
    assert (tight.max_demand, slack.max_demand) == (26, 44)


def test_where_limits_cut_many_episodes_tokens_are_at_least() -> None:
    found = [
        changed(one, ending="max_turns") if one.tool_cap == 80 else one
        for table in made()
        for one in table.rows
    ]
    (sweep,) = sweeps(tables(found))
    tight, slack = doses(sweep)[:2]
    assert (tight.total_tokens.side, slack.total_tokens.side) == ("", "at least")
    assert tight.total_tokens.high is not None
    assert slack.total_tokens.low is not None
    assert slack.total_tokens.high is None
    few = [one for one in found if one.seed < 105]  # too few for any interval
    found_few = doses(sweeps(tables(few))[0])[:2]
    assert [one.total_tokens.side for one in found_few] == ["", "at least"]


def test_tokens_of_runs_with_different_packages_are_not_averaged() -> None:
    found = [
        changed(one, packages=["numpy"]) if one.seed < 100 + N // 2 else one
        for table in made()
        for one in table.rows
    ]
    dose = doses(sweeps(tables(found))[0])[0]
    assert (dose.tasks, dose.score.n) == (N, N)
    assert (dose.total_tokens.value, dose.total_tokens.method) == (
        None, "none: the episodes ran with different packages",
    )  # fmt: skip


def named(found: Sequence[Response]) -> dict[str, float]:
    return {one.text: round(value(one.inference), 9) for one in found}


def test_responses_name_the_estimands_with_their_caps() -> None:
    (sweep,) = sweeps(made())
    found = named(responses(sweep))
    assert found == pytest.approx(
        {f"{name}({cap})": AT[cap][name] for cap in AT for name in AT[cap]}
        | {
            "A_P = G_P(25) - G_P(80)": 0.43,
            "A_S = G_S(25) - G_S(80)": -0.04,
            "T = D(25) - D(80)": 0.39,
        }
    )


def test_each_cap_is_compared_with_the_slackest() -> None:
    third = [changed(one, tool_cap=10, episode_id=f"{one.episode_id}c") for one in rows(25)]
    (sweep,) = sweeps(made(*third))
    between = [one.text for one in responses(sweep) if one.name == "T"]
    assert between == ["T = D(10) - D(80)", "T = D(25) - D(80)"]


def test_several_models_of_one_training_each_have_their_gap() -> None:
    again = [one for cap in Q for one in rows(cap, "-2") if one.trained_under == "persistent"]
    (sweep,) = sweeps(made(*again))
    found = [one for one in responses(sweep) if one.name == "A_P"]
    assert {one.whom: round(value(one.inference), 9) for one in found} == {
        "m-persistent": 0.43, "m-persistent-2": 0.43,
    }  # fmt: skip
    assert not [one for one in responses(sweep) if one.name in ("T", "D", "M")]


def test_estimands_are_said_of_the_model_that_they_are_about() -> None:
    whom = {one.name: one.whom for one in responses(sweeps(made())[0])}
    assert whom == {
        "G_P": "m-persistent", "A_P": "m-persistent", "G_S": "m-stateless", "A_S": "m-stateless",
        "M": "m-persistent - m-stateless", "D": "", "T": "",
    }  # fmt: skip


def test_a_stateless_trained_model_by_itself_has_its_gap_from_home() -> None:
    lone = [one for cap in Q for one in rows(cap) if one.trained_under == "stateless"]
    found = responses(sweeps(tables(lone))[0])
    assert {one.whom for one in found} == {"m-stateless"}
    assert named(found) == pytest.approx(
        {"G_S(25)": -0.02, "G_S(80)": 0.02, "A_S = G_S(25) - G_S(80)": -0.04}
    )


def test_experts_are_asked_for_by_themselves() -> None:
    (sweep,) = sweeps(tables([changed(r, model_spec="expert:x") for cap in Q for r in rows(cap)]))
    assert responses(sweep) == []
    assert named(responses(sweep, experts=True))["T = D(25) - D(80)"] == pytest.approx(0.39)
