"""What a model wrote neither runs, nor leaves its place, nor makes the page unusable."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.report.html.runs import HOSTILE

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1200, 360])
def test_no_text_runs_or_breaks_the_page(open_page: Open, hostile: Path, width: int) -> None:
    opened = open_page(hostile, width)
    page = opened.page
    assert opened.overflow() <= 0
    for number in range(len(HOSTILE)):
        opened.read(2 * number, beside=1)
        wide = page.evaluate(
            "(d => d.scrollWidth - d.clientWidth)(document.querySelector('dialog'))"
        )
        assert wide <= 0, HOSTILE[number][:40]
        assert opened.overflow() <= 0, HOSTILE[number][:40]
        page.keyboard.press("Escape")
        page.wait_for_selector("#okrt-dialog", state="hidden")
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert opened.said == []
    assert len(opened.asked) == 1


def test_a_script_that_is_not_the_pages_own_is_not_run(open_page: Open, hostile: Path) -> None:
    """What the policy stops, should a text ever become an element."""
    opened = open_page(hostile)
    opened.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 4";
            document.body.append(script);
            const image = "<img src=x onerror='window.hacked = 5'>";
            document.body.insertAdjacentHTML("beforeend", image);
        }"""
    )
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in line for line in opened.said)
