"""`--okrt-preset release` asks of a new model what was asked of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.baselines.saving import save
from okrt.errors import UsageError
from okrt.plan import Planned
from okrt.salt import read_salt
from okrt.selection.arguments import Given, Options, read_options
from okrt.selection.options import OPTIONS
from okrt.selection.preset import filled
from okrt.store import read_run, write_run
from okrt.types import Settings
from tests.test_merge import EPISODES_OF_ALL, part

SETTINGS = Settings(
    cue="true", names=True, format="code_tag", thinking="keep", tool_cap=9, max_turns=7,
    temperature=0.0, max_new_tokens=64, observation_chars=500, packages=("numpy",),
    stop_repetition=0,
)  # fmt: skip
MODEL = ["expert:stateless"]


def planned(
    contract: str, repeat: int = 0, tier: str = "micro", seeds: Sequence[int] = (0, 25)
) -> Planned:
    first, end = seeds
    return Planned("opaque_knapsack", tier, "eval", "m", contract, repeat, ((first, end),))


def baseline(folder: Path, *plan: Planned, settings: Settings = SETTINGS) -> Path:
    """One that says so much of itself; what it holds is not looked at."""
    path = save(part(folder / "run", EPISODES_OF_ALL[:1]), "old", folder).path
    write_run(path, {**read_run(path), "plan": plan, "settings": msgspec.to_builtins(settings)})
    return folder


def options(folder: Path, **given: Any) -> dict[str, Any]:
    """Each option, as the preset leaves it."""
    asked = {"preset": "release", "baseline": "old", "model": MODEL, **given}
    found = filled(lambda name: asked.get(name.replace("-", "_")), folder)
    return {name: found(name) for name in (*(one.name for one in OPTIONS), "gates")}


def test_what_was_not_given_is_taken_from_the_baseline(tmp_path: Path) -> None:
    plan = [planned(contract, r) for contract in ("persistent", "stateless") for r in (0, 1)]
    found = options(baseline(tmp_path, *plan), runtime=["stateless"])
    assert {name: value for name, value in found.items() if value is not None} == {
        "preset": "release", "baseline": "old", "model": MODEL, "runtime": ["stateless"],
        "tier": ["micro"], "seeds": "0:25", "repeats": "2", "prompts": "matched", "cue": "true",
        "names": "on", "format": "code_tag", "thinking": "keep", "tool-cap": "9", "max-turns": "7",
        "temperature": "0.0", "max-new-tokens": "64", "observation-chars": "500",
        "allow-package": ["numpy"], "stop-repetition": "off", "gates": "release",
    }  # fmt: skip


def read(folder: Path, **given: Any) -> Options:
    found = filled(lambda name: given.get(name.replace("-", "_")), folder)
    alone = ("preset", "baseline", "gates")  # as though they had been given by hand
    return read_options(Given(lambda name: None if name in alone else found(name), folder))


def test_so_filled_the_settings_are_those_of_the_baseline(tmp_path: Path) -> None:
    settings = replace(SETTINGS, packages=())
    baseline(tmp_path, planned("persistent"), settings=settings)
    found = read(tmp_path, preset="release", baseline="old", model=MODEL)
    assert found.settings == settings
    assert [contract.name for contract in found.contracts] == ["persistent"]
    assert (found.tiers, found.seeds, found.repeats) == (("micro",), range(25), 1)


def test_the_defaults_of_a_baseline_are_the_defaults(tmp_path: Path) -> None:
    baseline(tmp_path, planned("stateless"), settings=Settings(stop_repetition=512))
    found = read(tmp_path, preset="release", baseline="old", model=MODEL)
    assert found.settings == read_options(Given(lambda name: None, tmp_path)).settings


def test_gates_about_other_tasks_than_the_baseline_holds_are_told_apart(tmp_path: Path) -> None:
    baseline(tmp_path, planned("stateless"), settings=Settings())
    asked: Mapping[str, Any] = {"preset": "release", "baseline": "old", "model": MODEL}
    message = (
        "--okrt-tier micro, given or taken from --okrt-baseline old, contradicts the gates "
        "'release', which state easy"
    )
    with pytest.raises(UsageError, match=message):
        read_options(Given(asked.get, tmp_path))


def test_without_a_preset_nothing_is_filled(tmp_path: Path) -> None:
    asked: Mapping[str, Any] = {"baseline": "nosuch"}
    assert filled(asked.get, tmp_path) == asked.get


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"seeds": "25"}, "seeds"),
        ({"seeds": "0:25"}, "seeds"),
        ({"repeats": "1"}, "repeats"),
        ({"temperature": "0"}, "temperature"),
        ({"max_turns": "7"}, "max-turns"),
        ({"names": "on"}, "names"),
        ({"allow_package": ["numpy", "numpy"]}, "allow-package"),
        ({"stop_repetition": "off"}, "stop-repetition"),
        ({"tier": ["micro"]}, "tier"),
        ({"gates": "mine.toml"}, "gates"),
    ],
)
def test_what_was_given_stays_where_it_says_the_same(
    given: dict[str, Any], what: str, tmp_path: Path
) -> None:
    found = options(baseline(tmp_path, planned("stateless")), **given)
    assert found[what] == next(iter(given.values()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": "20"}, "--okrt-seeds 20 and --okrt-baseline old, which was run with 0:25"),
        ({"seeds": "x"}, "cannot read seeds 'x'"),
        ({"repeats": "2"}, "--okrt-repeats 2 and --okrt-baseline old, which was run with 1"),
        ({"temperature": "0.2"}, "--okrt-temperature 0.2 and .* run with 0.0"),
        ({"temperature": "hot"}, "--okrt-temperature hot and"),
        ({"cue": "none"}, "--okrt-cue none and .* run with true"),
        ({"allow_package": ["scipy"]}, "--okrt-allow-package scipy and .* run with numpy"),
        ({"stop_repetition": "512"}, "--okrt-stop-repetition 512 and .* run with off"),
        ({"runtime": ["persistent"]}, "--okrt-runtime persistent: .* old holds stateless"),
        ({"tier": ["easy"]}, "--okrt-tier easy: .* old holds micro"),
        ({"model": []}, "--okrt-preset release needs the model to be judged: give --model"),
        ({"baseline": "nosuch"}, "'nosuch' is no run directory and no saved baseline"),
        ({"preset": "nightly"}, "--okrt-preset 'nightly' is not one of release"),
    ],
)
def test_what_contradicts_is_said_at_once_with_both_values(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    baseline(tmp_path, planned("stateless"))
    with pytest.raises(UsageError, match=message):
        options(tmp_path, **given)


def test_a_first_run_is_told_how_to_save_a_baseline(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"to save a first one, .*okrt baseline save RUN NAME"):
        options(tmp_path, baseline=None)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([], "does not say what it holds"),
        (
            [planned("stateless"), planned("stateless", tier="easy", seeds=(0, 100))],
            "does not hold one range of seeds in every cell: name a tier",
        ),
        ([planned("stateless", repeat=1)], "does not hold the same repeats"),
        ([Planned("f", "t", "train", "m", "stateless", 0, ((0, 2),))], "not for evaluation"),
        ([Planned("f", "t", "eval", "m", "stateless", 0, ((0, 2), (3, 4)))], "one range of seeds"),
    ],
)
def test_a_baseline_that_cannot_be_asked_again_is_refused(
    plan: list[Planned], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        options(baseline(tmp_path, *plan))


def test_a_tier_of_several_may_be_named(tmp_path: Path) -> None:
    plan = [planned("stateless"), planned("stateless", tier="easy", seeds=(0, 100))]
    found = options(baseline(tmp_path, *plan), tier=["easy"])
    assert (found["tier"], found["seeds"]) == (["easy"], "0:100")


def test_a_runtime_of_the_users_own_may_bear_any_name(tmp_path: Path) -> None:
    found = options(baseline(tmp_path, planned("files")), runtime=["mine:FILES"])
    assert (found["runtime"], found["seeds"]) == (["mine:FILES"], "0:25")


def test_the_baseline_is_found_by_name_or_path(tmp_path: Path) -> None:
    baseline(tmp_path, planned("stateless"))
    for text in ("old", "okrt-baselines/old", "run"):
        found = read_options(Given({"baseline": text}.get, tmp_path))
        assert found.baseline is not None
        assert (found.baseline / "run.json").is_file()
    assert read_options(Given(lambda name: None, tmp_path)).baseline is None
    with pytest.raises(UsageError, match="no saved baseline"):
        read_options(Given({"baseline": "nosuch"}.get, tmp_path))


def test_private_tasks_are_those_of_the_baseline(tmp_path: Path) -> None:
    path = baseline(tmp_path, planned("stateless")) / "okrt-baselines" / "old"
    (tmp_path / "secret").write_bytes(b"0123456789abcdef")
    asked = {"preset": "release", "baseline": "old", "model": MODEL, "gates": "own.toml"}
    gate = '[[gate]]\nname = "q"\nmetric = "score"\nat_least = 0.5\n'
    (tmp_path / "own.toml").write_text(f'[run]\ntiers = ["micro"]\nseeds = 1\n{gate}')

    def ask(**given: Any) -> Options:
        return read_options(
            Given(lambda name: (asked | given).get(name.replace("-", "_")), tmp_path)
        )

    with pytest.raises(UsageError, match=r"--okrt-salt secret: the tasks of .* are public; leave"):
        ask(salt="secret")
    digest = read_salt(tmp_path / "secret").digest
    write_run(path, {**read_run(path), "salt": digest})
    with pytest.raises(UsageError, match=f"drawn from the salt {digest}; give that file"):
        ask()
    found = ask(salt="secret").salt
    assert found is not None
    assert found.digest == digest
