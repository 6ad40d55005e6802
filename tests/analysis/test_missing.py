from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.analysis.missing import (
    bound_before,
    guarded_losses,
    missing_variables,
    recovery_turns,
    redefinitions,
    within_edits,
)
from okrt.types import Execution, Turn
from tests.analysis.build import call, law, missing, ran, turn


def gone(name: str | None, *bound: str) -> Turn:
    return turn(execution=missing(name, bound))


def binds(*names: str) -> Turn:
    return turn(execution=ran(names))


def test_lost_is_a_name_that_an_earlier_turn_bound() -> None:
    assert missing_variables([binds("seen"), gone("seen")]) == [None, "lost"]
    assert missing_variables([binds("seen"), turn(), turn(), gone("seen")])[-1] == "lost"


def test_a_name_of_the_same_block_or_a_later_one_is_not_lost() -> None:
    assert missing_variables([gone("seen", "seen")]) == ["undefined"]
    assert missing_variables([gone("seen"), binds("seen")]) == ["undefined", None]


def test_a_name_that_a_failed_block_was_to_bind_is_not_lost() -> None:
    failed = turn("x = 1/0\nseen = 2", execution=ran((), status="raised", error_type="E"))
    assert missing_variables([failed, gone("seen")])[-1] == "undefined"


def test_where_the_process_was_lost_the_names_of_its_code_stand_in() -> None:
    died = turn("for seen in ids: loop()", execution=ran(None, status="died"))
    unreadable = turn("seen = (", execution=ran(None, status="died"))
    assert missing_variables([died, gone("seen")])[-1] == "lost"
    assert missing_variables([unreadable, gone("seen")])[-1] == "undefined"


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("sen", "seen", "typo"),
        ("seem", "seen", "typo"),
        ("sene", "seen", "undefined"),  # a swap is two edits
        ("wieght", "weight", "typo"),  # two are allowed beyond five characters
        ("weigths_", "weight", "undefined"),
        ("itms", "items", "typo"),
        ("tems_", "items", "undefined"),
        ("other", "seen", "undefined"),
    ],
)
def test_typo_is_near_a_name_bound_earlier(name: str, known: str, found: str) -> None:
    assert missing_variables([binds(known), gone(name)])[-1] == found


def test_typo_is_near_a_name_of_its_own_block_or_a_tool() -> None:
    assert missing_variables([gone("inspct")]) == ["undefined"]
    assert missing_variables([gone("seem", "seen")]) == ["typo"]
    assert missing_variables([gone("inspct")], ["finish", "inspect"]) == ["typo"]


def test_a_deleted_tool_is_no_typo_of_itself() -> None:
    assert missing_variables([turn(execution=missing("go", (), call("go")))]) == ["undefined"]


def test_lost_goes_before_typo() -> None:
    assert missing_variables([binds("seen", "seem"), gone("seen")])[-1] == "lost"


def test_a_name_error_without_a_name_is_undefined() -> None:
    assert missing_variables([binds("seen"), gone(None)])[-1] == "undefined"


def test_unbound_local_error_is_no_missing_variable() -> None:
    local = Execution("raised", error_type="UnboundLocalError", bound_names=())
    assert missing_variables([binds("seen"), turn(execution=local)]) == [None, None]


def test_turns_without_a_block_bind_and_miss_nothing() -> None:
    turns = [binds("b", "a"), turn(None), gone("a")]
    assert bound_before(turns) == [frozenset(), {"a", "b"}, {"a", "b"}]
    assert missing_variables(turns) == [None, None, "lost"]


GUARD = "try:\n    seen\nexcept NameError:\n    seen = {}"


def test_guarded_losses_count_turns_that_had_lost_what_they_guard() -> None:
    lost, kept = turn(GUARD, execution=ran()), turn(GUARD, execution=ran((), ("seen",)))
    unknown = turn(GUARD, execution=ran((), None))
    assert guarded_losses([binds("seen"), lost, lost]) == 2
    assert guarded_losses([binds("seen"), kept]) == 0
    assert guarded_losses([binds("seen"), unknown]) == 0
    assert guarded_losses([binds("other"), lost]) == 0
    assert guarded_losses([lost]) == 0
    assert guarded_losses([binds("seen"), turn(GUARD + "\n(", execution=ran())]) == 0


def test_redefinitions_count_names_of_earlier_turns_bound_anew() -> None:
    again = turn("import json\nseen = {}\ndef f(): pass\nnew = 1")
    assert redefinitions([binds("json", "seen", "f"), again]) == 3
    assert redefinitions([binds("seen"), turn("seen = seen | {}")]) == 0
    assert redefinitions([binds("seen"), again, again]) == 2
    assert redefinitions([again]) == 0
    alive = turn("seen = {}", execution=ran(("seen",), ("seen",)))
    assert redefinitions([binds("seen"), alive]) == 1


def test_recovery_lasts_to_the_first_block_that_runs() -> None:
    error = turn(execution=ran(status="raised", error_type="KeyError"))
    assert recovery_turns([turn(), gone("a"), turn(), turn()]) == 1
    assert recovery_turns([gone("a"), error, turn(None), turn(), turn()]) == 3
    assert recovery_turns([gone("a"), gone("a"), turn()]) == 2
    assert recovery_turns([gone("a"), turn(), gone("a"), turn()]) == 2
    assert recovery_turns([gone("a")]) == 0
    assert recovery_turns([error, turn(), turn()]) == 0


def levenshtein(one: str, other: str) -> int:
    """The textbook recursion over a table."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, above = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@law
@given(st.text("ab", max_size=6), st.text("ab", max_size=6), st.integers(0, 2))
def test_within_edits_is_the_distance_of_levenshtein(one: str, other: str, edits: int) -> None:
    assert within_edits(one, other, edits) == (levenshtein(one, other) <= edits)


def test_within_edits_of_huge_names_is_quick() -> None:
    assert within_edits("a" * 1_000_000 + "x", "a" * 1_000_000 + "y", 2)
    assert not within_edits("a" * 1_000_000, "b" * 1_000_000, 2)
