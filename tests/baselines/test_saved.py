"""A baseline is saved whole or not at all, is what the run held, and is found again."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from okrt.baselines import saving
from okrt.baselines.held import SAVED, read
from okrt.baselines.saved import FOLDER, find, names
from okrt.baselines.saving import save
from okrt.cli import main
from okrt.errors import StoreError, UsageError
from okrt.plan import key_of, plan_of
from okrt.store import EPISODES, REPORT, ROWS, RUN, RunDirectory, encode_episode
from okrt.types import Episode
from tests.test_merge import EPISODES_OF_ALL, part, timed
from tests.test_store import failed


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def plans(*episodes: Episode) -> Any:
    return plan_of(map(key_of, episodes))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return part(tmp_path / "run", EPISODES_OF_ALL, manifest={"a": {}}, sessions=[{"created": "x"}])


def test_what_is_saved_is_what_the_run_held(run: Path, tmp_path: Path) -> None:
    kept = save(run, "release-1", tmp_path)
    assert kept.path == tmp_path / FOLDER / "release-1"
    assert set(files(kept.path)) == {RUN, ROWS, REPORT}
    original = read(run)
    assert kept.rows == original.rows
    assert kept.digest == original.digest
    assert (kept.transcripts, original.transcripts) == (False, True)
    saved = json.loads((kept.path / RUN).read_text())
    assert saved[SAVED] == {"digest": kept.digest, "rows": 8}
    assert saved["complete"]
    assert "manifest" not in saved
    assert saved["plan"] == json.loads((run / RUN).read_text())["plan"]
    ids = [json.loads(line)["episode_id"] for line in (kept.path / ROWS).open()]
    assert ids == sorted(one.id for one in EPISODES_OF_ALL)


def test_saving_twice_makes_the_same_bytes(run: Path, tmp_path: Path) -> None:
    one = save(run, "a", tmp_path)
    other = save(run, "b", tmp_path / "elsewhere")
    again = save(one.path, "c", tmp_path)  # a baseline may be saved under another name
    assert files(one.path) == files(other.path) == files(again.path)


def test_the_digest_is_of_what_happened_and_not_of_when_or_where(tmp_path: Path) -> None:
    slower = [timed(one, 9.0) for one in reversed(EPISODES_OF_ALL)]
    one = read(part(tmp_path / "one", EPISODES_OF_ALL, machine={"cpus": 2}))
    other = read(part(tmp_path / "other", slower, machine={"cpus": 64}))
    assert one.digest == other.digest
    shorter = read(part(tmp_path / "shorter", EPISODES_OF_ALL[1:]))
    assert shorter.digest != one.digest


def test_rows_are_derived_anew_and_not_copied(run: Path, tmp_path: Path) -> None:
    (run / ROWS).write_text("stale\n")
    assert len(save(run, "a", tmp_path).rows) == 8


def test_transcripts_are_saved_where_they_are_asked_for(run: Path, tmp_path: Path) -> None:
    kept = save(run, "a", tmp_path, transcripts=True)
    assert kept.transcripts
    assert (kept.path / EPISODES).read_bytes() == (run / EPISODES).read_bytes()
    bare = save(run, "b", tmp_path)
    with pytest.raises(UsageError, match="has no transcripts"):
        save(bare.path, "c", tmp_path, transcripts=True)


def test_one_that_is_there_is_replaced_only_when_told(run: Path, tmp_path: Path) -> None:
    other = part(tmp_path / "other", EPISODES_OF_ALL[:3])
    before = save(run, "a", tmp_path)
    with pytest.raises(UsageError, match=r"okrt-baselines/a is there already: give --replace"):
        save(other, "a", tmp_path)
    assert read(before.path) == before
    assert len(save(other, "a", tmp_path, replace=True).rows) == 3
    assert os.listdir(tmp_path / FOLDER) == ["a"]  # noqa: PTH208  nothing hidden is left either


def test_a_disk_that_fills_leaves_the_old_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = part(tmp_path / "other", EPISODES_OF_ALL[:3])
    before = save(run, "a", tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "_copy_episodes", full)
    with pytest.raises(StoreError, match="No space left"):
        save(other, "a", tmp_path, replace=True, transcripts=True)
    assert read(before.path) == before
    assert os.listdir(tmp_path / FOLDER) == ["a"]  # noqa: PTH208
    with pytest.raises(StoreError, match="No space left"):
        save(other, "b", tmp_path / "new", transcripts=True)
    assert not (tmp_path / "new" / FOLDER).exists()


def incomplete(kind: str, folder: Path) -> Path:
    whole = plans(*EPISODES_OF_ALL)
    match kind:
        case "missing":
            return part(folder / "run", EPISODES_OF_ALL[1:], plan=whole)
        case "broken off":
            _, *others = EPISODES_OF_ALL
            return part(folder / "run", [failed(0), *others])
        case "a shard":
            return part(folder / "run", EPISODES_OF_ALL[::2], shard="1/2")
        case "damaged":
            run = part(folder / "run", EPISODES_OF_ALL)
            with (run / EPISODES).open("ab") as file:
                file.write(b"{}\n")
            return run
    run = folder / "run"
    with RunDirectory.create(run, {"okrt": "0"}) as directory:
        directory.append(EPISODES_OF_ALL[0])
    return run


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("missing", "7 of 8 episodes are there"),
        ("broken off", "7 of 8 episodes are there"),
        ("a shard", "shards are missing: 2/2"),
        ("damaged", r"episodes.jsonl:9"),
        ("without a plan", "does not say what it must hold"),
    ],
)
def test_an_incomplete_run_is_refused_unless_allowed(kind: str, why: str, tmp_path: Path) -> None:
    run = incomplete(kind, tmp_path)
    with pytest.raises(UsageError, match=rf"is incomplete: .*{why}.*--allow-incomplete"):
        save(run, "a", tmp_path)
    assert not (tmp_path / FOLDER).exists()
    kept = save(run, "a", tmp_path, allow_incomplete=True)
    assert kept.run["complete"] is False
    assert "incomplete" in (kept.path / REPORT).read_text() or kind == "damaged"


def test_a_run_that_finished_but_was_killed_at_its_end_is_whole(tmp_path: Path) -> None:
    run = part(tmp_path / "run", EPISODES_OF_ALL, complete=False)
    assert save(run, "a", tmp_path).run["complete"] is True


def test_a_run_of_an_earlier_version_has_its_plan_from_the_manifest(tmp_path: Path) -> None:
    run = part(tmp_path / "run", EPISODES_OF_ALL[:1])
    text = json.loads((run / RUN).read_text())
    (planned,) = text.pop("plan")
    one = {key: planned[key] for key in ("family", "tier", "model", "contract", "repeat")}
    text["manifest"] = {"t": {**one, "seed": 0}}
    (run / RUN).write_text(json.dumps(text))
    kept = save(run, "a", tmp_path)
    assert kept.run["plan"] == [planned]


def test_nothing_is_saved_of_nothing(tmp_path: Path) -> None:
    run = part(tmp_path / "run", [])
    with pytest.raises(UsageError, match="holds no episode"):
        save(run, "a", tmp_path, allow_incomplete=True)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a b", "ä", "x" * 101])
def test_a_name_is_a_plain_word(name: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no name for a baseline"):
        save(run, name, tmp_path)


def test_rows_that_were_changed_since_are_refused(run: Path, tmp_path: Path) -> None:
    kept = save(run, "a", tmp_path).path
    text = (kept / ROWS).read_text()
    (kept / ROWS).write_text(text.replace('"score":0.0', '"score":0.5', 1))
    assert (kept / ROWS).read_text() != text
    with pytest.raises(StoreError, match="the rows are not those that were saved"):
        read(kept)
    (kept / ROWS).write_text("".join(text.splitlines(keepends=True)[1:]))
    with pytest.raises(StoreError, match="the rows are not those that were saved"):
        read(kept)
    (kept / ROWS).write_text(text.replace('"wall_s":', '"wall_s":1', 1))  # timing is no matter
    read(kept)


def test_a_run_without_its_episodes_is_no_baseline(run: Path) -> None:
    main(["report", str(run)])
    (run / EPISODES).unlink()
    with pytest.raises(StoreError, match="is no saved baseline"):
        read(run)


def test_find_knows_paths_and_names(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = save(run, "a", tmp_path).path
    assert find("a", tmp_path) == kept
    assert find("run", tmp_path) == run
    assert find(str(run), tmp_path / "elsewhere") == run
    assert find(f"{FOLDER}/a", tmp_path) == kept
    assert names(tmp_path) == ["a"]
    shutil.copytree(run, tmp_path / "a")
    with pytest.raises(UsageError, match=r"is a directory and a saved baseline: write ./a or"):
        find("a", tmp_path)
    assert find("./a", tmp_path) == tmp_path / "a"


@pytest.mark.parametrize("text", ["", "nosuch", "../nosuch", "x" * 5000, "a\0b", "-"])
def test_find_says_what_it_did_not_find_and_how_to_save_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"okrt baseline save RUN (NAME|nosuch)"):
        find(text, tmp_path)


def test_a_schema_of_later_is_refused(run: Path) -> None:
    text = json.loads((run / RUN).read_text())
    (run / RUN).write_text(json.dumps({**text, "schema": 99}))
    with pytest.raises(StoreError, match="schema 99 is unknown"):
        read(run)


def test_an_episode_that_differs_is_another_digest(tmp_path: Path) -> None:
    first, *others = EPISODES_OF_ALL
    assert first.outcome is not None
    worse = replace(first, outcome=replace(first.outcome, score=0.25))
    assert encode_episode(worse) != encode_episode(first)
    one = read(part(tmp_path / "one", EPISODES_OF_ALL))
    other = read(part(tmp_path / "other", [worse, *others]))
    assert one.digest != other.digest
