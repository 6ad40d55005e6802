"""Dose and response in a terminal, in Markdown and as data; effects of cue and names."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from okrt.analysis.brief import briefs
from okrt.analysis.cells import tables
from okrt.report.objects import report_object
from okrt.report.sweeps import sections, sweep_objects, terminal_lines
from okrt.report.tables import markdown, terminal
from tests.analysis import test_ablation as told
from tests.analysis import test_caps as caps
from tests.analysis.test_estimands import N
from tests.analysis.test_format_doc import documented

SWEPT = [row for table in caps.made() for row in table.rows]


def test_a_terminal_shows_the_figures_by_cap_and_what_compares_them() -> None:
    shown = terminal(SWEPT, 110)
    assert "opaque_knapsack/easy, over tool caps" in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    start = lines.index("opaque_knapsack/easy, over tool caps")
    after = lines[start:]
    assert "cap 25 cap 80" in after
    assert "m-persistent (trained under persistent), in stateless" in after
    assert "most calls of a block >= 26 44" in after
    assert any(line.startswith("blocks beyond the cap 50.0% [") for line in after)
    assert any(line.startswith("G_P, m-persistent +0.590 [") for line in after)
    assert any("Holm over 3 claims of those over caps, cue and names" in line for line in after)
    (a_p,) = [line for line in after if line.startswith("A_P = G_P(25) - G_P(80), m-persistent")]
    assert "+0.430 [" in a_p
    assert a_p.endswith("different")
    assert "Holm over 28 claims of this report" in shown  # of the tables, as without a sweep


def test_tokens_that_limits_cut_are_lower_bounds_even_of_few_tasks() -> None:
    cut = [replace(one, ending="max_turns") for one in SWEPT if one.seed < 105]
    lines = [" ".join(line.split()) for line in terminal(cut, 110).splitlines()]
    assert "total tokens >= 25,102 [-] >= 80,102 [-]" in lines


def test_experts_have_gaps_too() -> None:
    scripted = [replace(row, model_spec=f"expert:{row.trained_under}") for row in SWEPT]
    lines = [" ".join(line.split()) for line in terminal(scripted, 110).splitlines()]
    assert any("over tool caps: self-check of the harness" in line for line in lines)
    assert any(line.startswith("G_P, m-persistent +0.590 [") for line in lines)


def test_caps_that_do_not_fit_stand_below_one_another() -> None:
    (section,) = sections(caps.made())
    heads = [line.strip() for line in terminal_lines(section, 60) if line.startswith(" " * 20)]
    assert heads == ["cap 25", "cap 80"]
    assert max(map(len, terminal_lines(section, 90))) <= 90


def test_one_cap_alone_has_no_such_section() -> None:
    alone = [row for row in SWEPT if row.tool_cap == 25]
    assert "over tool caps" not in terminal(alone)
    assert report_object(alone, {}, tables(alone))["sweeps"] == []


def test_markdown_holds_the_figures_and_every_claim() -> None:
    text = markdown(SWEPT, {})
    assert "| cell | figure | cap 25 | cap 80 |" in text
    assert "| T = D(25) - D(80) | +0.390 [" in text
    assert "#### Contrasts over these" in text


def test_the_json_is_as_documented() -> None:
    rows = list(briefs([*SWEPT]))
    (sweep,) = report_object(rows, {}, tables(rows))["sweeps"]
    assert documented("### Sweep") == list(sweep)
    assert len(sweep["doses"]) == 8
    assert sweep["doses"][0]["exposure"]["value"] == 0.5
    (t,) = [one for one in sweep["responses"] if one["name"] == "T"]
    assert (t["tool_cap"], t["slack"], round(t["estimate"]["value"], 9)) == (25, 80, 0.39)
    ablated = told.rows()
    (ablation,) = report_object(ablated, {}, tables(ablated))["ablations"]
    assert documented("### Ablation") == list(ablation)
    assert all(one["untrained"] for one in ablation["effects"])


def test_the_json_has_every_estimand_as_it_was_worked_out_by_hand() -> None:
    (sweep,) = sweep_objects(caps.made())
    found = {
        (one["name"], one["tool_cap"], one["slack"]): one["estimate"] for one in sweep["responses"]
    }
    truth: dict[tuple[str, int, int | None], float] = {
        (name, cap, None): value for cap in caps.AT for name, value in caps.AT[cap].items()
    }
    truth |= {(name, 25, 80): value for name, value in caps.BETWEEN.items()}
    assert {key: round(one["value"], 9) for key, one in found.items()} == truth
    for one in found.values():
        assert one["pairing"] == "task"
        assert one["n"] == N
        assert one["low"] < one["value"] < one["high"]
    doses = {(one["model"], one["contract"], one["tool_cap"]): one for one in sweep["doses"]}
    of = {"p": "persistent", "s": "stateless"}
    for cap, which in product(caps.Q, caps.FOUR):
        one = doses[f"m-{of[which[0]]}", of[which[1]], cap]
        assert round(one["score"]["value"], 9) == caps.Q[cap][which]
        # of 4 blocks of a task 3 and 1 in turn want more than 25, and none more than 80
        assert one["exposure"]["value"] == {25: 0.5, 80: 0}[cap]
        assert one["max_demand"] == {25: 26, 80: 44}[cap]


def test_effects_of_cue_and_names_are_shown() -> None:
    (section,) = sections(tables(told.rows(names=(False,))))
    shown = " ".join(" ".join(terminal_lines(section, 120)).split())
    assert shown.startswith("opaque_knapsack/easy, over cue and names each effect")
    assert "score in stateless, cue true - none (untrained cue), m-persistent +0.200 [" in shown
    names = [finding.name for _, finding in section.said.made]
    assert "total tokens in stateless, cue true / none (untrained cue), m-persistent" in names
