"""Where episodes lie: the same as reading them all, and what they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.errors import StoreError
from okrt.index import Place, places, plan_in, read_line, read_place
from okrt.plan import Key, key_of, keys_of, plan_of
from okrt.store import EPISODES, Problem, RunDirectory, encode_episode, read_episodes
from okrt.types import Episode, Execution, ToolCall
from tests.test_store import episode

AWKWARD = ('\n,"trajectory":{', '\\","outcome":{"', "\u2028é", '}\n{"schema":1}')


def run_directory(path: Path, *made: Episode) -> Path:
    with RunDirectory.create(path, {}) as directory:
        for one in made:
            directory.append(one)
    return path


def found(run: Path) -> list[Place]:
    return [one for one in places(run) if isinstance(one, Place)]


def test_a_place_is_that_of_its_episode(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", *(episode(*AWKWARD, seed=seed) for seed in range(3)))
    read = [one for one in read_episodes(run) if isinstance(one, Episode)]
    there = found(run)
    assert [one.id for one in there] == [one.id for one in read]
    assert [one.key for one in there] == [key_of(one) for one in read]
    assert [read_place(run, one) for one in there] == read
    assert b"".join(read_line(run, one) for one in there) == (run / EPISODES).read_bytes()


@pytest.mark.parametrize(
    "args",
    [{"trajectory": 1, "outcome": 2}, {"k": 1, "outcome": 2, "failure": None}, {"outcome": 1}],
)
def test_keys_of_other_objects_mislead_nobody(tmp_path: Path, args: dict[str, Any]) -> None:
    def run(tools: Any, code: str) -> Execution:
        tools["finish"]()
        return Execution("ok", calls=(ToolCall("add", (args,), args),))

    made = msgspec.to_builtins(episode(run=run))
    made["task"]["private"] = {"x": 1, **args}
    made["timing"] |= {"outcome": 1.0}
    odd = msgspec.convert(made, Episode)
    line = encode_episode(odd)
    directory = run_directory(tmp_path / "run", odd)
    (place,) = found(directory)
    assert place == Place(odd.id, key_of(odd), False, 0, len(line))
    for end in range(len(line) - 1):  # wherever an object ends, the episode does not
        if line[end - 1 : end] == b"}":
            (directory / EPISODES).write_bytes(line[:end])
            assert not found(directory)


def test_lines_that_are_none_are_told_and_nothing_is_changed(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", episode(seed=0), episode(seed=1), episode(seed=2))
    first, second, third = (run / EPISODES).read_bytes().splitlines(keepends=True)
    content = first + second[:50] + b"\n" + b'{"schema":99}\n' + third[:-30]
    (run / EPISODES).write_bytes(content)
    one, *problems = places(run)
    assert isinstance(one, Place)
    kinds = [(p.line, p.kind) for p in problems if isinstance(p, Problem)]
    assert kinds == [(2, "corrupt"), (3, "corrupt"), (4, "torn")]
    assert "schema 99 is unknown" in str(problems[1])
    assert (run / EPISODES).read_bytes() == content


def test_a_run_that_changed_meanwhile_is_not_misread(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", episode(seed=0), episode("hm", seed=1))
    places_then = found(run)
    lines = (run / EPISODES).read_bytes().splitlines(keepends=True)
    (run / EPISODES).write_bytes(lines[1])
    for place in places_then:
        with pytest.raises(StoreError, match="was changed while it was read"):
            read_place(run, place)


def test_a_plan_is_read_and_made_from_the_cases_of_earlier_versions() -> None:
    keys = [Key("f", "easy", "eval", "m", "stateless", 0, seed) for seed in (0, 1, 5)]
    plan = plan_of(keys)
    assert plan_in(msgspec.to_builtins({"plan": plan})) == plan
    cases = {f"test[{key.seed}]": key._asdict() | {"model_spec": "m"} for key in keys}
    for case in cases.values():
        del case["split"]
    stated = plan_in({"manifest": cases})
    assert stated is not None
    assert list(keys_of(stated)) == keys
    assert plan_in({}) is None
    with pytest.raises(StoreError, match="cannot be read"):
        plan_in({"plan": [{"family": 3}]})
