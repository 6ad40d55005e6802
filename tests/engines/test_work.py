"""Chunks of cases: each case is settled once, whoever is lost meanwhile."""

from __future__ import annotations

from random import Random

import pytest

from okrt.engines.work import LARGEST, SHARES, SUSPECTS, TRIES, Work, chunks
from okrt.plan import Key


def key(case: int) -> Key:
    return Key("family", "tier", "eval", "model", "contract", 0, case)


def work(*of: range) -> Work[int]:
    return Work(of, key)


def test_chunks_hold_every_case_once_in_order_and_of_one_group() -> None:
    cases = list(range(1000))
    found = chunks(cases, lambda case: case // 300, workers=4)
    assert [case for chunk in found for case in chunk] == cases
    assert all(len({case // 300 for case in chunk}) == 1 for chunk in found)
    assert len(found) >= SHARES * 4


@pytest.mark.parametrize(
    ("cases", "workers", "size"), [(3, 8, 1), (400, 2, 50), (10**5, 4, LARGEST)]
)
def test_chunks_are_small_enough_to_share_and_bounded(cases: int, workers: int, size: int) -> None:
    assert len(chunks(range(cases), lambda _: 0, workers)[0]) == size
    assert chunks([], lambda _: 0, workers) == []


def test_a_lost_worker_s_missing_cases_alone_wait_again() -> None:
    todo = work(range(3), range(3, 6), range(6, 9))
    assert (todo.draw("a"), todo.draw("a"), todo.draw("b")) == ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    todo.settle("a", key(0))
    assert todo.lose("a") == []
    rest = [todo.draw("c") for _ in range(4)]
    assert rest == [(1,), (2,), (3, 4, 5), ()]  # what may have been under way comes back alone
    assert not todo.is_done


def test_a_chunk_that_ends_short_of_a_case_has_it_wait_again() -> None:
    todo = work(range(2))
    todo.draw("a")
    todo.settle("a", key(1))
    assert todo.end("a") == []
    assert todo.draw("a") == (0,)
    todo.settle("a", key(0))
    assert not todo.is_done
    todo.end("a")
    assert todo.is_done


def test_a_worker_that_had_nothing_may_be_lost() -> None:
    todo = work()
    assert todo.lose("a") == []
    assert todo.is_done


def test_only_a_case_that_takes_its_workers_down_is_given_up() -> None:
    """Case 7 kills whoever plays it; the others have episodes, each one."""
    todo, played, given_up = work(range(20), range(20, 40)), [], []
    for number in range(1000):
        worker = f"worker {number}"
        for case in todo.draw(worker):
            if case == 7:
                given_up += todo.lose(worker)
                break
            played.append(case)
            todo.settle(worker, key(case))
        else:
            if todo.is_done:
                break
            given_up += todo.end(worker)
    assert given_up == [7]
    assert sorted(played) == [case for case in range(40) if case != 7]


def test_cases_beyond_those_that_were_under_way_are_not_held_against() -> None:
    todo = work(range(SUSPECTS + 5))
    todo.draw("a")
    todo.lose("a")
    alone = [todo.draw("b") for _ in range(SUSPECTS)]
    assert all(len(chunk) == 1 for chunk in alone)
    assert todo.draw("b") == tuple(range(SUSPECTS, SUSPECTS + 5))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_when_every_case_is_settled_once(seed: int) -> None:
    random = Random(f"work/{seed}")
    todo = Work(chunks(range(200), lambda case: case % 3, workers=3), key)
    busy: dict[str, list[tuple[int, ...]]] = {}
    settled: list[int] = []
    for step in range(100_000):
        if todo.is_done:
            break
        worker = f"{random.randrange(3)}-{step // 50}"
        for gone in [name for name in busy if name.endswith(f"-{step // 50 - 1}")]:
            del busy[gone]
            settled += todo.lose(gone)
        mine = busy.setdefault(worker, [])
        if len(mine) < 2 and (chunk := todo.draw(worker)):
            mine.append(chunk)
        if mine and mine[0]:
            settled.append(mine[0][0])
            todo.settle(worker, key(mine[0][0]))
            mine[0] = mine[0][1:]
        elif mine:
            mine.pop(0)
            settled += todo.end(worker)
    assert sorted(settled) == list(range(200))


def test_a_case_is_tried_so_often() -> None:
    todo = work(range(1))
    for number in range(TRIES - 1):
        assert todo.draw(str(number)) == (0,)
        assert todo.lose(str(number)) == []
    todo.draw("last")
    assert todo.lose("last") == [0]
    assert todo.is_done
