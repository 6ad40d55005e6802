"""Which contrasts a report states of which models, and over several models of one training."""

from __future__ import annotations

from typing import Any

import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Table, tables
from okrt.analysis.contrasts import RATIO_FACTOR, SCORE_MARGIN, Comparison, comparison
from okrt.analysis.estimands import contrasts, four_cells, token_ratio
from okrt.analysis.stats import over_seeds
from tests.analysis.test_estimands import N, cell, make

FOUR = ("pp", "ps", "sp", "ss")


def table(*rows: Brief) -> Table:
    (found,) = tables(rows)
    return found


def trained() -> list[Brief]:
    """The four cells of test_estimands, of two checkpoints; each spends other tokens."""
    return [
        changed(
            row,
            model_spec="path",
            episode_id=f"{which}{row.seed}",
            transcript_digest=which,
            total_tokens=1_000 * (1 + FOUR.index(which)) + row.seed,
        )
        for which in FOUR
        for row in cell(which)
    ]


def changed(row: Brief, **changes: Any) -> Brief:
    values = {name: getattr(row, name) for name in Brief.__slots__} | changes
    return Brief(**values)


def relabelled(rows: list[Brief], label: str, **changes: Any) -> list[Brief]:
    return [
        changed(row, model=label, episode_id=f"{label}{row.contract}{row.seed}", **changes)
        for row in rows
    ]


def named(found: Comparison) -> dict[str, float]:
    values = {one.contrast.name: one.contrast.inference.estimate().value for one in found.claims}
    return {name: value for name, value in values.items() if value is not None}


def test_one_model_of_each_training_gives_the_four_cells() -> None:
    rows = trained()
    found = comparison(table(*rows))
    cells = four_cells(rows)
    q = {name: one.estimate().value for name, one in contrasts(cells).items()}
    values = named(found)
    assert values["G_P: score at home - away, m-persistent"] == q["G_P"]
    assert values["G_S: score at home - away, m-stateless"] == q["G_S"]
    assert values["D = G_P + G_S"] == q["D"]
    assert values["M: score in stateless, m-persistent - m-stateless"] == q["M"]
    at_home = token_ratio(cells.ss, cells.pp).estimate().value
    assert at_home == pytest.approx(4, abs=0.5)
    assert values["total tokens, at home, m-stateless / m-persistent"] == at_home
    assert [one.what for one in found.claims if one.headline] == [
        "G_P: score at home - away", "G_S: score at home - away", "D = G_P + G_S",
        "M: score in stateless", "total tokens, at home",
        "total tokens, away / at home", "lost-variable episodes, away - at home",
        "total tokens, away / at home", "lost-variable episodes, away - at home",
    ]  # fmt: skip
    assert len(found.claims) == 14
    assert found.over == ()


def test_margins_are_stated_for_scores_and_ratios_alone() -> None:
    for one in comparison(table(*trained())).claims:
        margin = {"score": SCORE_MARGIN, "ratio": RATIO_FACTOR, "rate": None}[one.unit]
        assert one.contrast.margin == margin
        assert one.contrast.null == (1 if one.unit == "ratio" else 0)


def test_a_model_of_unknown_training_is_compared_between_its_runtimes() -> None:
    rows = [*cell("pp", model="m"), *cell("ps", model="m")]
    rows = relabelled(rows, "m", model_spec="path", trained_under="unknown")
    values = named(comparison(table(*rows)))
    assert set(values) == {
        "score, stateless - persistent, m",
        "total tokens, stateless / persistent, m",
        "score per 1k tokens, stateless / persistent, m",
        "lost-variable episodes, stateless - persistent, m",
        "missing-variable episodes, stateless - persistent, m",
    }
    mean = {run: sum(r.score or 0 for r in rows if r.contract == run) / N for run in RUNS}
    expected = mean["stateless"] - mean["persistent"]
    assert values["score, stateless - persistent, m"] == pytest.approx(expected)


RUNS = ("persistent", "stateless")


@pytest.mark.parametrize(
    ("under", "base"),
    [("persistent", "persistent"), ("stateless", "stateless"), ("unknown", "persistent")],
)
def test_a_further_runtime_is_compared_with_home_else_with_persistent(
    under: str, base: str
) -> None:
    rows = [*cell("pp"), *cell("ps"), *(changed(r, contract="carryover") for r in cell("sp"))]
    rows = relabelled(rows, "m", model_spec="path", trained_under=under)
    found = comparison(table(*rows))
    further = {what: one for what, one in named(found).items() if "carryover" in what}
    assert set(further) == {
        f"score, carryover - {base}, m",
        f"total tokens, carryover / {base}, m",
        f"score per 1k tokens, carryover / {base}, m",
        f"lost-variable episodes, carryover - {base}, m",
        f"missing-variable episodes, carryover - {base}, m",
    }
    mean = {run: sum(r.score or 0 for r in rows if r.contract == run) / N for run in (base, *RUNS)}
    mean["carryover"] = sum(r.score or 0 for r in rows if r.contract == "carryover") / N
    assert further[f"score, carryover - {base}, m"] == pytest.approx(mean["carryover"] - mean[base])


def test_without_home_and_persistent_stateless_is_what_further_runtimes_are_compared_with() -> None:
    further = [changed(r, contract="carryover") for r in cell("sp")]
    rows = relabelled([*cell("ps"), *further], "m", model_spec="path", trained_under="persistent")
    assert "score, carryover - stateless, m" in named(comparison(table(*rows)))
    alone = relabelled(further, "m", model_spec="path")
    assert comparison(table(*alone)).claims == ()


