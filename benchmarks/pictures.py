"""Pictures of a run's page for the docs: light, dark, narrow, and a transcript.

    python -m benchmarks.pictures RUN docs/pictures

Needs the extra `browser` and Chromium (`apt-get install chromium`, or OKRT_CHROMIUM=PATH). Each
picture is reduced to 256 colours.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from okrt.report.html.writing import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Page

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
COLOURS = 256
WIDE, NARROW = 1200, 360
"""Pixels."""
Scheme = Literal["light", "dark"]
PICTURES: tuple[tuple[str, int, Scheme], ...] = (
    ("report-light", WIDE, "light"),
    ("report-dark", WIDE, "dark"),
    ("report-narrow", NARROW, "light"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    from playwright.sync_api import sync_playwright  # of an extra

    path = os.environ.get("OKRT_CHROMIUM") or shutil.which("chromium")
    if path is None:
        print("no Chromium: apt-get install chromium, or set OKRT_CHROMIUM=PATH", file=sys.stderr)
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = write_page(options.run, Path(folder, f"{options.run.name}.html"))
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for name, width, scheme in PICTURES:
            shown = _open(browser, page, width, scheme)
            bottom = shown.locator("#episodes-head").evaluate(
                "one => one.getBoundingClientRect().y"
            )
            clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": min(bottom, 2_400)}
            _keep(shown, options.folder / f"{name}.png", clip)
        shown = _open(browser, page, WIDE, "light")
        shown.get_by_label("loses a variable").check()
        shown.locator(".list tbody button").first.click()
        shown.locator("#okrt-compare").select_option(index=1)
        shown.wait_for_selector("#okrt-dialog-state:empty", state="attached")
        _keep(shown, options.folder / "transcript.png", None)
        browser.close()
    return 0


def _open(browser: Browser, file: Path, width: int, scheme: Scheme) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 1_000},
        color_scheme=scheme,
    )
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    return page


def _keep(page: Page, file: Path, clip: FloatRect | None) -> None:
    page.screenshot(path=file, full_page=clip is not None, clip=clip)
    with Image.open(file) as picture:
        reduced = picture.convert("RGB").quantize(
            COLOURS, Image.Quantize.FASTOCTREE, kmeans=2, dither=Image.Dither.NONE
        )
    reduced.save(file, optimize=True)
    print(f"{file}: {file.stat().st_size / 1e3:.0f} KB")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.pictures okrt-runs/tiny docs/pictures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the pictures go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
