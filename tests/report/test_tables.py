from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.analysis.rows import Row, row
from okrt.report.tables import markdown, terminal
from okrt.types import Episode, Failure
from tests.analysis.build import episodes, law, sample

SAMPLE = row(sample())
RUN = {
    "created": "2026-03-01T10:00:00Z",
    "commit": None,
    "arguments": ["evals/", "--runtime=stateless"],
    "settings": {"max_turns": 40, "token_budget": None},
    "versions": {"python": "3.11.7", "okrt": "0.1.0"},
    "machine": {"system": "Linux", "cpus": 2},
    "manifest": {},
    "complete": True,
}


def make(model: str, contract: str, seed: int, **changes: object) -> Row:
    changed = replace(
        SAMPLE,
        episode_id=f"{model}-{contract}-{seed}-{len(changes)}",
        task_id=f"opaque_knapsack/easy/eval/{seed}@1",
        seed=seed,
        model=model,
        model_spec=model,
        contract=contract,
        runtime=contract,
        trained_under="unknown",
    )
    return replace(changed, **changes)  # type: ignore[arg-type]  # any field, by name


def cross(*models: str, **changes: object) -> list[Row]:
    return [
        make(model, contract, seed, **changes)
        for model in models
        for contract in ("persistent", "stateless")
        for seed in range(3)
    ]


def experts() -> list[Row]:
    """The experts' cross: what is lost is lost away from home only. Without spread, so that no
    figure hangs on a stream of random numbers."""
    home = {"score": 0.9, "missing_variable_errors": 0, "lost_errors": 0}
    away = {"score": 0.5, "relative_score": -0.8, "ending": "max_turns", "total_tokens": 12_345}
    rows = [
        *(make("expert:persistent", "persistent", seed, **home) for seed in range(3)),
        *(make("expert:persistent", "stateless", seed, **away) for seed in range(3)),
        *(make("expert:stateless", "stateless", seed, **home) for seed in (0, 1, 2)),
    ]
    failure = Failure("runtime", "BrokenPipeError", "zygote\x1b[31m gone")
    broken = {"score": None, "failure": failure, "ending": None, "total_tokens": None}
    return [*rows, make("expert:stateless", "stateless", 7, **broken)]


TERMINAL = """\
opaque_knapsack/easy, model x runtime: self-check of the harness (scripted experts, not evidence
about models)
  3 tasks (eval, seeds 0-2), tool cap 25
  [low, high]: 95% interval over tasks (Clopper-Pearson)
  [-]: no interval is claimed (no spread among the values)
  relative score: 0 is blind play, 1 is the reference player
  means with >= are lower bounds: a limit ended over 5% of the episodes

                             persistent            stateless
expert:persistent
  score                      0.900 [-]             0.500 [-]
  relative score             0.800 [-]             -0.800 [-]
  solved                     0.0% [0.0, 70.8]      0.0% [0.0, 70.8]
  turns                      4.0                   >= 4.0
  completion tokens          92                    >= 92
  new tokens                 242                   >= 242
  total tokens               752                   >= 12,345
  missing-variable episodes  0.0% [0.0, 70.8]      100.0% [29.2, 100.0]
  lost-variable episodes     0.0% [0.0, 70.8]      100.0% [29.2, 100.0]
  score x100 per 1k tokens   119.68 [-]            4.05 [-]
  ended by a limit           0.0%                  100.0%
  most calls of a block      >= 2                  >= 2
  blocks beyond the cap      25.0% [-]             25.0% [-]
  infrastructure failures    0                     0
expert:stateless
  score                      -                     0.900 [-]
  relative score             -                     0.800 [-]
  solved                     -                     0.0% [0.0, 70.8]
  turns                      -                     4.0
  completion tokens          -                     92
  new tokens                 -                     242
  total tokens               -                     752
  missing-variable episodes  -                     0.0% [0.0, 70.8]
  lost-variable episodes     -                     0.0% [0.0, 70.8]
  score x100 per 1k tokens   -                     119.68 [-]
  ended by a limit           -                     0.0%
  most calls of a block      -                     >= 2
  blocks beyond the cap      -                     25.0% [-]
  infrastructure failures    -                     1

Infrastructure failures: 1 episode, never scored
  runtime: 1, the first: BrokenPipeError: zygote\\x1b[31m gone (expert:stateless, stateless,
    opaque_knapsack/easy/eval/7@1)
"""


def test_terminal_table() -> None:
    assert terminal(experts(), 100) == TERMINAL


def test_terminal_table_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = experts()
    random.Random("order").shuffle(rows)
    assert terminal(rows, 100) == terminal(experts(), 100)


@pytest.mark.parametrize("width", [80, 100])
def test_two_runtimes_fit_beside_one_another(width: int) -> None:
    text = terminal(cross("a", "b"), width)
    assert ["persistent", "stateless"] in [line.split() for line in text.splitlines()]
    assert max(map(len, text.splitlines())) <= width


