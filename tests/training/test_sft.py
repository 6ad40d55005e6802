"""The command: from traces to a checkpoint that okrt evaluates, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from okrt.errors import UsageError
from okrt.models.checkpoint import checkpoint_digest, read_note
from okrt.models.template import chat_template
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import STATELESS
from okrt.specs import load_model, model_spec
from okrt.types import Settings
from tests.checkpoints import QWEN_LIKE, make_adapter, make_checkpoint
from tests.toys import FAMILY, FakeRuntime
from tests.training.sft_toys import losses
from tests.training.toy_plans import collect
from training import finetune, sft
from training.dataset import read_pairs
from training.recipe import load_recipe

RECIPE = """\
base = "nowhere"
contract = "persistent"
seeds = [3407, 777]
max_length = 4096
device = "cpu"
dtype = "float32"
[lora]
r = 4
lora_alpha = 8
[trainer]
learning_rate = 1e-2
max_steps = 3
save_steps = 2
per_device_train_batch_size = 4
"""

Sft = Callable[..., int]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "traces"
    collect(folder)
    return folder


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    file = tmp_path / "toy.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def run(checkpoint: Path, traces: Path, toy: Path, tmp_path: Path) -> Sft:
    """Runs the command in this process; what is given comes last, so that it wins."""

    def run(*more: str, recipe: Path = toy) -> int:
        fixed = ["--traces", traces, "--base", checkpoint, "--out", tmp_path / "out"]
        return sft.main([str(part) for part in (recipe, *fixed, *more)])

    return run


@pytest.fixture(scope="module")
def trained(
    checkpoint: Path, traces: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A checkpoint of the command's, and the recipe that made it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "toy.toml").write_text(RECIPE)
    given = [folder / "toy.toml", "--traces", traces, "--base", checkpoint, "--out", folder / "out"]
    assert sft.main([*map(str, given), "--contract", "stateless"]) == 0
    return folder / "out", folder / "toy.toml"


# -- what it leaves --------------------------------------------------------------------------------


def test_a_trained_checkpoint_plays_episodes_in_okrt(
    trained: tuple[Path, Path], checkpoint: Path
) -> None:
    out, _ = trained
    settings = Settings(temperature=0.0, max_turns=2, max_new_tokens=12)
    agent = load_model(model_spec(str(out)), settings, "counting")
    assert agent.card.trained_under == "stateless"
    assert agent.card.tiers == ("low",)
    assert agent.card.digest == checkpoint_digest(out) != checkpoint_digest(checkpoint)
    cases = [
        Case(FAMILY, FAMILY.task(seed, "low"), STATELESS, agent.card, agent.model, settings)
        for seed in (0, 1)
    ]
    episodes = list(run_cases(cases, FakeRuntime()))
    assert [episode.failure for episode in episodes] == [None, None]
    assert all(episode.trajectory and episode.trajectory.turns for episode in episodes)


def test_the_checkpoint_says_how_it_was_made(
    trained: tuple[Path, Path], checkpoint: Path, traces: Path
) -> None:
    out, recipe = trained
    assert read_note(out).trained_under == "stateless"
    note = json.loads((out / "okrt.json").read_bytes())
    assert note["recipe"] == {"name": "toy", "digest": load_recipe(recipe).digest}
    assert note["settings"]["contract"] == "stateless"
    assert note["settings"]["trainer.learning_rate"] == 1e-2
    assert note["seed"] == 3407
    assert note["arm"] == "none"
    assert note["traces"]["digest"] == read_pairs(traces).digest
    assert note["traces"]["episodes"] == note["traces"]["pairs"] == 6
    assert note["base"] == {"name": checkpoint.name, "digest": checkpoint_digest(checkpoint)}
    assert {"torch", "transformers", "trl", "peft"} <= note["versions"].keys()
    assert note["steps"] == len(losses(out)) == 3
    assert losses(out)[-1] < losses(out)[0]
    assert str(checkpoint.parent) not in (out / "okrt.json").read_text()


def test_nothing_but_the_checkpoint_is_left(trained: tuple[Path, Path]) -> None:
    out, recipe = trained
    assert sorted(file.name for file in out.parent.iterdir()) == ["out", recipe.name]
    assert sorted(file.name for file in out.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "log.jsonl",
        "okrt.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    targets = json.loads((out / "adapter_config.json").read_bytes())["target_modules"]
    assert targets == sorted(targets)


@pytest.mark.parametrize("template", ["", QWEN_LIKE], ids=["none", "another"])
def test_the_template_of_ours_is_saved_with_all_weights(
    run: Sft, toy: Path, tmp_path: Path, template: str
) -> None:
    base = make_checkpoint(tmp_path / "base", template=template)
    lines = [line for line in RECIPE.splitlines() if not line.startswith(("[lora", "r =", "lora"))]
    toy.write_text("\n".join(lines).replace("max_steps = 3", "max_steps = 1"))
    assert run("--base", str(base)) == 0
    out = tmp_path / "out"
    assert AutoTokenizer.from_pretrained(out).chat_template == chat_template()
    assert not (out / "adapter_config.json").exists()
    card = load_model(model_spec(str(out)), Settings(), "counting").card
    assert card.trained_under == "persistent"


def test_it_says_what_it_does(run: Sft, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--seed", "777") == 0
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert "persistent, seed 777; 6 episodes of 6 pairs" in lines[0]
    assert lines[1].startswith("sft: step 3/3  loss ")
    assert lines[2].startswith("sft: saved ")
    assert lines[3] == (
        "sft: checked as evaluation loads it: its adapter changes what the base answers"
    )
    assert len(lines) == 4


def test_help_ends_in_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sft.main(["--help"])
    out = capsys.readouterr().out
    assert "--out checkpoints/toy-stateless" in out.splitlines()[-1]
    assert "--dry-run check what needs no weights" in " ".join(out.split())


# -- what it refuses, before any weight is loaded --------------------------------------------------


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(job: finetune.Job) -> None:
        raise AssertionError("weights would be loaded")

    monkeypatch.setattr(finetune, "make_trainer", load)


@pytest.mark.usefixtures("no_loading")
def test_a_dry_run_writes_nothing(
    run: Sft, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run("--dry-run") == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "LoRA r=4" in capsys.readouterr().err


@pytest.mark.usefixtures("no_loading")
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--base", "no/where"], "base 'no/where' cannot be found"),
        (["--base", "/no where"], "base '/no where' cannot be found"),
        (["--traces", "nowhere"], "no traces folder"),
        (["--contract", "mixed"], "collect with --cue true"),
        (["--report-to", "wandb"], "--report-to wandb: not installed; install wandb's own package"),
        (["--report-to", "wandbb"], "--report-to wandbb: no such tracker; known: azure_ml, "),
    ],
)
def test_a_mistake_is_one_line(
    run: Sft, capfd: pytest.CaptureFixture[str], given: list[str], complaint: str
) -> None:
    _refused(run, capfd, complaint, *given)


def _refused(run: Sft, capfd: pytest.CaptureFixture[str], complaint: str, *given: str) -> None:
    capfd.readouterr()
    assert run(*given) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert complaint in err.splitlines()[-1]
    assert len([line for line in err.splitlines() if line.startswith("sft: ")]) == 1


@pytest.mark.usefixtures("no_loading")
def test_an_adapter_is_no_base(
    run: Sft, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    adapter = make_adapter(tmp_path / "adapter", checkpoint)
    _refused(run, capfd, "is an adapter; merge it", "--base", str(adapter))


@pytest.mark.usefixtures("no_loading")
def test_a_recipe_for_a_gpu_needs_one(
    run: Sft, toy: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    toy.write_text(RECIPE.replace('"cpu"', '"cuda"'))
    _refused(run, capfd, "no GPU is to be seen")


@pytest.mark.usefixtures("no_loading")
def test_unpaired_traces_are_refused(
    run: Sft, traces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(traces, tmp_path / "unpaired"))
    file = copy / "stateless" / "episodes.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    _refused(run, capfd, "has a trace under one contract only", "--traces", str(copy))


@pytest.mark.usefixtures("no_loading")
@pytest.mark.parametrize("what", ["file", "folder", "steps"])
def test_a_place_that_is_taken_is_left_alone(
    run: Sft, tmp_path: Path, capfd: pytest.CaptureFixture[str], what: str
) -> None:
    out = tmp_path / "out"
    taken = {"file": out, "folder": out / "mine", "steps": tmp_path / "out.steps" / "mine"}[what]
    taken.parent.mkdir(exist_ok=True)
    taken.write_text("mine")
    _refused(run, capfd, "--resume" if what == "steps" else "out: not empty")
    assert taken.read_text() == "mine"


@pytest.mark.usefixtures("no_loading")
def test_a_place_that_cannot_be_written_is_told(
    run: Sft, toy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--out", str(toy / "out")) == 2
    err = capfd.readouterr().err.splitlines()
    assert err[1:] == [
        f"sft: --out {toy / 'out'}: cannot be written: Not a directory; give another place"
    ]


# -- what it refuses once it has the weights ------------------------------------------------------


def test_a_base_that_lacks_weights_is_not_trained(
    run: Sft, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(checkpoint, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    for name in ("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"):
        del weights[name]
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    assert run("--base", str(base)) == 2
    assert capfd.readouterr().err.splitlines()[1:] == [
        f"sft: {base}: the weights lack 2 tensors, model.layers.1.mlp.down_proj.weight first; "
        "save or copy the checkpoint again"
    ]
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_cut_off_is_one_line(
    run: Sft, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(checkpoint, tmp_path / "base"))
    file = base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    assert run("--base", str(base)) == 2
    (line,) = capfd.readouterr().err.splitlines()[1:]
    assert line.startswith(f"sft: {base}: cannot be trained by this recipe: SafetensorError: ")
    assert line.endswith("; check the recipe, and that the base's files are whole")


def test_a_base_with_weights_that_are_no_numbers_is_told(
    run: Sft, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(checkpoint, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"].fill_(torch.nan)
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    assert run("--base", str(base)) == 2
    (line,) = capfd.readouterr().err.splitlines()[1:]
    assert line.startswith("sft: step 1: loss nan, before any weight was changed; check that the ")


# -- the adapter's canary --------------------------------------------------------------------------


def test_a_training_that_changed_nothing_is_told(
    run: Sft, toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toy.write_text(RECIPE.replace("1e-2", "1e-30"))
    assert run() == 2
    assert "the adapter changes nothing" in capfd.readouterr().err.splitlines()[-1]
    with pytest.raises(UsageError, match="changes nothing"):
        finetune.check_trained(tmp_path / "out")
