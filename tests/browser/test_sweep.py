"""The page of a run of several tool caps, as a reader uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from okrt.report.html.writing import write_page
from tests.browser.conftest import Open
from tests.browser.test_report import axe, column
from tests.report.html import runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of known truth, with intervals."""
    return runs.swept(tmp_path_factory.mktemp("sweep") / "sweep.html")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of real episodes: two tasks in four cells under two caps."""
    episodes = runs.played(2, tool_caps=(3, 6))
    return write_page(runs.write_run(tmp_path_factory.mktemp("run") / "real", episodes))


@pytest.mark.parametrize("width", [1200, 360])
def test_dose_and_response_are_drawn(open_page: Open, sweep: Path, width: int) -> None:
    opened = open_page(sweep, width)
    page = opened.page
    assert opened.said == []
    assert page.get_by_text("could not be drawn").count() == 0
    assert opened.overflow() <= 0
    doses = page.locator("[data-okrt-chart=doses]")
    texts = doses.locator(".multiples svg").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert [text.partition(" by tool cap")[0] for text in texts] == [
        "score", "total tokens per episode", "episodes that miss a variable",
        "blocks beyond the cap",
    ]  # fmt: skip
    first = doses.locator(".multiples svg").first
    assert first.locator("[aria-label]").count() == 0  # one picture, one text
    assert {"25", "80", "A", "B"} <= {*first.locator("text").all_text_contents()}
    assert doses.locator(".legend li").count() == 4
    gaps = page.locator("[data-okrt-chart=gaps]")
    assert gaps.locator(".legend strong").all_inner_texts() == ["G_P", "G_S", "D", "M"]


def test_it_is_drawn_again_for_another_width(open_page: Open, sweep: Path) -> None:
    page = open_page(sweep).page
    chart = page.locator(".multiples svg").first
    before = chart.get_attribute("width")
    page.set_viewport_size({"width": 500, "height": 900})
    page.wait_for_function(
        "before => document.querySelector('.multiples svg').getAttribute('width') !== before",
        arg=before,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_it(open_page: Open, sweep: Path, scheme: str) -> None:
    page = open_page(sweep, scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert axe(page) == []


def test_episodes_of_a_cap_are_found(open_page: Open, real: Path) -> None:
    page = open_page(real).page
    assert set(column(page, "Settings")) == {"tool_cap=3", "tool_cap=6"}
    page.locator("select[name=axes]").select_option(label="tool_cap=6")
    assert column(page, "Settings") == ["tool_cap=6"] * 8


def test_beside_an_episode_stand_first_those_of_its_cap(open_page: Open, real: Path) -> None:
    opened = open_page(real)
    page = opened.read(beside=1)
    options = page.locator("#okrt-compare option").all_inner_texts()
    assert [text.rpartition(", ")[2] for text in options[1:]] == ["tool_cap=3"] * 3 + [
        "tool_cap=6"
    ] * 4
    assert page.locator("#okrt-compare optgroup").get_attribute("label") == "under other settings"
    sides = page.locator(".okrt-side h3").all_inner_texts()
    assert all(text.endswith("tool_cap=3") for text in sides)
    page.locator("#okrt-compare").select_option(index=4)
    page.wait_for_selector("#okrt-dialog-state:empty", state="attached")
    page.get_by_role(
        "heading", name="expert:persistent in persistent, tool_cap=6", exact=True
    ).wait_for()
    assert opened.said == []
