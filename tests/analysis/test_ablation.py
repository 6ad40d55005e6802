"""What telling a model about its runtime does: effects worked out by hand, and their label."""

from __future__ import annotations

from itertools import product

import pytest

from okrt.analysis.ablation import UNTRAINED, Ablation, ablations, effects
from okrt.analysis.brief import Brief
from okrt.analysis.cells import tables
from tests.analysis.test_contrasts import changed
from tests.analysis.test_estimands import N, cell

TOLD = {"none": 0.0, "true": 0.2, "false": -0.1}
"""What a note adds to the score of the persistent-trained in stateless."""
LISTED = 0.05
"""What a list of names adds there."""


def rows(
    cues: tuple[str, ...] = ("none", "true", "false"),
    names: tuple[bool, ...] = (False, True),
    under: str = "persistent",
) -> list[Brief]:
    found = []
    for which, cue, listed in product(("pp", "ps"), cues, names):
        away = which == "ps"
        added = away * (TOLD[cue] + LISTED * listed)
        scores = [0.4 + 0.01 * task + added for task in range(N)]
        for one in cell(which, scores):
            found.append(
                changed(
                    one,
                    episode_id=f"{which}{cue}{listed}{one.seed}",
                    model_spec="path",
                    trained_under=under,
                    cue=cue,
                    names=listed,
                    lost_errors=int(away and cue != "true"),
                    total_tokens=(2_000 if away and cue == "none" else 1_000) + one.seed % 7,
                )
            )
    return found


def only(found: list[Brief]) -> Ablation:
    (ablation,) = ablations(tables(found))
    return ablation


def values(found: Ablation) -> dict[str, float]:
    shown = {}
    for one in effects(found):
        value = one.contrast.inference.estimate().value
        assert value is not None
        shown[one.what] = value
    return shown


def test_effects_are_means_over_the_other_setting() -> None:
    found = values(only(rows()))
    assert len(found) == 2 * 3 * 3 + 3
    label = f"({UNTRAINED})"
    assert {name: found[name] for name in found if name.startswith("score in stateless")} == {
        f"score in stateless, cue true - none {label}": pytest.approx(0.2),
        f"score in stateless, cue false - none {label}": pytest.approx(-0.1),
        f"score in stateless, names on - off {label}": pytest.approx(0.05),
    }
    assert found[f"score in persistent, cue true - none {label}"] == pytest.approx(0)
    assert found[f"score at home - away, cue true - none {label}"] == pytest.approx(-0.2)
    assert found[f"score at home - away, names on - off {label}"] == pytest.approx(-0.05)
    assert found[f"lost-variable episodes in stateless, cue true - none {label}"] == -1
    tokens = found[f"total tokens in stateless, cue true / none {label}"]
    assert tokens == pytest.approx(0.5, abs=0.01)


def test_a_model_trained_with_the_cue_varied_is_not_called_untrained() -> None:
    found = values(only(rows(under="mixed")))
    assert found["score in stateless, cue true - none"] == pytest.approx(0.2)
    assert found[f"score in stateless, names on - off ({UNTRAINED})"] == pytest.approx(0.05)
    assert not any("home" in name for name in found)


def test_what_is_not_crossed_is_compared_where_both_sides_are() -> None:
    found = values(only(rows(cues=("true", "false"), names=(False,))))
    assert {name for name in found if name.startswith("score in stateless")} == {
        f"score in stateless, cue false - true ({UNTRAINED})"
    }
    part = [row for row in rows() if (row.cue, row.names) != ("true", True)]
    found = values(only(part))  # the note true, by observations without names alone
    assert found[f"score in stateless, cue true - none ({UNTRAINED})"] == pytest.approx(0.2)
    assert ablations(tables(rows(cues=("none",), names=(False,)))) == []


def test_caps_are_kept_apart() -> None:
    other = [changed(one, tool_cap=80, episode_id=f"{one.episode_id}c") for one in rows()]
    found = ablations(tables([*rows(), *other]))
    assert [one.axes for one in found] == [{"tool_cap": 25}, {"tool_cap": 80}]
