"""Parts of one work come together whole, in any order; what is no part of it is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.cli import main
from okrt.errors import StoreError
from okrt.index import plan_in
from okrt.merge import merge
from okrt.plan import key_of, keys_of, plan_of
from okrt.store import EPISODES, REPORT, ROWS, RUN, RunDirectory, read_run
from okrt.types import Episode, Settings
from tests.test_store import episode, failed

EPISODES_OF_ALL = tuple(episode("hm", seed=seed) for seed in range(8))
FACTS = {
    "spec": "m",
    "kind": "scripted",
    "digest": None,
    "tokenizer": "",
    "trained_under": "unknown",
}


def part(path: Path, episodes: Iterable[Episode], **changes: Any) -> Path:
    kept = list(episodes)
    run = {
        "okrt": "0",
        "created": f"2026-01-0{len(path.name) % 9 + 1}",
        "settings": msgspec.to_builtins(Settings()),
        "models": {"m": FACTS},
        "plan": plan_of(map(key_of, kept)),
        "shard": None,
        **changes,
    }
    with RunDirectory.create(path, run) as directory:
        for one in kept:
            directory.append(one)
    return path


def shards(folder: Path, count: int) -> list[Path]:
    return [
        part(folder / f"s{n}", EPISODES_OF_ALL[n::count], shard=f"{n + 1}/{count}")
        for n in range(count)
    ]


def timed(one: Episode, wall_s: float) -> Episode:
    return replace(one, timing={"wall_s": wall_s})


def files(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in (EPISODES, ROWS, RUN, REPORT)}


def test_shards_come_together_in_any_order(tmp_path: Path) -> None:
    parts = shards(tmp_path, 3)
    for number, order in enumerate(permutations(parts)):
        merged = merge(order, tmp_path / f"out{number}")
        assert (merged.finished, merged.planned, merged.complete) == (8, 8, True)
        assert files(tmp_path / f"out{number}") == files(tmp_path / "out0")
    assert {file.name for file in (tmp_path / "out0").iterdir()} == {EPISODES, ROWS, RUN, REPORT}
    lines = (tmp_path / "out0" / EPISODES).read_bytes().splitlines()
    assert [json.loads(line)["task"]["seed"] for line in lines] == list(range(8))
    rows = [json.loads(line) for line in (tmp_path / "out0" / ROWS).read_bytes().splitlines()]
    assert [one["episode_id"] for one in rows] == sorted(one.id for one in EPISODES_OF_ALL)
    plan = plan_in(read_run(tmp_path / "out0"))
    assert plan is not None
    assert list(keys_of(plan)) == [key_of(one) for one in EPISODES_OF_ALL]


def test_joining_again_changes_nothing(tmp_path: Path) -> None:
    parts = shards(tmp_path, 3)
    merge(parts, tmp_path / "all")
    for again in ([tmp_path / "all"], [tmp_path / "all", parts[1]], [parts[2], tmp_path / "all"]):
        out = tmp_path / f"again{len(list(tmp_path.iterdir()))}"
        assert merge(again, out).complete
        assert files(out) == files(tmp_path / "all")


def test_missing_shards_are_named_until_they_are_there(tmp_path: Path) -> None:
    parts = shards(tmp_path, 4)
    first = merge([parts[3], parts[0]], tmp_path / "two")
    assert first.missing_shards == ("2/4", "3/4")
    assert not first.complete
    assert read_run(tmp_path / "two")["complete"] is False
    assert merge([tmp_path / "two", parts[1]], tmp_path / "three").missing_shards == ("3/4",)
    whole = merge([tmp_path / "three", parts[2]], tmp_path / "four")
    assert (whole.missing_shards, whole.complete) == ((), True)
    merge(parts, tmp_path / "straight")
    assert files(tmp_path / "four") == files(tmp_path / "straight")


def test_a_whole_run_says_nothing_of_shards_of_another_work(tmp_path: Path) -> None:
    whole = part(tmp_path / "whole", EPISODES_OF_ALL[:4])
    shard = part(tmp_path / "shard", EPISODES_OF_ALL[4:6], shard="1/2")
    merged = merge([whole, shard], tmp_path / "out")
    assert (merged.missing_shards, merged.complete) == (("2/2",), False)
    rest = part(tmp_path / "rest", EPISODES_OF_ALL[6:], shard="2/2")
    assert merge([tmp_path / "out", rest], tmp_path / "all").complete
    of_it = part(tmp_path / "of_it", EPISODES_OF_ALL[:2], shard="1/2")
    assert merge([whole, of_it], tmp_path / "again").complete


def test_a_plan_that_is_not_fulfilled_is_incomplete(tmp_path: Path) -> None:
    plan = plan_of(map(key_of, EPISODES_OF_ALL))
    some = part(tmp_path / "some", EPISODES_OF_ALL[:5], plan=plan)
    rest = part(tmp_path / "rest", [*EPISODES_OF_ALL[5:7], failed(7)], plan=plan)
    merged = merge([some, rest], tmp_path / "out")
    assert (merged.finished, merged.failed, merged.planned) == (7, 1, 8)
    assert not merged.complete
    mended = part(tmp_path / "mended", EPISODES_OF_ALL[7:])
    for number, order in enumerate(permutations([tmp_path / "out", mended])):
        merged = merge(order, tmp_path / f"whole{number}")  # a finished record beats a failure
        assert (merged.finished, merged.failed, merged.complete) == (8, 0, True)


def test_the_same_episode_twice_is_there_once(tmp_path: Path) -> None:
    one = part(tmp_path / "a", [timed(e, 1.0) for e in EPISODES_OF_ALL])
    other = part(tmp_path / "bb", [timed(e, 2.0) for e in reversed(EPISODES_OF_ALL)])
    merge([one, other], tmp_path / "out")
    merge([other, one], tmp_path / "back")
    assert files(tmp_path / "out") == files(tmp_path / "back")
    assert len((tmp_path / "out" / EPISODES).read_bytes().splitlines()) == 8


OTHER = replace(episode("another", seed=0), id=EPISODES_OF_ALL[0].id)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"episodes": [OTHER]}, "two runs of the same thing, not parts of one"),
        (
            {"settings": msgspec.to_builtins(Settings(cue="true", max_turns=9))},
            "settings.cue: 'none' and 'true'; settings.max_turns: 40 and 9",
        ),
        ({"models": {"m": {**FACTS, "digest": "beef"}}}, "m.digest: none and 'beef'"),
        ({"okrt": "1"}, "okrt: '0' and '1'"),
        ({"sources": {"runtime own": "b"}}, "the source of runtime own changed between them"),
        ({"schema": 2}, "schema 2 is unknown"),
        ({"episodes": [replace(OTHER, id="0f3a")]}, "with other prompts, tasks or models"),
        (
            {"episodes": [replace(episode("hm", seed=9), prompt_digest="0f3a")]},
            "prompt_digest: .* and '0f3a'",
        ),
        ({"plan": [{"family": 3}]}, "cannot be read"),
        ({"settings": {"cue": 3}}, "is damaged: settings"),
        ({"shard": "5/4"}, "'5/4' is no shard"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_what_is_no_part_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    one = part(tmp_path / "a", EPISODES_OF_ALL, sources={"runtime own": "a"})
    other = part(tmp_path / "b", **{"episodes": EPISODES_OF_ALL, **changes})
    for order in ([one, other], [one, one, other]):
        with pytest.raises(StoreError, match=told):
            merge(order, tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_sources_come_together_where_parts_know_them(tmp_path: Path) -> None:
    one = part(tmp_path / "a", EPISODES_OF_ALL[:2], sources={"runtime own": "a"})
    same = part(tmp_path / "b", EPISODES_OF_ALL[2:4], sources={"runtime own": "a", "model m": "c"})
    old = part(tmp_path / "cc", EPISODES_OF_ALL[4:])
    merge([one, same, old], tmp_path / "out")
    merge([old, same, one], tmp_path / "back")
    assert read_run(tmp_path / "out")["sources"] == {"model m": "c", "runtime own": "a"}
    assert files(tmp_path / "out") == files(tmp_path / "back")


def test_weights_may_lie_elsewhere(tmp_path: Path) -> None:
    facts = {**FACTS, "kind": "local", "digest": "beef"}
    one = part(tmp_path / "a", EPISODES_OF_ALL[:4], models={"m": {**facts, "spec": "/here"}})
    other = part(tmp_path / "b", EPISODES_OF_ALL[4:], models={"m": {**facts, "spec": "/there"}})
    assert merge([one, other], tmp_path / "out").complete
    merge([other, one], tmp_path / "back")
    assert files(tmp_path / "out") == files(tmp_path / "back")


def test_runs_of_earlier_versions_are_joined(tmp_path: Path) -> None:
    def old(path: Path, episodes: Iterable[Episode]) -> Path:
        part(path, episodes)
        run = read_run(path)
        cases = {f"t[{key.seed}]": key._asdict() for key in keys_of(plan_in(run) or ())}
        for name in ("plan", "models", "shard"):
            del run[name]
        del run["settings"]["stop_repetition"]
        (path / RUN).write_text(json.dumps({**run, "manifest": cases}))
        return path

    one, other = old(tmp_path / "a", EPISODES_OF_ALL[:3]), old(tmp_path / "b", EPISODES_OF_ALL[3:])
    assert merge([one, other], tmp_path / "out").complete
    run = read_run(tmp_path / "out")
    assert run["models"]["m"]["kind"] == "scripted"
    assert len(run["sessions"]) == 1  # both began at the same moment, and say the same


@pytest.mark.parametrize("damage", ["corrupt", "torn"])
def test_a_damaged_line(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = part(tmp_path / "a", EPISODES_OF_ALL[:2])
    first, second = (run / EPISODES).read_bytes().splitlines(keepends=True)
    end = b"" if damage == "torn" else b"\n"
    before = (first + second[:-30] + end) if damage == "torn" else second[:-30] + end + first
    (run / EPISODES).write_bytes(before)
    status = main(["merge", str(run), "--out", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert (run / EPISODES).read_bytes() == before
    assert f"{EPISODES}:{2 if damage == 'torn' else 1}: " in shown.err
    assert shown.err.count("\n") == 1
    assert status == (1 if damage == "torn" else 2)
    assert (tmp_path / "out").exists() == (damage == "torn")
    assert damage != "torn" or "incomplete: 1 of 2 episodes" in shown.out


def test_damage_that_only_the_whole_episode_shows(tmp_path: Path) -> None:
    run = part(tmp_path / "a", EPISODES_OF_ALL[:2])
    content = (run / EPISODES).read_bytes()
    (run / EPISODES).write_bytes(content.replace(b'"finish_reason"', b'"finish_reasoN"', 1))
    with pytest.raises(StoreError, match=f"{run}: episode {EPISODES_OF_ALL[0].id}: "):
        merge([run], tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_the_command_says_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [str(one) for one in shards(tmp_path, 2)]
    out = str(tmp_path / "out")
    assert main(["merge", parts[0], "--out", f"{out}1"]) == 1
    told = f"incomplete: 4 of 4 episodes\nshards that are missing: 2/2\nrun: {out}1\n"
    assert capsys.readouterr().out == told
    assert main(["merge", *parts, "--out", out]) == 0
    assert capsys.readouterr().out == f"complete: 8 of 8 episodes\nrun: {out}\n"
    assert main(["merge", *parts, "--out", out]) == 2
    assert "is not empty; name another --out" in capsys.readouterr().err
    before = files(tmp_path / "out")
    assert main(["report", out]) == 0
    assert files(tmp_path / "out") == before


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    parts = shards(tmp_path, 2)

    def stop(text: str) -> None:
        if "written" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(parts, tmp_path / "out", stop)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s0", "s1"]
    (tmp_path / "out").mkdir()
    assert merge(parts, tmp_path / "out").complete
