"""A real Chromium, and pages of runs in it. Playwright is imported where it is needed: these files
are collected, and deselected, where it is not installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from okrt.report.html.writing import write_page
from tests.report.html import runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
"""No sandbox of the browser's own: CI runs as root."""

Open = Callable[..., "Opened"]
Scheme = Literal["light", "dark"]


class Opened:
    """A page, and what it said and asked for since it was opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        """Errors and warnings on the console, uncaught exceptions."""
        self.asked: list[str] = []
        """Addresses of what it loaded."""
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def read(self, row: int = 0, beside: int | None = None) -> Page:
        """Opens the transcript of a row that is shown; `beside` is the place of another cell in
        the list to compare with."""
        self.page.locator(".list tbody button").nth(row).click()
        if beside is not None:
            self.page.locator("#okrt-compare").select_option(index=beside)
        self.page.wait_for_selector("#okrt-dialog-state:empty", state="attached")
        self.page.wait_for_selector("#okrt-transcript > *", state="attached")
        return self.page

    def overflow(self) -> int:
        """Returns by how many pixels the page is wider than the window."""
        wide: int = self.page.evaluate(
            "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - innerWidth"
        )
        return wide


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("OKRT_CHROMIUM") or shutil.which("chromium")
    if path is None or not Path(path).is_file():
        named = f"{path!r} is no file" if path else "there is none on the PATH"
        pytest.fail(f"no Chromium, {named}: apt-get install chromium, or set OKRT_CHROMIUM=PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    contexts = []

    def opened(file: Path, width: int = 1200, scheme: Scheme = "light", more: str = "") -> Opened:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            offline=True,
        )
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.goto(file.as_uri() + more)
        found.page.wait_for_selector("#okrt-theme:not([hidden])")
        found.page.wait_for_selector("html[data-drawn]", state="attached")
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of real episodes: the experts on sixteen tasks, in four cells."""
    return write_page(runs.write_run(tmp_path_factory.mktemp("run") / "real", runs.played(16)))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of episodes whose texts attack it."""
    return write_page(runs.write_run(tmp_path_factory.mktemp("run") / "hostile", runs.hostile()))
