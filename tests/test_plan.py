"""What a run must hold: short, and nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from okrt.plan import Key, differences, keys_of, plan_of, size

KEYS = st.builds(
    Key,
    family=st.just("knapsack"),
    tier=st.sampled_from(["easy", "hard"]),
    split=st.just("eval"),
    model=st.sampled_from(["a", "b"]),
    contract=st.sampled_from(["persistent", "stateless"]),
    repeat=st.integers(0, 1),
    seed=st.integers(0, 12),
    tool_cap=st.sampled_from([0, 25]),
    cue=st.sampled_from(["none", "true"]),
    names=st.booleans(),
)


@given(st.lists(KEYS))
def test_a_plan_holds_each_key_once(keys: list[Key]) -> None:
    plan = plan_of(keys)
    by_axes = sorted(set(keys), key=lambda key: (key[:6], key[7:], key.seed))
    assert list(keys_of(plan)) == by_axes
    assert size(plan) == len(set(keys))
    assert plan == plan_of(reversed(keys))


def test_seeds_in_a_row_are_one_range() -> None:
    keys = [Key("f", "easy", "eval", "m", "persistent", 0, seed) for seed in range(100_000)]
    (one,) = plan_of(keys)
    assert one.seeds == ((0, 100_000),)


def test_differences_name_the_leaf_and_both_values() -> None:
    one = {"settings": {"cue": "none", "max_turns": 40}, "models": {"a": {"digest": "1"}}}
    other = {"settings": {"cue": "true", "max_turns": 40}, "models": {}}
    assert differences(one, one) == []
    assert differences(one, other) == [
        "settings.cue: 'none' and 'true'",
        "models.a.digest: '1' and nothing",
        "models: nothing and {}",
    ]


def test_differences_say_which_is_which_and_what_is_unset() -> None:
    one = {"tool_cap": None, "token_budget": 9, "temperature": 0.0}
    other = {"tool_cap": 3, "token_budget": None, "temperature": 0.5}
    assert differences(one, other, "{} there, {} asked for") == [
        "tool_cap: the tier's there, 3 asked for",
        "token_budget: 9 there, none asked for",
        "temperature: 0.0 there, 0.5 asked for",
    ]
