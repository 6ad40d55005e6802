"""The page of results, from episodes of the experts under the models' labels; and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from okrt.types import Episode
from training import reproduce
from training.reproduce import main
from training.tiny import extension, swept
from training.tiny import page as study_page
from training.tiny.page import page
from training.tiny.play import OWN, TIGHT
from training.tiny.results import (
    CELLS,
    FINDINGS,
    Played,
    Ratio,
    arm_table,
    at_home,
    contrasts,
    curriculum_line,
    findings,
    mean_and_each,
    plain_table,
)
from training.tiny.sessions import Session
from training.tiny.study import Study


@pytest.fixture(scope="module")
def played(episodes: list[Episode]) -> Played:
    return Played(episodes)


def test_a_row_a_cell_with_the_mean_and_each_seeds_value(played: Played) -> None:
    head, rule, *rows = arm_table([played, played])
    assert head.count("|") == rule.count("|")
    assert [row.split(" | ")[0] for row in rows] == [f"| {a} → {b}" for a, b in CELLS]
    score = played.score("persistent", "persistent")
    assert f"| {score:.3f} ({score:.3f}, {score:.3f}) |" in rows[0]
    (single,) = [row for row in arm_table([played]) if row.startswith("| persistent → persistent")]
    assert f"| {score:.3f} |" in single


def test_the_experts_show_the_errors_and_lose_quality(played: Played) -> None:
    """They retry and never rebuild, so that the quality does not hold."""
    lines = findings([played])
    assert lines[0].startswith("- **shown** in 1 of 1: A persistent-trained model in a stateless")
    assert lines[0].endswith("Found: 100%.")
    assert lines[1].startswith("- **shown** in 1 of 1: In the other three cells")
    assert lines[-1].startswith("- **not shown** in 0 of 1: The persistent-trained model's quality")


def test_home_is_measured_against_the_expert(played: Played, episodes: list[Episode]) -> None:
    experts = Played(
        replace(one, model=replace(one.model, label=f"expert:{one.model.label}"))
        for one in episodes
    )
    for line in at_home([played, played], experts):
        assert line.startswith("- **2 of 2** ")
        assert line.endswith("100%, 100%; 1.00, 1.00.")


def test_seeds_that_disagree_leave_a_finding_undecided(
    played: Played, episodes: list[Episode]
) -> None:
    home = [one for one in episodes if (one.model.label, one.contract) == CELLS[0]]
    rest = [one for one in episodes if (one.model.label, one.contract) != CELLS[1]]
    unharmed = Played([*rest, *(replace(one, contract="stateless") for one in home)])
    lines = findings([played, unharmed])
    assert lines[0].startswith("- **undecided** in 1 of 2")
    assert lines[0].endswith("Found: 100%, 0%.")


def test_ratios_are_of_means_and_gaps_of_scores(played: Played) -> None:
    tokens = {cell: played.cells[cell].completion_tokens or 0 for cell in CELLS}
    lines = contrasts([played])
    assert lines[2].endswith(f"| {tokens[CELLS[2]] / tokens[CELLS[0]]:.2f} |")
    gap = played.score(*CELLS[0]) - played.score(*CELLS[1])
    assert f"| G_P = score P→P - P→S | {gap:+.3f} |" in lines


def test_what_limits_cut_is_marked_as_a_lower_bound(played: Played) -> None:
    """The experts retry in stateless until their turns are used up."""
    assert [row.count("| >= ") for row in arm_table([played])[2:]] == [0, 3, 0, 0]
    assert [row.count("| >= ") for row in plain_table(played)[2:]] == [0, 1, 0, 0]
    assert [row.count("| >= ") for row in contrasts([played])[2:8]] == [0, 0, 0, 0, 1, 1]
    assert mean_and_each([1, 3], "{:.0f}", [False, True]) == ">= 2 (1, >= 3)"


def test_a_ratio_is_a_bound_where_one_of_its_means_is() -> None:
    cut, upper, neither = Ratio(2, above=True), Ratio(2, below=True), Ratio(2, True, True)
    assert [one.text("x") for one in (cut, upper, neither)] == [">= 2.00x", "<= 2.00x", "-"]
    assert [one.low for one in (cut, upper, neither)] == [2, 0, 0]


def test_a_price_over_a_home_that_limits_cut_is_not_shown(
    played: Played, episodes: list[Episode]
) -> None:
    assert findings([played])[2].startswith("- **shown** in 1 of 1: At home")
    (first, *_), rest = played.episodes[CELLS[0]], list(episodes)
    assert first.trajectory is not None
    rest.remove(first)
    cut = replace(first, trajectory=replace(first.trajectory, ending="max_turns"))
    line = findings([Played([*rest, cut])])[2]
    assert line.startswith("- **not shown** in 0 of 1: At home")
    assert "Found: <= " in line


def test_blocks_that_repeat_an_earlier_one_are_counted_from_the_first_loss_on(
    played: Played, episodes: list[Episode]
) -> None:
    """The experts write the block that failed over and over."""
    assert played.repeated == 1.0
    lost = next(one for one in episodes if (one.model.label, one.contract) == CELLS[1])
    assert lost.trajectory is not None
    turns = lost.trajectory.turns
    changed = (*turns[:-1], replace(turns[-1], code="finish()"))
    other = replace(lost, trajectory=replace(lost.trajectory, turns=changed))
    after = (
        len(turns)
        - 1
        - next(i for i, turn in enumerate(turns) if turn.observation[:9] == "Traceback")
    )
    assert Played([other]).repeated == pytest.approx(1 - 1 / after)


def test_identical_means_word_by_word(played: Played, episodes: list[Episode]) -> None:
    assert played.identical == (12, 12)
    last = [one for one in episodes if (one.model.label, one.contract) == CELLS[3]][-1]
    assert last.trajectory is not None
    turns = last.trajectory.turns
    changed = (*turns[:-1], replace(turns[-1], reply=turns[-1].reply + " "))
    other = replace(last, trajectory=replace(last.trajectory, turns=changed))
    kept = [one for one in episodes if one is not last]
    assert Played([*kept, other]).identical == (11, 12)


def test_the_page_says_what_was_not_measured(episodes: list[Episode], tmp_path: Path) -> None:
    base = tmp_path / "base-7"
    base.mkdir()
    lines = [{"level": 5, "accuracy": 0.5, "cpu_s": 61.0}, {"level": 5, "accuracy": 1, "cpu_s": 66}]
    (base / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert curriculum_line(base).startswith("level 6 of 6, accuracy 0.75 over the last 2 logged")
    sets = {"none-7": episodes, "base-7": episodes[:12]}
    text = page(
        "a command", "a machine", ("none", "errors"), (7, 8), sets, lambda seed: base, {"x": base}
    )
    none, errors = text.split("## Arm `errors`")
    assert "12 tasks a cell. Training seeds 7:" in none
    assert "\nNot measured.\n" in errors
    assert "- x: level 6 of 6" in errors
    assert "$ a command" in none


def test_the_page_in_the_docs_holds_the_texts_that_are_printed_now() -> None:
    """It takes hours to make anew, so that its words are kept by hand."""
    printed = [
        *(study_page.MARKS, *(study_page.ARM_TEXTS[arm] for arm in ("none", "errors", "rebuild"))),
        *(
            study_page.CAPS_TEXT,
            study_page.CAPPED_TEXT,
            study_page.UNKNOWN_CAP,
            study_page.CONTROL_TEXT,
        ),
        *(text for _, text in (*study_page.CUT, *study_page.UNKNOWN_SEEN, *study_page.MEANS)),
        *(extension.ESTIMANDS, extension.OVER_SEEDS, swept.RULE),
        *(claim(cap).text for claim in (swept.binding, swept.carried) for cap in (TIGHT, OWN)),
        *(finding.text for finding in FINDINGS),
    ]
    written = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    assert [text for text in printed if text not in written] == []


def test_other_cells_are_shown_with_intervals(played: Played) -> None:
    lines = plain_table(played)
    assert len(lines) == 2 + len(CELLS)
    assert lines[2].startswith("| persistent → persistent | 100% |")
    assert "[" in lines[2]


def test_models_are_found_from_wherever_they_are_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[Session] = []
    monkeypatch.setattr(reproduce, "play_missing", lambda sessions, jobs: asked.extend(sessions))
    reproduce._play(Study(Path("study"), (7,), ("none",), 1, 1.0, 1, False), "none")
    models = {one.run.name: one.models for one in asked}
    assert models["experts"] == ("expert:persistent", "expert:stateless")
    assert models["none-7"][0] == f"persistent={tmp_path}/study/none-7/tiny-persistent"
    assert models["base-7"] == (f"base={tmp_path}/study/base-7",)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--arms", "none,many"], "--arms many: known are none, errors, rebuild, cut"),
        (["--seeds", "1,x"], "--seeds 1,x: give whole numbers"),
        (["--episodes", "0"], "give at least 1"),
        (["--extend-episodes", "0"], "give at least 1"),
        (
            ["--arms", "none", "--seeds", "2", "--extend", "none,none-1"],
            "--extend none-1: known here are control, none, caps, none-2, caps-2",
        ),
        (["--minutes", "-1"], "--minutes -1: give more than 0"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "study"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
