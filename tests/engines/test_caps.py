"""Several caps, cues and listings of names in one run: keys, plans, resume, shards, merging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from okrt import cli
from okrt.engines.command import selected
from okrt.engines.players import key_of_spec
from okrt.errors import UsageError
from okrt.index import plan_in
from okrt.plan import case_id, key_of, keys_of, plan_of, swept
from okrt.selection.arguments import Given, Options, read_options
from okrt.specs import family
from okrt.types import Episode
from tests.engines.test_far import played

FAMILY = family("opaque_knapsack")
ONE = ("--model=expert:stateless", "--runtime=stateless", "--tier=micro", "--seeds=2")
GATES = """
[run]
tiers = ["micro"]
seeds = 2
runtimes = ["stateless"]

[[gate]]
name = "quality holds"
metric = "score"
against = "baseline"
not_lower_by = 0.5
"""
RUN = ("run", *ONE, "--tool-cap=6,3")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def options(**values: Any) -> Options:
    return read_options(Given({"model": ["expert:stateless"], **values}.get, Path()))


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "rows.jsonl").read_text().splitlines()
    return [{**json.loads(line), "timing": None} for line in lines]


def run_json(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def test_values_are_crossed_with_the_cells() -> None:
    given = {"runtime": ["stateless"], "tier": ["micro"], "seeds": "2", "tool-cap": "10, 25,80"}
    wanted = selected(FAMILY, options(**given, preset="cue"), None)
    assert len({case.key for case in wanted}) == len(wanted) == 3 * 3 * 2 * 2
    told = {(case.settings.tool_cap, case.settings.cue, case.settings.names) for case in wanted}
    assert len(told) == 18
    assert len({case.cell for case in wanted}) == 18
    planned = plan_of(case.key for case in wanted)
    assert sorted(keys_of(planned)) == sorted(case.key for case in wanted)
    assert swept(planned) == ("tool_cap", "cue", "names")


def test_a_case_is_named_by_what_takes_several_values_alone() -> None:
    one = selected(FAMILY, options(**{"tool-cap": "25", "cue": "true"}), None)[0]
    assert case_id(one.key, swept=()) == "expert:stateless-persistent-easy-0"
    given = options(**{"tool-cap": "25,80", "cue": "true", "names": "off,on"})
    case = selected(FAMILY, given, None)[-1]
    name = case_id(case.key, True, given.axes)
    assert name == "expert:stateless-stateless-easy-99-cap80-names_on-r1"


def test_the_preset_leaves_what_was_given() -> None:
    found = options(preset="cue", names="off")
    assert found.axes == {"cue": ("none", "true", "false")}
    assert options(preset="cue").axes["names"] == (False, True)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("tool-cap", "0", "--okrt-tool-cap '0': give a whole number of at least 1"),
        ("tool-cap", "3,", "--okrt-tool-cap '3,': a value is missing beside a comma"),
        ("tool-cap", "9999999999", "--okrt-tool-cap '9999999999': give at most 999,999,999"),
        ("tool-cap", "9" * 5000, f"--okrt-tool-cap '{'9' * 59}: give at most 999,999,999"),
        (
            "max-turns",
            "9" * 5000,
            f"--okrt-max-turns '{'9' * 59}: give a whole number of at least 1",
        ),
        ("tool-cap", "25,-3", "--okrt-tool-cap '-3': give a whole number of at least 1"),
        ("tool-cap", "10,many", "--okrt-tool-cap 'many': give a whole number"),
        ("tool-cap", "10,,25", "--okrt-tool-cap '10,,25': a value is missing"),
        ("tool-cap", "10,25,10", "--okrt-tool-cap '10,25,10': 10 is there twice"),
        ("cue", "none,maybe", "--okrt-cue 'maybe' is not one of none, true, false"),
        ("names", "on,on", "--okrt-names 'on,on': on is there twice"),
    ],
)
def test_a_value_that_is_none_is_one_line(option: str, value: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        options(**{option: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gates": "gates.toml", "tool-cap": "3,6"}, "--okrt-tool-cap 3,6 with --okrt-gates gates"),
        ({"gates": "gates.toml", "preset": "cue"}, "--okrt-cue none,true,false with --okrt-gates"),
        ({"gates": "gates.toml", "names": "off,on"}, "--okrt-names off,on with --okrt-gates"),
        ({"baseline": "old", "cue": "none,true"}, "--okrt-cue none,true with --okrt-baseline old"),
    ],
)
def test_what_judges_one_value_is_given_one(
    here: Path, given: dict[str, Any], message: str
) -> None:
    (here / "gates.toml").write_text(GATES)
    with pytest.raises(UsageError) as caught:
        options(**given)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("one value; make a run of each")


def test_a_plan_of_an_earlier_version_has_the_settings_of_its_run() -> None:
    part = {
        "family": "f", "tier": "t", "split": "eval", "model": "m", "contract": "c", "repeat": 0,
    }  # fmt: skip
    settings = {"tool_cap": 25, "cue": "true", "names": True}
    old = plan_in({"plan": [{**part, "seeds": [[0, 2]]}], "settings": settings})
    assert old is not None
    assert [key[7:] for key in keys_of(old)] == [(25, "true", True)] * 2
    del part["split"]
    older = plan_in({"manifest": {"x": {**part, "seed": 1}}, "settings": {"tool_cap": None}})
    assert older is not None
    assert [key[7:] for key in keys_of(older)] == [(0, "none", False)]


def test_a_run_of_several_caps_is_one_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN, "--out=whole"]) == 0
    shown = capsys.readouterr().out
    for heading in ("tool_cap=3,", "tool_cap=6,", "opaque_knapsack/micro, over tool caps"):
        assert heading in shown
    whole = rows(here / "whole")
    assert sorted((one["tool_cap"], one["seed"]) for one in whole) == [
        (3, 0), (3, 1), (6, 0), (6, 1),
    ]  # fmt: skip
    assert {one["max_demand"] for one in whole if one["tool_cap"] == 3} == {3}
    about = run_json(here / "whole")
    assert about["axes"] == {"tool_cap": [6, 3]}
    assert [(part["tool_cap"], part["seeds"]) for part in about["plan"]] == [
        (3, [[0, 2]]), (6, [[0, 2]]),
    ]  # fmt: skip

    assert cli.main(["show", "whole", "expert:stateless-stateless-micro-1-cap3"]) == 0
    assert "3 tool calls a turn" in capsys.readouterr().out
    assert cli.main(["show", "whole", "expert:stateless-stateless-micro-1"]) == 2
    assert "2 episodes: expert:stateless-stateless-micro-1-cap3" in capsys.readouterr().err

    path = here / "whole" / "episodes.jsonl"  # a kill after the first episodes
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    assert cli.main([*RUN, "--tool-cap=3,6", "--resume=whole"]) == 0
    assert rows(here / "whole") == whole
    capsys.readouterr()
    assert cli.main(["run", *ONE, "--tool-cap=3,6,9", "--resume=whole"]) == 2
    assert (
        "it holds other settings: tool_cap: '3, 6' there, '3, 6, 9' asked for"
        in capsys.readouterr().err
    )
    assert cli.main(["run", *ONE, "--tool-cap=6", "--resume=whole"]) == 2
    assert "it holds other settings" in capsys.readouterr().err


def test_its_shards_are_joined(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shard in ("1/2", "2/2"):
        assert cli.main([*RUN, f"--shard={shard}", f"--out=part{shard[0]}"]) == 0
    assert cli.main(["merge", "part2", "part1", "--out=joined"]) == 0
    assert sorted((one["tool_cap"], one["seed"]) for one in rows(here / "joined")) == [
        (3, 0), (3, 1), (6, 0), (6, 1),
    ]  # fmt: skip
    assert run_json(here / "joined")["axes"] == {"tool_cap": [6, 3]}
    assert run_json(here / "joined")["complete"] is True
    capsys.readouterr()
    assert cli.main(["run", *ONE, "--tool-cap=3", "--shard=1/2", "--out=other"]) == 0
    assert cli.main(["merge", "part2", "other", "--out=none"]) == 2
    assert "are no parts of one work" in capsys.readouterr().err


@pytest.mark.thorough
def test_as_a_baseline_it_is_saved_and_never_compared(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*RUN, "--out=whole"]) == 0
    assert cli.main(["baseline", "save", "whole", "kept"]) == 0
    assert run_json(here / "okrt-baselines" / "kept")["complete"] is True
    capsys.readouterr()
    assert cli.main(["compare", "whole", "kept"]) != 0
    assert "tool_cap: several values, 3, 6" in "".join(capsys.readouterr())
    with pytest.raises(UsageError, match=r"kept holds several values of tool_cap \(cap3, cap6\)"):
        options(preset="release", baseline="kept")
    (here / "gates.toml").write_text(GATES)
    assert cli.main(["gate", "whole", "--gates=gates.toml"]) == 4
    shown = capsys.readouterr().out
    assert "incomplete: the run holds several values of tool_cap (cap3, cap6)" in shown
    assert "the run states" not in shown
    assert cli.main(["run", *ONE, "--tool-cap=6", "--out=one"]) == 0
    capsys.readouterr()
    assert cli.main(["compare", "one", "kept"]) == 4
    assert "tool_cap: 6 here, 3, 6 in the baseline" in "".join(capsys.readouterr())
    assert cli.main(["gate", "one", "--gates=gates.toml", "--baseline=kept"]) == 4
    assert "baseline kept: it holds several values of tool_cap" in capsys.readouterr().out


def test_an_estimate_is_a_line_for_each_cap(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN, "--seeds=1", "--estimate"]) == 0
    shown = capsys.readouterr().out
    assert "stateless cap3: 1 episodes" in shown
    assert "stateless cap6: 1 episodes" in shown


def test_a_worker_of_a_cluster_plays_every_cap() -> None:
    asked = {"runtime": ["stateless"], "tier": ["micro"], "seeds": "1", "tool-cap": "3,6"}
    given = options(**asked)
    wanted = selected(FAMILY, given, None)
    found = played(given, wanted)
    assert len(wanted) == 2
    assert [key_of(one) for one in found if isinstance(one, Episode)] == [*map(key_of_spec, wanted)]
