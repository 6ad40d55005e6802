"""A page of several caps, cues and listings of names: nothing is mixed, and what compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.cells import tables
from okrt.report.contrasts import claims
from okrt.report.html.across import swept
from okrt.report.html.page import Content, parts
from okrt.report.texts import title
from tests.analysis import test_ablation as told
from tests.analysis import test_caps as caps
from tests.report.html import runs
from tests.report.html.test_page import Read


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return Read(runs.swept(tmp_path_factory.mktemp("page") / "sweep.html").read_bytes())


def of(rows: Sequence[Brief]) -> Read:
    made = tables(rows)
    content = Content("run", {}, None, made, claims(made), rows, {}, {})
    return Read(b"".join(parts(content, ())))


def test_each_cap_has_charts_and_a_heading_of_its_own(page: Read) -> None:
    titles = [section["title"] for section in page.json()["sections"]]
    heading = "opaque_knapsack/easy, tool_cap={}, train x runtime"
    assert titles == [heading.format(cap) for cap in (25, 80)]
    assert all(text in page.text for text in titles)


def test_episodes_say_what_their_cap_is(page: Read) -> None:
    episodes = page.json()["episodes"]
    assert episodes["names"]["axes"] == ["tool_cap=25", "tool_cap=80"]
    assert episodes["axes"] == episodes["section"]  # numbered as their tables are
    alone = of(list(caps.made()[0].rows)).json()["episodes"]
    assert (alone["names"]["axes"], set(alone["axes"])) == ([""], {0})


def test_the_figures_of_a_sweep_are_drawn_from_the_truth(page: Read) -> None:
    (sweep,) = page.json()["sweeps"]
    assert (sweep["caps"], sweep["mixed"]) == ([25, 80], False)
    assert [(cell["letter"], cell["runtime"]) for cell in sweep["cells"]] == [
        ("A", "persistent"), ("B", "stateless"), ("C", "persistent"), ("D", "stateless"),
    ]  # fmt: skip
    assert sweep["cells"][1]["label"] == "m-persistent (trained under persistent)"
    scores = {(one["cell"], one["cap"]): one["score"] for one in sweep["doses"]}
    assert {key: round(one["value"], 9) for key, one in scores.items()} == {
        (cell, cap): caps.Q[cap][which] for cap in caps.Q for cell, which in enumerate(caps.FOUR)
    }
    assert all(one["low"] < one["value"] < one["high"] for one in scores.values())
    first = sweep["doses"][0]
    assert (first["missing"]["value"], first["exposure"]["value"]) == (1, 0.5)
    assert round(first["tokens"]["value"]) == 25_112
    gaps = {(one["name"], one["cap"]): one["estimate"]["value"] for one in sweep["gaps"]}
    truth = {(name, cap): value for cap in caps.AT for name, value in caps.AT[cap].items()}
    assert {key: round(value, 9) for key, value in gaps.items()} == truth
    assert {one["whom"] for one in sweep["gaps"] if one["name"] == "G_P"} == {"m-persistent"}


def test_the_same_stands_in_the_page_as_text(page: Read) -> None:
    shown = " ".join(page.text.split())
    assert "opaque_knapsack/easy, over tool caps" in shown
    for text in ("cap 25", "0.070 [0.056, 0.084]", "G_P, m-persistent", ">= 26"):
        assert text in shown
    assert "What differs between these (3 contrasts)" in shown
    assert "T = D(25) - D(80)" in shown
    assert "those over caps, cue and names that were tested" in shown
    assert {"data-okrt-sweep", "data-okrt-section"} <= page.attributes


def test_a_lower_bound_has_no_upper_end() -> None:
    cut = [
        replace(one, ending="max_turns") if one.tool_cap == 80 else one
        for table in caps.made()
        for one in table.rows
    ]
    (sweep,) = swept(tables(cut))
    tokens = {one["cap"]: one["tokens"] for one in sweep["doses"] if one["cell"] == 0}
    assert (tokens[80]["high"], tokens[80]["at_least"]) == (None, True)
    assert tokens[25]["at_least"] is False
    (sweep,) = swept(tables([one for one in cut if one.seed < 105]))  # too few for any interval
    least = {one["cap"]: one["tokens"]["at_least"] for one in sweep["doses"] if one["cell"] == 0}
    assert least == {25: False, 80: True}


def test_an_ablation_has_its_effects_and_no_figure() -> None:
    rows = told.rows(names=(False,))
    found = of(rows)
    assert found.json()["sweeps"] == []
    assert "data-okrt-sweep" not in found.attributes
    shown = " ".join(found.text.split())
    assert "opaque_knapsack/easy, over cue and names" in shown
    assert "score in stateless, cue true - none (untrained cue), m-persistent" in shown
    assert found.json()["episodes"]["names"]["axes"] == ["cue=false", "cue=none", "cue=true"]


def test_scripted_experts_are_a_self_check() -> None:
    rows = [replace(r, model_spec="expert:x") for table in caps.made() for r in table.rows]
    shown = " ".join(of(rows).text.split())
    assert "over tool caps: self-check of the harness" in shown
    assert "scripted experts, not evidence about models (3 contrasts)" in shown


def test_one_cap_has_no_such_part(tmp_path: Path) -> None:
    rows = caps.made()[0].rows
    found = of(rows)
    assert found.json()["sweeps"] == []
    assert "over tool caps" not in found.text
    assert "tool_cap" not in title(tables(rows)[0])
