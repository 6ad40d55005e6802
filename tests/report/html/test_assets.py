"""What is shipped with the page: libraries as they were published, scripts that ask for nothing."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

import pytest

from okrt.report.html.page import LIBRARIES, SCRIPTS, STYLES

ASSETS = resources.files("okrt.report.html").joinpath("assets")
DIGESTS = {
    "vendor/d3.min.js": "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539",
    "vendor/plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
"""SHA-256 of dist/d3.min.js of d3 7.9.0, and dist/plot.umd.min.js of @observablehq/plot 0.6.17."""


def read(name: str) -> str:
    return ASSETS.joinpath(name).read_text("utf-8")


def test_the_libraries_are_as_they_were_published() -> None:
    assert {*LIBRARIES} == {*DIGESTS}
    for name, digest in DIGESTS.items():
        assert hashlib.sha256(ASSETS.joinpath(name).read_bytes()).hexdigest() == digest
    assert sum(len(read(name)) for name in LIBRARIES) < 1_000_000
    licences = read("vendor/LICENSES.txt")
    for name in ("d3 7.9.0", "@observablehq/plot 0.6.17", "Permission to use, copy, modify"):
        assert name in licences


@pytest.mark.parametrize("name", sorted({*SCRIPTS} - {*LIBRARIES}))
def test_a_script_of_ours_parses_no_html_and_asks_for_nothing(name: str) -> None:
    script = read(name)
    for banned in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(",
                   "new Function", "fetch(", "XMLHttp", "http:", "https:"):  # fmt: skip
        assert banned not in script


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES])
def test_nothing_ends_its_element_early(name: str) -> None:
    assert not re.search("</(script|style)|<!--", read(name))
