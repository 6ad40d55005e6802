"""A/A rates are of tasks that greedy decoding played more than once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from okrt.analysis.cells import tables
from okrt.analysis.flips import Flips
from okrt.analysis.rows import Row, row
from okrt.analysis.stats import rate_interval
from okrt.types import Failure
from tests.analysis.build import sample

GREEDY = replace(row(sample()), temperature=0.0, transcript_digest="a")


def play(seed: int, repeat: int, **changes: object) -> Row:
    made = replace(GREEDY, episode_id=f"{seed}-{repeat}", task_id=f"t/{seed}", repeat=repeat)
    return replace(made, **changes)  # type: ignore[arg-type]  # any field, by name


def rates(*rows: Row) -> Flips | None:
    ((cell,),) = (table.cells.values() for table in tables(rows))
    return cell.flips


def test_a_task_flips_where_its_plays_are_not_all_alike() -> None:
    found = rates(
        *(play(seed, repeat) for seed in range(4) for repeat in range(3)),
        *(play(8, repeat, transcript_digest="ab"[repeat]) for repeat in range(2)),
        *(play(9, repeat, transcript_digest="ab"[repeat], score=repeat / 2) for repeat in range(2)),
    )
    assert found == Flips(6, rate_interval(2, 6), rate_interval(1, 6))


def test_only_tasks_played_more_than_once_count() -> None:
    found = rates(play(0, 0), play(0, 1), play(1, 0), play(2, 1))
    assert found == Flips(1, rate_interval(0, 1), rate_interval(0, 1))


@pytest.mark.parametrize("changes", [{"temperature": 0.2}, {"transcript_digest": None}])
def test_sampling_and_unknown_transcripts_say_nothing(changes: dict[str, object]) -> None:
    assert rates(play(0, 0, **changes), play(0, 1, **changes)) is None


def test_nothing_repeated_says_nothing() -> None:
    assert rates(play(0, 0), play(1, 0)) is None


def test_what_infrastructure_broke_off_is_no_play() -> None:
    broken = play(0, 1, score=None, failure=Failure("model", "E", "m"))
    assert rates(play(0, 0), broken) is None


def test_cells_are_kept_apart() -> None:
    rows = [play(0, 0), play(0, 1, contract="persistent", transcript_digest="b")]
    (table,) = tables(rows)
    assert [cell.flips for cell in table.cells.values()] == [None, None]
