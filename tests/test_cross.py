"""The experts' cross in the real runtime: the harness shows the effect it was built to measure."""

from __future__ import annotations

import pytest

from okrt import specs
from okrt.analysis.cells import Cell, tables
from okrt.analysis.rows import Row, row
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Settings

MODELS = ("expert:persistent", "expert:stateless")
AWAY = ("expert:persistent,recovery=give_up", "expert:persistent,recovery=retry")
FEW = {(model, contract): 10 for model in MODELS for contract in ("persistent", "stateless")} | {
    (AWAY[0], "stateless"): 30,
    (AWAY[1], "stateless"): 5,
}
"""Tasks of each cell: most where play is blind, which varies, fewest where it takes 40 turns."""


def play(
    runtime: ZygoteRuntime,
    model: str,
    contract: str,
    seeds: range,
    tier: str = "easy",
    settings: Settings = Settings(),  # noqa: B008  # frozen
) -> list[Row]:
    family = specs.FAMILIES["opaque_knapsack"]
    agent = specs.load_model(specs.model_spec(model), settings, family.name)
    cases = [
        Case(family, family.task(seed, tier), specs.contract(contract), agent.card, agent.model,
             settings)
        for seed in seeds
    ]  # fmt: skip
    return [row(episode) for episode in run_cases(cases, runtime)]


@pytest.fixture(
    scope="module",
    params=[FEW, pytest.param(dict.fromkeys(FEW, 40), marks=pytest.mark.thorough)],
    ids=["few", "forty"],
)
def cells(request: pytest.FixtureRequest) -> dict[tuple[str, str], Cell]:
    with ZygoteRuntime() as runtime:
        found = [
            one
            for (model, contract), tasks in request.param.items()
            for one in play(runtime, model, contract, range(tasks))
        ]
    (table,) = tables(found)
    assert not any(r.failure for r in found)
    return dict(table.cells)


def test_missing_variables_show_in_one_cell_alone(cells: dict[tuple[str, str], Cell]) -> None:
    rates = {key: cells[key].missing_variable_rate.value for key in cells}
    assert (rates.pop(("expert:persistent", "stateless")) or 0.0) >= 0.6
    assert [rate for (model, _), rate in rates.items() if model in MODELS] == [0.0] * 3


def test_each_expert_plays_near_the_reference_at_home(cells: dict[tuple[str, str], Cell]) -> None:
    for contract in ("persistent", "stateless"):
        assert (cells[f"expert:{contract}", contract].relative_score.value or 0) >= 0.9


def test_the_stateless_idiom_writes_more(cells: dict[tuple[str, str], Cell]) -> None:
    at_home = cells["expert:stateless", "stateless"].completion_tokens or 0
    assert at_home >= 1.8 * (cells["expert:persistent", "persistent"].completion_tokens or 1)


def test_what_an_expert_does_after_a_loss_decides_its_score(
    cells: dict[tuple[str, str], Cell],
) -> None:
    home = cells["expert:persistent", "persistent"]
    rebuild = cells["expert:persistent", "stateless"]
    give_up = cells[AWAY[0], "stateless"]
    retry = cells[AWAY[1], "stateless"]
    assert rebuild.score.value == pytest.approx(home.score.value, abs=0.02)
    assert (rebuild.total_tokens or 0) > 1.8 * (home.total_tokens or 0)
    assert give_up.relative_score.value == pytest.approx(0, abs=0.1)
    assert retry.censored_share == 1.0
    assert (retry.score.value or 0) < (give_up.score.value or 0)


def test_a_binding_cap_turns_tokens_into_quality_and_carryover_gives_it_back() -> None:
    """Of blocks that run into the cap: under a slack one a loss costs tokens alone."""

    def score(contract: str, cap: int) -> tuple[list[float | None], bool]:
        capped = Settings(tool_cap=cap, max_turns=12)
        model = "expert:persistent,batch=all"
        rows = play(runtime, model, contract, range(4), "micro", capped)
        return [one.score for one in rows], any(one.cap_hits for one in rows)

    with ZygoteRuntime() as runtime:
        home, cut = score("persistent", 6)
        assert cut
        assert min(one or 0 for one in home) > 0.5
        for contract in ("carryover", "carryover-announced"):
            assert score(contract, 6) == (home, True)
        for contract in ("stateless", "files"):
            assert score(contract, 6) == ([0.0] * 4, True)
        for contract in ("persistent", "stateless", "carryover"):
            assert score(contract, 25) == (home, False)
