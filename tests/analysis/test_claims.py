"""Different, equivalent within the margin, or undecided: never equal for want of evidence."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from okrt.analysis.claims import Contrast, findings
from okrt.analysis.estimands import Bound
from okrt.analysis.stats import Inference, Unknown, mean_difference, ratio


def gap(mean: float, spread: float = 0.1, n: int = 100) -> Inference:
    """Differences with just this mean and spread."""
    noise = np.random.default_rng(5).normal(size=n)
    noise = (noise - noise.mean()) / noise.std()
    return mean_difference(mean + spread * noise, np.zeros(n))


def words(*contrasts: Contrast) -> list[str]:
    return [found.word for found in findings(contrasts)]


def test_the_three_words() -> None:
    assert words(Contrast("a", gap(0.05), margin=0.03)) == ["different"]
    assert words(Contrast("b", gap(0.001), margin=0.03)) == ["equivalent"]
    assert words(Contrast("c", gap(0.015), margin=0.03)) == ["undecided"]
    assert words(Contrast("d", gap(0.01, 0.02), margin=0.03)) == ["different within the margin"]


def test_without_a_margin_nothing_is_equivalent() -> None:
    (found,) = findings([Contrast("a", gap(0.0))])
    assert (found.word, found.p_equivalent) == ("undecided", None)


def test_what_has_no_interval_is_undecided() -> None:
    unknown = Unknown(0.1, "none: fewer than 10 values", 3, "task")
    (found,) = findings([Contrast("a", unknown, margin=0.5)])
    assert found.word == "undecided"
    assert (
        found.text == "a: undecided at n = 3: 0.1, no interval (fewer than 10 values), adjusted p 1"
    )


def test_claims_are_corrected_for_one_another() -> None:
    """Alone, p is about 0.025; among three contrasts it is three times that."""
    alone = Contrast("a", gap(0.0224), margin=0.03)
    assert words(alone) == ["different"]
    beside = [Contrast(name, gap(0.014), margin=0.03) for name in "bc"]
    assert words(alone, *beside) == ["undecided"] * 3
    (first,), among = findings([alone]), findings([alone, *beside])
    assert among[0].p_different == pytest.approx(3 * first.p_different)


def test_the_correction_never_makes_a_claim() -> None:
    contrasts = [Contrast(f"c{i}", gap(0.004 * i), margin=0.03) for i in range(8)]
    together = findings(contrasts)
    for one, found in zip(contrasts, together, strict=True):
        (alone,) = findings([one])
        assert found.p_different >= alone.p_different
        assert (found.p_equivalent or 0) >= (alone.p_equivalent or 0)


def test_a_ratio_is_read_against_one() -> None:
    generator = np.random.default_rng(3)
    base = generator.gamma(9, 100, 80)
    noise = generator.normal(1, 0.05, 80)
    (found,) = findings([Contrast("tokens", ratio(base * noise * 1.3, base), 1, 1.1)])
    assert found.word == "different"
    (found,) = findings([Contrast("tokens", ratio(base * noise, base), 1, 1.1)])
    assert found.word == "equivalent"
    assert "equivalent within a factor of 1.1: " in found.text


def test_identical_cells_are_said_to_be_so_and_enter_no_test() -> None:
    same = Contrast("M", mean_difference([0.5] * 100, [0.5] * 100, 1), margin=0.05, same=(100, 100))
    other = Contrast("G_P", gap(0.0224), margin=0.03)
    found, beside = findings([same, other])
    assert found.word == "identical"
    assert found.p_equivalent is None
    assert found.text == (
        "M: identical in 100 of 100 tasks; of tasks like these, at most 3.0% differ "
        "(exact 95% bound)"
    )
    assert beside == findings([other])[0]
    nearly = Contrast("M", gap(0.001), margin=0.03, same=(99, 100))
    assert words(nearly) == ["equivalent"]


def test_a_finding_is_one_line_with_its_interval() -> None:
    (found,) = findings([Contrast("G_P", gap(0.05), margin=0.03)])
    assert found.text.startswith("G_P: different: 0.05 [0.03")
    said = "(95%, BCa bootstrap of the mean difference, 9,999 resamples), adjusted p "
    assert said in found.text
    assert "\n" not in found.text


def test_an_end_that_is_missing_is_said_and_is_no_none() -> None:
    generator = np.random.default_rng(3)
    base = generator.gamma(9, 100, 80)
    inner = ratio(base * generator.normal(1.3, 0.05, 80), base)
    sides: dict[Literal["at least", "at most", "neither"], str] = {
        "at least": ", ...]", "at most": " [..., ", "neither": "no interval",
    }  # fmt: skip
    for side, ends in sides.items():
        (found,) = findings([Contrast("tokens", Bound(inner, side), 1, 1.1)])
        assert ends in found.text
        assert "None" not in found.text
        assert found.word == ("different" if side == "at least" else "undecided")


def test_contrasts_and_levels_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="margin of a must be above 0"):
        Contrast("a", gap(0), margin=-0.03)
    with pytest.raises(ValueError, match="margin of a must be above 1"):
        Contrast("a", gap(0), null=1, margin=0.1)
    with pytest.raises(ValueError, match="null must be"):
        Contrast("a", gap(0), null=0.5)
    with pytest.raises(ValueError, match="alpha"):
        findings([], alpha=0)
    with pytest.raises(ValueError, match="level"):
        findings([Contrast("a", gap(0))], level=95)
