"""A page of a run, as a reader uses it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from okrt.report.html.writing import write_page
from tests.browser.conftest import Open
from tests.report.html import runs

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def column(page: Page, head: str) -> list[str]:
    """Returns what a column of the table of episodes shows."""
    heads = [text.strip(" ▲▼") for text in page.locator(".list th").all_inner_texts()]
    cells = page.locator(f".list tbody td:nth-child({heads.index(head) + 1})")
    return list(cells.all_inner_texts())


def axe(page: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']][:3]}" for one in found]


@pytest.mark.parametrize("width", [1200, 360])
def test_it_opens_from_disk_alone(open_page: Open, report: Path, width: int) -> None:
    opened = open_page(report, width)
    opened.read()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "blob:"))] == []
    assert len([url for url in opened.asked if url.startswith("file:")]) == 1
    assert opened.overflow() <= 0


def test_every_chart_is_drawn_with_a_text(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    for kind in ("matrix", "quality", "turns", "errors", "parts"):
        chart = page.locator(f"[data-okrt-chart={kind}]")
        assert chart.locator("svg").count() >= 1, kind
        assert all(chart.locator("svg").evaluate_all("all => all.map(one => one.ariaLabel)")), kind
    assert page.locator("figure details table").count() == 4


def test_the_matrix_marks_what_costs_most_and_what_breaks(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    most, breaks = page.locator(".cell.most h4"), page.locator(".cell.breaks h4")
    assert most.count() == breaks.count() == 1
    assert "expert:persistent" in breaks.inner_text()
    assert breaks.inner_text().endswith("stateless")


def test_sorting(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    head = page.get_by_role("button", name="Total tokens")
    head.click()
    found = [int(text.replace(",", "")) for text in column(page, "Total tokens")]
    assert found == sorted(found, reverse=True)
    head.click()
    found = [int(text.replace(",", "")) for text in column(page, "Total tokens")]
    assert found == sorted(found)
    assert len(set(found)) > 1
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Total tokens")


def test_filters(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    status = page.locator(".pager [role=status]")
    assert "of 64 episodes" in status.inner_text()
    page.locator("select[name=runtime]").select_option(label="stateless")
    page.locator("select[name=model]").select_option(label="expert:persistent")
    page.get_by_label("Task has the text").fill("EVAL/3@")
    assert "of 1 episodes (64 in all)" in status.inner_text()
    assert column(page, "Runtime") == ["stateless"]
    page.get_by_label("Task has the text").fill("nowhere")
    assert status.inner_text() == "No episode is like this."


def test_episodes_that_lose_a_variable(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    page.get_by_label("loses a variable").check()
    assert set(column(page, "Runtime")) == {"stateless"}
    assert all(text.startswith("✕") for text in column(page, "Lost variables"))


def test_pages_of_the_table(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    assert page.locator(".list tbody tr").count() == 50
    first = column(page, "Task")[0]
    page.get_by_role("button", name="Next page").click()
    assert page.locator(".list tbody tr").count() == 14
    assert first not in column(page, "Task")


def test_a_transcript_is_opened_and_closed_by_keyboard(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    page.locator(".list tbody button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#okrt-transcript > *")
    assert "#episode=" in page.url
    page.keyboard.press("Escape")
    page.wait_for_selector("#okrt-dialog", state="hidden")
    assert page.locator("#okrt-transcript > *").count() == 0
    assert page.evaluate("document.activeElement.closest('.list') !== null")


def test_an_address_opens_its_episode(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    name = page.locator(".list tbody tr").nth(3).get_attribute("data-okrt-episode")
    task = page.locator(".list tbody tr").nth(3).locator("button").inner_text()
    other = open_page(report, more=f"#episode={name}").page
    other.wait_for_selector("#okrt-transcript > *")
    assert other.locator("#okrt-dialog-title").inner_text() == task


def test_the_jump_from_a_loss_to_where_the_name_was_bound(open_page: Open, report: Path) -> None:
    opened = open_page(report)
    opened.page.get_by_label("loses a variable").check()
    page = opened.read()
    jump = page.locator("[data-okrt-jump]").first
    jump.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('#okrt-transcript') !== null")
    assert page.evaluate("!document.activeElement.matches('[data-okrt-jump]') || location.hash")
    assert opened.said == []


def test_two_cells_side_by_side(open_page: Open, report: Path) -> None:
    opened = open_page(report)
    page = opened.read()
    options = page.locator("#okrt-compare option")
    assert options.count() == 4  # nothing, and the other three cells
    alone = len(page.locator("#okrt-transcript").inner_text())
    page.locator("#okrt-compare").select_option(index=1)
    page.wait_for_selector("#okrt-dialog-state:empty", state="attached")
    assert len(page.locator("#okrt-transcript").inner_text()) > alone
    assert opened.said == []


def test_going_on_to_the_next_episode(open_page: Open, report: Path) -> None:
    page = open_page(report).read()
    assert page.locator("#okrt-previous").is_disabled()
    before = page.locator("#okrt-dialog-about").inner_text()
    page.locator("#okrt-next").click()
    assert page.locator("#okrt-dialog-about").inner_text() != before
    assert page.locator("#okrt-previous").is_enabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Open, report: Path, scheme: str) -> None:
    opened = open_page(report, scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert axe(opened.page) == []
    opened.page.get_by_label("loses a variable").check()
    assert axe(opened.read(beside=1)) == []


def test_the_switch_between_light_and_dark(open_page: Open, report: Path) -> None:
    page = open_page(report).page
    seen = [page.evaluate("getComputedStyle(document.body).backgroundColor")]
    for _ in range(3):
        page.locator("#okrt-theme").click()
        seen.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert seen[0] == seen[1] == seen[3] != seen[2]  # system is light here; light, dark, system


def test_transcripts_beside_the_page_are_loaded_when_they_are_read(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okrt.report.html.writing.INSIDE_BYTES", 0)
    monkeypatch.setattr("okrt.report.html.transcripts.PIECE_BYTES", 1)
    monkeypatch.setattr("okrt.report.html.writing.FILE_BYTES", 1)
    opened = open_page(write_page(runs.write_run(tmp_path / "run", runs.played(1))))
    assert len(opened.asked) == 1
    opened.read(beside=1)
    assert opened.said == []
    assert [Path(url).parent.name for url in opened.asked[1:]] == ["report_files"] * 2
    (tmp_path / "run" / "report_files" / Path(opened.asked[1]).name).unlink()
    again = open_page(tmp_path / "run" / "report.html").page
    again.locator(".list tbody button").first.click()
    again.get_by_text("is not beside this page").wait_for()