def test_runtimes_that_do_not_fit_stand_below_one_another() -> None:
    text = terminal(cross("a"), 60)
    heads = [line.split() for line in text.splitlines() if line.startswith(" " * 20)]
    assert heads == [["persistent"], ["stateless"]]
    assert text.count("  score  ") == 2


@pytest.mark.parametrize("width", [0, 1, 19, 40])
def test_a_narrow_terminal_still_gets_every_figure(width: int) -> None:
    text = terminal(experts(), width)
    assert text.count("total tokens") == 4
    assert ">= 12,345" in text


def titled(rows: Sequence[Row]) -> str:
    return terminal(rows, 200).splitlines()[0]


def test_only_experts_alone_are_a_self_check() -> None:
    assert "self-check of the harness (scripted experts" in titled(cross("expert:stateless"))
    assert "self-check" not in titled(cross("expert:stateless", "checkpoint"))
    disguised = cross("expert:lookalike", model_spec="path/expert:lookalike")
    assert "self-check" not in titled(disguised)


def test_train_x_runtime_needs_every_training_known_and_different() -> None:
    one, other = cross("a", trained_under="persistent"), cross("b", trained_under="stateless")
    unknown = cross("c", trained_under="unknown")
    assert titled([*one, *other]) == "opaque_knapsack/easy, train x runtime"
    assert titled([*one, *other, *unknown]) == "opaque_knapsack/easy, model x runtime"
    assert titled(one) == "opaque_knapsack/easy, model x runtime"
    assert "a (trained under persistent)" in terminal([*one, *other])
    assert "a (trained under persistent)" in terminal(one)
    assert "c (trained under" not in terminal([*one, *other, *unknown])


def test_experts_alone_were_not_trained() -> None:
    rows = [
        *cross("expert:persistent", trained_under="persistent"),
        *cross("expert:stateless", trained_under="stateless"),
    ]
    assert titled(rows).startswith("opaque_knapsack/easy, model x runtime: self-check")
    assert "trained under" not in terminal(rows)
    beside = cross("checkpoint", trained_under="mixed")
    assert titled([*rows, *beside]) == "opaque_knapsack/easy, model x runtime"
    assert "expert:stateless (scripted expert, no evidence)" in terminal([*rows, *beside])
    other = cross("other", trained_under="persistent")
    assert titled([*rows, *beside, *other]) == "opaque_knapsack/easy, train x runtime"


def test_an_axis_that_varies_is_named() -> None:
    text = terminal([*cross("a", tool_cap=25), *cross("a", tool_cap=80)])
    assert "opaque_knapsack/easy, tool_cap=25, model x runtime" in text
    assert "opaque_knapsack/easy, tool_cap=80, model x runtime" in text


def test_tasks_are_named_and_said_to_differ_between_cells() -> None:
    rows = [make("a", "persistent", seed) for seed in (0, 1, 2, 5, 7, 8)]
    assert "  6 tasks (eval, seeds 0-2, 5, 7-8), tool cap 25\n" in terminal(rows)
    rows.append(make("a", "stateless", 0))
    assert "; not every cell holds all: 1 to 6\n" in terminal(rows)
    many = [make("a", "persistent", seed) for seed in range(0, 20, 2)]
    assert "10 tasks (eval, seeds 0, 2, ..., 18)" in terminal(many)


def test_repeats_are_said_to_be_averaged_first() -> None:
    rows = [
        make("a", "persistent", seed, repeat=r, model_spec=f"{r}")
        for seed in (0, 1)
        for r in (0, 1)
    ]
    assert "2 tasks (eval, seeds 0-1), 2 repeats of each, averaged first" in terminal(rows)


def test_what_greedy_decoding_played_again_is_compared() -> None:
    plays: dict[str, object] = {"temperature": 0.0, "transcript_digest": "a"}
    rows = [
        make("a", contract, seed, repeat=r, **plays)
        for seed in range(3)
        for contract in ("persistent", "stateless")
        for r in (0, 1)
    ]
    rows = [replace(one, episode_id=f"{number}") for number, one in enumerate(rows)]
    flipped = replace(rows[-1], transcript_digest="b")
    text = terminal([*rows[:-1], flipped])
    lines = [line.split("  ") for line in text.splitlines() if line.startswith("  A/A: ")]
    assert [[part.strip() for part in line if part] for line in lines[1:]] == [
        ["A/A: transcripts differ", "0 of 3: 0.0% [0.0, 70.8]", "1 of 3: 33.3% [0.8, 90.6]"],
        ["A/A: scores differ", "0 of 3: 0.0% [0.0, 70.8]", "0 of 3: 0.0% [0.0, 70.8]"],
    ]
    assert "A/A: of the tasks played more than once, greedily" in text
    assert "|  | A/A: scores differ | 0 of 3: 0.0% [0.0, 70.8] |" in markdown(rows, {})
    assert "A/A" not in terminal(replace(one, temperature=0.2) for one in rows)
    assert "A/A" not in terminal(one for one in rows if one.repeat == 0)


