"""Contrasts as a report shows them; and estimates of which an end is missing."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from okrt.analysis.cells import tables
from okrt.analysis.rows import Row
from okrt.analysis.stats import Estimate, over_seeds
from okrt.report.contrasts import MOST_LINES, claims
from okrt.report.tables import markdown, terminal
from okrt.report.texts import shown
from tests.report.test_tables import cross, make

RUNS = ("persistent", "stateless")


def played(model: str, under: str, n: int = 40, **changes: object) -> list[Row]:
    """A model that loses its variables away from home, at three times the tokens."""
    rows = []
    for contract in RUNS:
        away = under in RUNS and under != contract
        drawn = random.Random(f"{model}/{contract}")
        for seed in range(n):
            fields: dict[str, object] = {
                "score": 0.8 + 0.1 * (seed % 3) / 3 + drawn.uniform(-0.05, 0.05) - 0.4 * away,
                "total_tokens": (5_000 + 40 * seed + drawn.randrange(200)) * (3 if away else 1),
                "lost_errors": int(away),
                "missing_variable_errors": int(away),
                "ending": "max_turns" if away and seed % 4 == 0 else "finished",
                "transcript_digest": f"{model}{contract}{seed}",
            }
            rows.append(make(model, contract, seed, trained_under=under, **{**fields, **changes}))
    return rows


def both() -> list[Row]:
    return [*played("a", "persistent"), *played("b", "stateless")]


def section(text: str) -> list[str]:
    return text[text.index("Contrasts, paired") :].split("\n\n")[0].splitlines()


def test_the_terminal_has_a_line_for_each_of_the_main_contrasts() -> None:
    found = section(terminal(both(), 130))
    assert found[0] == (
        "Contrasts, paired by task (Holm over 14 claims of this report; equivalent: within 0.05 of "
        "the score, or a factor of 1.1)"
    )
    lines = [" ".join(line.split()) for line in found[1:]]
    assert len(lines) == 9 <= MOST_LINES
    assert lines[0].startswith("G_P: score at home - away, a +0.")
    assert lines[0].endswith("] different")
    assert lines[4].startswith("total tokens, at home, b / a ")
    assert lines[5].startswith("total tokens, away / at home, a at least ")
    assert lines[5].endswith(", ...] different")
    assert lines[6].startswith("lost-variable episodes, away - at home, a +100.0% [+")


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200])
def test_contrasts_fit_the_terminal(width: int) -> None:
    found = section(terminal(both(), width))
    assert max(map(len, found)) <= width
    assert sum("G_" in line for line in found) == 3
    assert "+" in "".join(found)


def test_contrasts_stand_beneath_their_own_table() -> None:
    easy = played("a", "unknown")
    hard = [one for one in played("a", "unknown", tier="hard") if one.seed < 20]
    hard = [_renamed(one, "hard") for one in hard]
    text = terminal([*easy, *hard], 100)
    parts = [part.splitlines()[0].split(",")[0] for part in text.split("\n\n") if part.strip()]
    heads = [part for part in parts if part.startswith(("opaque", "Contrasts"))]
    assert heads == ["opaque_knapsack/easy", "Contrasts", "opaque_knapsack/hard", "Contrasts"]
    assert text.count("Holm over 10 claims of this report") == 2


def _renamed(one: Row, tier: str) -> Row:
    return make(
        one.model, one.contract, one.seed, tier=tier, score=one.score, trained_under="unknown",
        episode_id=f"{tier}{one.episode_id}", task_id=f"opaque_knapsack/{tier}/eval/{one.seed}@1",
        total_tokens=one.total_tokens, transcript_digest=one.transcript_digest,
    )  # fmt: skip


def test_claims_are_corrected_over_all_tables() -> None:
    easy = played("a", "unknown")
    (alone,) = claims(tables(easy))
    hard = [_renamed(one, "hard") for one in easy]
    among, other = claims(tables([*easy, *hard]))
    assert (alone.family, among.family, other.family) == (5, 10, 10)
    for (_, one), (_, two) in zip(alone.made, among.made, strict=True):
        assert one.estimate == two.estimate
        assert two.p_different >= one.p_different
    assert (among.made[0][1].p_equivalent or 0) > (alone.made[0][1].p_equivalent or 1)


def test_too_many_lines_are_left_to_the_report() -> None:
    rows = [one for name in "abcde" for one in played(name, "unknown", 12)]
    found = section(terminal(rows, 120))
    assert found[-1] == "  and 5 more: report.md"
    assert (
        sum(line.startswith("  ") and "more:" not in line for line in found[1:]) <= MOST_LINES + 1
    )
    assert markdown(rows, {}).count("| score, stateless - persistent, ") == 5


def test_several_models_of_one_training_are_shown_over_them_and_no_claim() -> None:
    rows = [one for name in ("a1", "a2", "a3") for one in played(name, "persistent", 12)]
    found = section(terminal(rows, 160))
    (first,) = [line for line in found if "3 persistent-trained models" in line and "G_P" in line]
    assert "no claim; one by one +0.4" in first
    text = markdown(rows, {})
    assert "Student's t over 3 training seeds, conditional on these tasks" in text
    assert "only if they are seeds of one recipe" in text


def test_identical_cells_are_said_to_be_so() -> None:
    rows = [
        make("a", contract, seed, trained_under="stateless", transcript_digest=f"{seed}")
        for contract in RUNS
        for seed in range(12)
    ]
    found = section(terminal(rows, 120))
    assert [" ".join(line.split()) for line in found[1:]] == [
        "G_S: score at home - away, a +0.000 [-0.265, +0.265] identical in 12 of 12 tasks"
    ]
    assert "| identical in 12 of 12 tasks |  | 12 | 12 of 12 | all equal" in markdown(rows, {})


def test_the_contrasts_of_scripted_experts_are_a_self_check_of_the_report_alone() -> None:
    rows = [
        *cross("expert:persistent", trained_under="persistent"),
        *cross("expert:stateless", trained_under="stateless"),
    ]
    assert "Contrasts" not in terminal(rows)
    text = markdown(rows, {})
    assert "#### Contrasts: self-check of the harness: scripted experts, not evidence" in text
    assert "| G_P: score at home - away, expert:persistent | +0.000 " in text
    beside = [*rows, *cross("checkpoint")]
    assert "self-check" not in markdown(beside, {})
    assert "expert" not in "".join(section(terminal(beside, 100)))


def test_the_report_says_methods_margins_and_what_is_claimed() -> None:
    text = markdown(both(), {})
    lines = text.splitlines()
    head = "| contrast | estimate | claim | adjusted p | n | identical tasks | method |"
    rows = lines[lines.index(head) + 2 :][:14]
    assert all(row.count("|") == 8 for row in rows)
    assert "| BCa bootstrap of the mean difference, 9,999 resamples |" in rows[0]
    assert " | 40 | 0 of 40 | " in rows[0]
    assert "within a factor of 1.1, where published misfits cost three times and more" in text
    assert "None" not in text.replace("None ", "")


def test_labels_from_outside_break_nothing() -> None:
    rows = played("a|<b>\x1b[31m" + "x" * 300, "unknown", 12)
    assert "\x1b" not in terminal(rows, 80) + markdown(rows, {})
    assert max(map(len, section(terminal(rows, 80)))) <= 80
    assert "persistent, a\\|&lt;b>" in markdown(rows, {})
    odd = {"persistent": "persistent", "stateless": "c|<i>\x1b[31m"}
    rows = [replace(row, contract=odd[row.contract]) for row in played("m", "unknown", 12)]
    assert "\x1b" not in terminal(rows, 80) + markdown(rows, {})
    assert "score, c\\|&lt;i>" in markdown(rows, {})


def estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(value, low, high, 0.95, "somehow", 20, "task")


def test_an_end_that_is_missing_is_never_none() -> None:
    assert shown(estimate(1.5, 1.2, 1.8), 1, 2) == "1.50 [1.20, 1.80]"
    assert shown(estimate(1.5, 1.2, None), 1, 2) == "at least 1.50 [1.20, ...]"
    assert shown(estimate(1.5, None, 1.8), 1, 2) == "at most 1.50 [..., 1.80]"
    assert shown(estimate(0.5, None, None), 100, 1, "%", "+") == "+50.0% [-]"
    assert shown(estimate(None, None, None)) == ""
    bound = replace(estimate(1.5, None, None), side="at least")
    assert shown(bound, 1, 2) == "at least 1.50 [-]"
    assert shown(over_seeds({"a": 1.0}).estimate) == "1.000 [-]"
