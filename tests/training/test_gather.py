"""A traces folder: each task once under each contract, whatever happened on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from okrt.errors import InfrastructureError, StoreError
from okrt.store import EPISODES, RUN, read_episodes
from okrt.types import Conversation, Episode
from tests.toys import FakeRuntime
from tests.training.toy_plans import MISSES, Player, collect, plan
from training.filters import Filters
from training.gather import CHUNK, gather
from training.traces import COLLECT, CONTRACTS, read_record


def episodes(folder: Path, contract: str) -> list[Episode]:
    found = list(read_episodes(folder / contract))
    assert all(isinstance(one, Episode) for one in found)
    return [one for one in found if isinstance(one, Episode)]


def tried(folder: Path, contract: str) -> list[int]:
    return [one.task.seed for one in episodes(folder, contract)]


def test_a_pair_is_in_only_if_both_traces_pass(tmp_path: Path) -> None:
    found = collect(tmp_path / "t")
    assert (found.complete, found.accepted, found.tried) == (True, 6, 10)
    out = {int(id.split("/")[-1].split("@")[0]): reasons for id, reasons in found.refused.items()}
    assert {seed: {n for n in reasons if reasons[n]} for seed, reasons in out.items()} == {
        0: {"persistent", "stateless"},
        4: {"persistent"},
        6: {"stateless"},
        8: {"persistent"},
    }
    assert found.refusals["persistent"]["score"] == 3
    assert found.refusals["stateless"] == {
        "score": 2, "finish": 0, "loop": 0, "errors": 0, "window": 0,
    }  # fmt: skip
    assert read_record(tmp_path / "t").survey == found


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_episode_that_was_tried_is_kept(tmp_path: Path, contract: str) -> None:
    collect(tmp_path / "t")
    assert tried(tmp_path / "t", contract) == list(range(10))
    assert (tmp_path / "t" / contract / RUN).is_file()


@pytest.mark.parametrize("in_flight", [2, 5, 64])
@pytest.mark.parametrize("pairs", [6, CHUNK + 9])
def test_the_number_in_flight_leaves_no_mark(tmp_path: Path, in_flight: int, pairs: int) -> None:
    one = collect(tmp_path / "one", plan(pairs, max_tries=200))
    many = collect(tmp_path / "many", plan(pairs, max_tries=200, in_flight=in_flight))
    assert many == one
    assert tried(tmp_path / "one", "persistent") == list(range(one.tried))  # none in vain


def test_the_same_call_again_changes_nothing(tmp_path: Path) -> None:
    collect(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json*")}
    runtime = FakeRuntime()
    collect(tmp_path, runtime=runtime)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json*")} == before
    assert not runtime.sessions


def test_more_or_fewer_pairs_may_be_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    six = collect(folder)
    nine = collect(folder, plan(9))
    assert (nine.accepted, nine.tried) == (9, 14)
    assert nine.digest == collect(tmp_path / "other", plan(9)).digest != six.digest
    assert collect(folder) == six


def interrupted_after(count: int) -> Callable[[int, int], None]:
    def progress(accepted: int, done: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("count", [1, 5, 6, 7, 13, 19])
def test_an_interruption_loses_nothing(tmp_path: Path, count: int) -> None:
    straight = collect(tmp_path / "straight")
    folder = tmp_path / "t"
    with pytest.raises(KeyboardInterrupt):
        gather(folder, plan(), FakeRuntime(), interrupted_after(count))
    record = read_record(folder)
    assert not record.survey.complete
    assert sum(len(episodes(folder, name)) for name in CONTRACTS) == count
    assert collect(folder) == straight
    for name in CONTRACTS:
        assert sorted(tried(folder, name)) == list(range(10))


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("back", [0, 1, 2, 40])
def test_a_crash_at_any_byte_loses_nothing(
    tmp_path: Path, share: float, back: int, in_flight: int
) -> None:
    """The files as a killed process left them: `collect.json` as it was at the start, one run
    directory cut right behind, before, or within a line."""
    straight = collect(tmp_path / "t", plan(in_flight=in_flight))
    file = tmp_path / "t" / "stateless" / EPISODES
    content = file.read_bytes()
    lines = content.splitlines(keepends=True)
    cut = max(len(b"".join(lines[: int(share * len(lines))])) - back, 0)
    file.write_bytes(content[:cut])
    record = read_record(tmp_path / "t")
    (tmp_path / "t" / "persistent" / EPISODES).write_bytes(
        b"".join((tmp_path / "t" / "persistent" / EPISODES).read_bytes().splitlines(True)[:7])
    )
    assert collect(tmp_path / "t", plan(in_flight=in_flight)) == straight == record.survey
    for name in CONTRACTS:
        assert sorted(tried(tmp_path / "t", name)) == list(range(10))


def test_a_crash_before_the_first_episode(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    collect(folder)
    (folder / "stateless" / RUN).unlink()
    (folder / "stateless" / EPISODES).unlink()
    (folder / f".{COLLECT}.part").write_text("{")
    assert collect(folder).complete
    (folder / COLLECT).unlink()
    for name in CONTRACTS:
        for file in (folder / name).iterdir():
            file.unlink()
        (folder / name).rmdir()
    assert collect(folder).complete


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (plan(cue="true"), "episode.cue = 'none', not 'true'"),
        (plan(filters=Filters(min_score=0.7)), "filters.min_score = 0.5, not 0.7"),
    ],
    ids=["cue", "filters"],
)
def test_other_settings_need_another_folder(tmp_path: Path, other: object, told: str) -> None:
    collect(tmp_path)
    before = (tmp_path / COLLECT).read_bytes()
    with pytest.raises(StoreError, match=f"was collected with {told}"):
        collect(tmp_path, other)  # type: ignore[arg-type]
    assert (tmp_path / COLLECT).read_bytes() == before


def test_other_prompts_need_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(tmp_path)
    monkeypatch.setattr("okrt.run.prompt_digest", lambda *_: "another")
    with pytest.raises(StoreError, match="with other prompts or tasks"):
        collect(tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    def second(accepted: int, done: int) -> None:
        with pytest.raises(StoreError, match="another process is collecting"):
            collect(tmp_path)

    assert gather(tmp_path, plan(), FakeRuntime(), second).complete


def test_what_is_no_traces_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty and holds no collect"):
        collect(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        collect(tmp_path / "mine.txt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


def test_a_damaged_line_is_told(tmp_path: Path) -> None:
    collect(tmp_path)
    file = tmp_path / "persistent" / EPISODES
    first, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first[:-20] + b"\n" + b"".join(rest))
    with pytest.raises(StoreError, match=r"episodes.jsonl:1: .*collect into a new folder"):
        collect(tmp_path)


def test_tries_run_out(tmp_path: Path) -> None:
    found = collect(tmp_path, plan(max_tries=7))
    assert (found.complete, found.tried, found.accepted) == (False, 7, 4)
    assert collect(tmp_path).complete


class Gone(Player):
    """Fails from the seventh task on."""

    def __call__(self, conversation: Conversation) -> str:
        if "Count to 1007" in conversation.messages[0].content:
            raise ConnectionError("no route")
        return super().__call__(conversation)


def test_a_model_that_is_gone_stops_the_run_and_leaves_no_record_of_it(tmp_path: Path) -> None:
    straight = collect(tmp_path / "straight")
    broken = plan(players={"stateless": Gone(MISSES["stateless"])})
    with pytest.raises(InfrastructureError, match=r"model failed on counting/low/train/6@1 under"):
        collect(tmp_path / "t", broken)
    assert all(one.failure is None for name in CONTRACTS for one in episodes(tmp_path / "t", name))
    assert collect(tmp_path / "t") == straight


def test_the_compared_tasks(tmp_path: Path) -> None:
    """This family tells nothing of its tasks; knapsacks do, see test_collect."""
    found = collect(tmp_path)
    assert (found.accepted_tasks.n, found.refused_tasks.n) == (6, 4)
    assert set(found.accepted_tasks.means.values()) == {None}


def test_the_digest_is_of_what_was_done_not_of_how_long_it_took(tmp_path: Path) -> None:
    slow = replace(plan(), run={"created": "later"})
    assert collect(tmp_path / "a").digest == collect(tmp_path / "b", slow).digest
    other = plan(players={"persistent": Player(3)})
    assert collect(tmp_path / "c", other).digest != collect(tmp_path / "a").digest