def test_intervals_name_level_and_method() -> None:
    rows = [
        make("a", "persistent", seed, score=seed / 11, total_tokens=900 + 7 * seed)
        for seed in range(11)
    ]
    text = " ".join(terminal(rows).split())
    assert "95% interval over tasks (BCa bootstrap of the mean, 9,999 resamples; BCa" in text
    assert "of the ratio of sums, 9,999 resamples; Clopper-Pearson)" in text


def test_different_tokenizers_are_said_not_to_compare_and_characters_are_shown() -> None:
    same = terminal(cross("a", "b"))
    rows = [*cross("a"), *cross("b", tokenizer="f" * 64)]
    text = terminal(rows)
    assert "characters" not in same
    assert "tokens do not compare between models here" in text
    assert "\n  characters  " in text
    assert "f" * 30 not in text


def test_what_was_not_measured_is_said_so_and_is_no_zero() -> None:
    text = terminal(cross("a", total_tokens=None, completion_tokens=None, new_tokens=None))
    assert "total tokens               not measured" in text
    assert "score x100 per 1k tokens" not in text


def test_a_family_without_floor_and_reference_has_no_relative_score() -> None:
    assert "relative score" not in terminal(cross("a", relative_score=None))


def test_an_estimate_over_fewer_tasks_says_so() -> None:
    rows = [make("a", "persistent", seed, score=0.825) for seed in range(3)]
    rows[0] = replace(rows[0], relative_score=None)
    assert "relative score             0.500 [-] (n=2)" in terminal(rows)


def test_failures_are_listed_by_boundary_with_the_first_message() -> None:
    def broken(seed: int, boundary: str, message: str) -> Row:
        failure = Failure(boundary, "E", message)  # type: ignore[arg-type]
        return make("a", "persistent", seed, score=None, failure=failure)

    rows = [broken(2, "model", "later"), broken(1, "model", "x" * 500), broken(3, "worker", "w")]
    text = terminal(rows, 100)
    assert "Infrastructure failures: 3 episodes, never scored" in text
    assert "model: 2, the first: E: xxx" in text
    assert "later" not in text
    assert "worker: 1, the first: E: w (a, persistent, " in text
    assert max(map(len, text.splitlines())) <= 200


def test_a_cell_without_any_figure_is_still_a_table() -> None:
    assert "opaque_knapsack/easy" in terminal(cross("a", score=None))


def test_no_rows() -> None:
    assert terminal([]) == "no episodes\n"
    assert "no episodes\n" in markdown([], {})


@law
@given(st.lists(episodes(), max_size=4), st.integers(-5, 130))
def test_any_rows_can_be_shown(made: list[Episode], width: int) -> None:
    rows = [row(one) for one in made]
    assert terminal(rows, width).endswith("\n")
    assert markdown(rows, {}).endswith("\n")


# -- Markdown --------------------------------------------------------------------------------


def test_markdown_table() -> None:
    text = markdown(experts(), RUN)
    assert "### opaque_knapsack/easy, model x runtime: self-check of the harness" in text
    lines = text.splitlines()
    start = lines.index("| model | metric | persistent | stateless |")
    assert lines[start + 1 : start + 5] == [
        "| --- | --- | --- | --- |",
        "| expert:persistent | score | 0.900 [-] | 0.500 [-] |",
        "|  | relative score | 0.800 [-] | -0.800 [-] |",
        "|  | solved | 0.0% [0.0, 70.8] | 0.0% [0.0, 70.8] |",
    ]
    assert "| expert:stateless | score | - | 0.900 [-] |" in lines


def test_markdown_says_what_was_run_and_what_it_means() -> None:
    lines = markdown(experts(), RUN).splitlines()
    for line in (
        "- created: 2026-03-01T10:00:00Z",
        "- commit: not recorded",
        "- machine: cpus 2, system Linux",
        "- isolation of the code that ran: process",
        "- episodes: 10",
        "- arguments: evals/ --runtime=stateless",
        "- settings: token_budget none",
        "- max_turns: 40",
        "- tool_cap: 25",
        "- okrt 0.1.0",
        "- python 3.11.7",
        "## What this does and does not mean",
        "## Infrastructure failures: 1 episode, never scored",
        "| expert:stateless | expert:stateless | scripted | unknown |  | simple/1 |",
    ):
        assert line in lines
    assert not any("incomplete" in line for line in lines)


def test_markdown_says_that_a_run_is_incomplete() -> None:
    assert "- **incomplete**: " in markdown(experts(), {**RUN, "complete": False})


def test_markdown_needs_no_part_of_run_json() -> None:
    assert "- created: not recorded" in markdown(experts(), {})


def test_markdown_is_not_broken_by_text_from_outside() -> None:
    failure = Failure("model", "E|E", "<script>\n| a |\x1b[0m")
    rows = cross("a|b<i>", failure=failure)
    text = markdown(rows, {"arguments": ["--model", "<b>\n# x"]})
    assert "<script>" not in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\n# x" not in text
    assert "| a\\|b&lt;i> | score |" in text
