"""The tiny checkpoints as they are made, in miniature; and as they ship."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from okrt import specs
from okrt.errors import SpecError
from okrt.models.checkpoint import checkpoint_digest, read_note
from okrt.types import Episode, Settings, Split
from training import collect
from training.tiny import tune
from training.tiny.__main__ import main
from training.tiny.making import Base, make_checkpoint_of_base
from training.tiny.play import play
from training.tiny.tune import CONTRACTS, Tuning

SHORT = Settings(temperature=0.0, max_turns=2, max_new_tokens=8)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "traces"
    command = ["--tier", "micro", "--pairs", "4", "--out", str(folder), "--temperature", "0"]
    assert collect.main(command) == 0
    return folder


@pytest.fixture(scope="module")
def base(traces: Path) -> Path:
    folder = traces.parent / "tiny-base"
    make_checkpoint_of_base(Base(traces, 1, folder, 2, 2, "a command"))
    return folder


@pytest.fixture(scope="module")
def tuned(base: Path, traces: Path) -> list[Path]:
    jobs = [
        Tuning(base, traces, name, 1, 3, traces.parent / "tuned" / f"tiny-{name}", "a command")
        for name in CONTRACTS
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "play", partial(play, settings=SHORT))
        patch.setattr(tune, "VALIDATION", range(1))
        for job in jobs:
            tune.tune(job)
    return [job.out for job in jobs]


def lines(checkpoint: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (checkpoint / "log.jsonl").read_text().splitlines()]


def test_a_seed_is_a_base(traces: Path, base: Path, tmp_path: Path) -> None:
    for seed, same in ((1, True), (2, False)):
        again = tmp_path / f"base-{seed}"
        make_checkpoint_of_base(Base(traces, seed, again, 2, 2, "a command"))
        assert (checkpoint_digest(again) == checkpoint_digest(base)) == same
    assert read_note(base).trained_under == "unknown"
    assert not list(base.parent.glob(".*"))


def test_two_fine_tunes_differ_in_the_contract_alone(tuned: list[Path], base: Path) -> None:
    notes = [json.loads((path / "okrt.json").read_text()) for path in tuned]
    assert [note.pop("trained_under") for note in notes] == list(CONTRACTS)
    assert notes[0]["base"] == notes[1]["base"] == checkpoint_digest(base)
    for note in notes:
        assert note.pop("kept") in ("step-2", "step-3")
        assert note["traces"].pop("loss_tokens") > 0
    assert notes[0] == notes[1]
    assert checkpoint_digest(tuned[0]) != checkpoint_digest(tuned[1])


def test_the_log_holds_losses_and_trials(tuned: list[Path]) -> None:
    for path in tuned:
        assert not list(path.parent.glob(".*"))
        first, *trials = lines(path)
        assert first["number"] == 0
        assert first["loss"] > 0
        assert sorted(trial["tried"] for trial in trials) == [2, 3]
        assert all(0 <= trial["score"] <= 1 for trial in trials)


@pytest.mark.thorough
def test_several_sets_of_traces_are_learnt_together(
    traces: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another family, and another cap: each is trained on, tried at home and noted."""
    sets = {
        "control": ["--family", "lookup_control", "--keep-loops"],
        "capped": ["--tool-cap", "4"],
    }
    for name, more in sets.items():
        command = ["--tier", "micro", "--pairs", "2", "--temperature", "0", *more]
        assert collect.main([*command, "--out", str(tmp_path / name)]) == 0
    tried: list[tuple[object, object]] = []

    def trial(
        folder: Path, home: str, split: Split, seeds: range, *, family: str, tool_cap: int | None
    ) -> list[Episode]:
        tried.append((family, tool_cap))
        return play(folder, home, split, seeds, SHORT, family=family, tool_cap=tool_cap)

    monkeypatch.setattr(tune, "play", trial)
    monkeypatch.setattr(tune, "VALIDATION", range(1))
    monkeypatch.setattr(tune, "VALIDATION_BESIDE", range(1))
    beside = (tmp_path / "control", tmp_path / "capped")
    job = Tuning(base, traces, "persistent", 1, 2, tmp_path / "tuned", "a command", beside)
    tune.tune(job)
    knapsack, control = "opaque_knapsack", "lookup_control"
    assert tried[:3] == [(knapsack, None), (control, None), (knapsack, 4)]
    note = json.loads((job.out / "okrt.json").read_text())
    assert [one["family"] for one in note["beside"]] == [control, knapsack]
    assert [one["tool_cap"] for one in note["beside"]] == [None, 4]
    assert note["traces"]["pairs"] == 4
    assert all(one["loss_tokens"] > 0 for one in note["beside"])
    trials = [json.loads(line) for line in (job.out / "log.jsonl").read_text().splitlines()][1:]
    assert all(len(one["beside"]) == 2 for one in trials)


def test_what_is_made_is_a_model_to_evaluate(tuned: list[Path]) -> None:
    for path, contract in zip(tuned, CONTRACTS, strict=True):
        agent = specs.load_model(specs.model_spec(str(path)), SHORT, "opaque_knapsack")
        assert agent.card.trained_under == contract
        assert agent.card.tiers == ("micro",)
        (episode,) = play(path, contract, "val", range(1), SHORT)
        assert episode.trajectory is not None
        assert episode.trajectory.turns


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--minutes", "0"], "--minutes 0: give more"), (["--traces", "nowhere"], "nowhere")],
)
def test_a_mistake_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "out"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize("name", ["base", *CONTRACTS])
def test_the_checkpoints_that_ship_are_small_and_named(name: str) -> None:
    spec = specs.model_spec(f"tiny:{name}")
    assert spec.label == f"tiny:{name}"
    specs.check_model(spec)
    assert sum(file.stat().st_size for file in spec.path.rglob("*")) <= 4 << 20
    assert read_note(spec.path).trained_under == ("unknown" if name == "base" else name)
    note = json.loads((spec.path / "okrt.json").read_text())
    assert note["command"].startswith("python -m training.")
    assert note["seed"] >= 0
    assert lines(spec.path)


def test_both_that_ship_are_of_the_base_that_ships() -> None:
    base = checkpoint_digest(specs.model_spec("tiny:base").path)
    notes = [
        json.loads((specs.model_spec(f"tiny:{name}").path / "okrt.json").read_text())
        for name in CONTRACTS
    ]
    assert [note["base"] for note in notes] == [base, base]
    assert len({(note["traces"]["digest"], note["steps"], note["seed"]) for note in notes}) == 1


def test_an_unknown_tiny_is_told() -> None:
    with pytest.raises(SpecError, match="unknown model 'tiny:giant'; known: base, persistent"):
        specs.model_spec("tiny:giant")