def test_a_base_stands_beside_the_four_cells() -> None:
    base = relabelled(
        [*cell("pp"), *cell("ps")], "base", model_spec="path", trained_under="unknown"
    )
    whats = [(one.what, one.whom) for one in comparison(table(*trained(), *base)).claims]
    assert ("D = G_P + G_S", "") in whats
    assert ("score, stateless - persistent", "base") in whats


def test_several_models_of_one_training_are_taken_one_by_one_and_over_them() -> None:
    rows = trained()
    persistent = [row for row in rows if row.trained_under == "persistent"]
    second = relabelled([changed(row, score=(row.score or 0) / 2) for row in persistent], "second")
    found = comparison(table(*rows, *second))
    values = named(found)
    whats = {one.what for one in found.claims}
    assert "D = G_P + G_S" not in whats
    assert "M: score in stateless" not in whats
    g = "G_P: score at home - away"
    by_seed = {m: values[f"{g}, {m}"] for m in ("m-persistent", "second")}
    assert by_seed["second"] == pytest.approx(by_seed["m-persistent"] / 2)
    over = {one.what: one for one in found.over}
    assert over[g].seeds == over_seeds(by_seed)
    assert "conditional on these tasks" in over[g].seeds.estimate.method
    assert over[g].whom == "2 persistent-trained models"
    assert set(over) == {
        g,
        "total tokens, away / at home",
        "lost-variable episodes, away - at home",
    }


def test_over_models_a_bound_stays_a_bound() -> None:
    rows = [
        changed(row, ending="max_turns", total_tokens=900 + 7 * row.seed)
        if row.contract == "stateless" else row
        for row in trained() if row.trained_under == "persistent"
    ]  # fmt: skip
    second = [changed(row, total_tokens=2 * (row.total_tokens or 0) + row.seed) for row in rows]
    found = comparison(table(*rows, *relabelled(second, "second")))
    (tokens,) = [one for one in found.over if one.unit == "ratio"]
    assert tokens.seeds.estimate.low is not None
    assert tokens.seeds.estimate.high is None


def test_experts_are_compared_only_where_they_are_asked_for() -> None:
    experts = relabelled(
        [*cell("pp"), *cell("ps")], "expert:persistent", model_spec="expert:persistent"
    )
    whole = table(*trained(), *experts)
    assert named(comparison(whole)) == named(comparison(table(*trained())))
    assert comparison(table(*experts)).claims == ()
    (first, *_) = comparison(table(*experts), experts=True).claims
    assert first.contrast.name == "G_P: score at home - away, expert:persistent"


def test_identical_cells_are_said_once_in_a_terminal() -> None:
    rows = [
        changed(row, transcript_digest="same", score=0.6)
        if row.trained_under == "stateless"
        else row
        for row in trained()
    ]
    found = comparison(table(*rows))
    same = [one for one in found.claims if one.contrast.same == (N, N)]
    assert {one.whom for one in same} == {"m-stateless"}
    assert [one.what for one in same if one.headline] == ["G_S: score at home - away"]
    everywhere = [changed(row, transcript_digest="same", score=0.6) for row in rows]
    d = next(one for one in comparison(table(*everywhere)).claims if one.what[0] == "D")
    assert d.contrast.same == (N, N)


def test_between_tokenizers_characters_are_compared() -> None:
    rows = [
        changed(row, tokenizer="other") if row.trained_under == "stateless" else row
        for row in trained()
    ]
    whats = {one.what for one in comparison(table(*rows)).claims}
    assert "transcript characters, at home" in whats
    assert "total tokens, at home" not in whats
    assert "total tokens, away / at home" in whats
    assert "score per 1k tokens, at home" not in whats


def test_what_no_task_bears_is_left_out() -> None:
    stateless = [row for row in trained() if row.contract == "stateless"]
    assert [one.what for one in comparison(table(*stateless)).claims] == ["M: score in stateless"]
    unmeasured = [changed(row, total_tokens=None, lost_errors=None) for row in trained()]
    whats = {one.what for one in comparison(table(*unmeasured)).claims}
    assert not any("lost" in what or "tokens" in what for what in whats)
    apart = [
        changed(row, packages=("numpy",)) if row.contract == "stateless" else row
        for row in trained()
    ]
    assert comparison(table(*apart)) == Comparison()
    only = [make(5, model="m", model_spec="path", contract="persistent")]
    assert comparison(table(*only)).claims == ()


@pytest.mark.parametrize("kind", RUNS)
def test_one_trained_model_alone_is_compared_between_home_and_away(kind: str) -> None:
    rows = [row for row in trained() if row.trained_under == kind]
    both = named(comparison(table(*trained())))
    values = named(comparison(table(*rows)))
    assert len(values) == 5
    assert all(value == both[name] for name, value in values.items())
    assert f"G_{kind[0].upper()}: score at home - away, m-{kind}" in values
    assert f"total tokens, away / at home, m-{kind}" in values


def test_models_that_were_trained_under_both_are_compared_between_runtimes() -> None:
    rows = [changed(row, trained_under="mixed") for row in trained() if row.model == "m-stateless"]
    assert "score, stateless - persistent, m-stateless" in named(comparison(table(*rows)))
