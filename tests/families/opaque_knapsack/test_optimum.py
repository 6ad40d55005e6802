"""The optimum equals brute force and its set is a witness."""

from __future__ import annotations

from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from okrt.families.opaque_knapsack.optimum import solve

ITEMS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 100)), max_size=12)


@settings(deadline=None)
@given(ITEMS, st.integers(0, 120))
def test_equals_brute_force(items: list[tuple[int, int]], capacity: int) -> None:
    found = solve([weight for weight, _ in items], [value for _, value in items], capacity)
    subsets = chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))
    fitting = (s for s in subsets if sum(weight for weight, _ in s) <= capacity)
    assert found.value == max(sum(value for _, value in s) for s in fitting)


@settings(deadline=None)
@given(ITEMS, st.integers(0, 120))
def test_the_chosen_fit_and_are_worth_the_value(
    items: list[tuple[int, int]], capacity: int
) -> None:
    found = solve([weight for weight, _ in items], [value for _, value in items], capacity)
    assert list(found.chosen) == sorted(set(found.chosen))
    assert sum(items[index][0] for index in found.chosen) <= capacity
    assert sum(items[index][1] for index in found.chosen) == found.value


def test_greedy_by_density_would_be_wrong() -> None:
    assert solve([6, 5, 5], [13, 10, 10], 10).chosen == (1, 2)
