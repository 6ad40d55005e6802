"""What is said of many replays, computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from okrt.replay import Demand, Replay, ReplayedTurn
from okrt.replay.nouns import Kind
from okrt.replay.summary import Missed, Quartiles, cells, quartiles
from okrt.replay.text import line, text


def turn(
    number: int,
    departs: Kind | None = None,
    seen: bool = True,
    steady: bool | None = True,
    lost: str | None = None,
    detail: str = "",
) -> ReplayedTurn:
    if departs is None:
        return ReplayedTurn(number, "ok")
    return ReplayedTurn(number, "ok", departs, detail, seen, steady, lost)


def made(
    turns: Sequence[ReplayedTurn],
    recorded: int,
    same: bool = True,
    demand: Sequence[Demand] = (),
    cap: int = 25,
) -> Replay:
    return Replay(
        "e", "t", "f", "easy", 1, 0, "m", "persistent", 25, recorded, tuple(demand), "stateless",
        cap, same, tuple(turns),
    )  # fmt: skip


ON, LOST = turn(1), turn(2, "lost", lost="x")
REPLAYS = [
    made([ON, LOST], 5),
    made([ON, turn(2, "output")], 4),
    made([turn(1, "calls", seen=False), turn(2), turn(3, "lost", lost="y")], 3),
    made([ON, turn(2), turn(3)], 3),
    made([turn(1, "output", steady=False)], 6),
]


def test_a_cell_adds_up() -> None:
    (cell,) = cells(REPLAYS)
    assert (cell.episodes, cell.whole, cell.unsteady, cell.prompts_same) == (5, 1, 1, 5)
    assert cell.faithful_turns == Quartiles(2, 2, 3)
    assert cell.first_departures == {"calls": 1, "lost": 1, "output": 1}
    assert cell.departs_at == {1: 2, 2: 2}
    assert cell.lost_at == {2: 1, 3: 1}


def test_what_is_not_known_widens_the_bounds() -> None:
    (cell,) = cells(REPLAYS)
    # by turn 2 the fifth departed otherwise in turn 1, by turn 3 the second in turn 2
    assert cell.missed == (Missed(1, 0, 0), Missed(2, 1, 2), Missed(3, 2, 4))
    (open_cell,) = cells([made([ON, LOST], 5, same=False), made([ON, LOST], 5)])
    assert open_cell.missed == (Missed(1, 0, 1), Missed(2, 1, 2))
    assert open_cell.faithful_turns == Quartiles(0, 0, 2)


def test_exposure_to_a_cap_is_bounded_where_the_recorded_one_cut() -> None:
    blocks = [Demand(3, False), Demand(26, True), Demand(80, True), Demand(25, False)]
    (same,) = cells([made([ON], 1, demand=blocks, cap=25)])
    assert (same.over_cap, same.maybe_over_cap) == (2, 0)  # as many calls as the cap are within it
    (lower,) = cells([made([ON], 1, demand=blocks, cap=10)])
    assert (lower.blocks, lower.over_cap, lower.maybe_over_cap) == (4, 3, 0)
    (higher,) = cells([made([ON], 1, demand=blocks, cap=40)])
    assert (higher.over_cap, higher.maybe_over_cap, higher.most_calls) == (1, 1, 80)


@pytest.mark.parametrize(
    ("demand", "told"), [(Demand(26, True), ">= 26"), (Demand(25, False), "25")]
)
def test_the_most_calls_are_a_lower_bound_where_the_recorded_cap_cut(
    demand: Demand, told: str
) -> None:
    assert f"; the most: {told}\n" in text(cells([made([ON], 1, demand=[demand], cap=40)]))


def test_what_comes_after_the_last_that_compares_is_not_looked_at() -> None:
    """Of an episode that was replayed to its end all the same."""
    whole = made([turn(1, "output"), turn(2, "lost", lost="x")], 3)
    assert whole.first_lost is None
    assert made([turn(1, "output", seen=False), turn(2, "lost", lost="x")], 3).first_lost == LOST


@pytest.mark.parametrize(
    ("contract", "cap", "own"),
    [("persistent", 25, True), ("persistent", 10, False), ("stateless", 25, False)],
)
def test_its_own_are_contract_and_cap(contract: str, cap: int, own: bool) -> None:
    assert replace(made([ON], 1), contract=contract, tool_cap=cap).own is own


@pytest.mark.parametrize(
    ("values", "expected"),
    [([7], (7, 7, 7)), ([1, 2], (1, 1, 2)), ([4, 3, 2, 1], (1, 2, 3)), (range(1, 6), (2, 3, 4))],
)
def test_quartiles_are_values_that_occur(values: Sequence[int], expected: tuple[int, ...]) -> None:
    assert quartiles(values) == Quartiles(*expected)
    with pytest.raises(ValueError, match="no values"):
        quartiles([])


def test_the_text_says_the_figures_and_escapes_the_models() -> None:
    shown = text(cells(REPLAYS))
    assert "median 2 (quartiles 2 to 3)" in shown
    assert "by turn 2: 20% of the episodes at least, 40% at most" in shown
    assert "unsteady: 1 episode " in shown
    hostile = made([turn(1, "output", detail="\x1b[2J\u202e\n")], 2)
    assert line(hostile, "toy\x1b[2J-persistent-easy-0").isprintable()
    differs = text(cells([made([ON, LOST], 5, same=False, cap=3)]))
    assert "misses a variable" not in differs
    assert "they have no faithful turn" in differs
