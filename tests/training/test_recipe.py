"""Recipes are checked key by key, and differ between contracts in one value."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from peft import LoraConfig
from trl.trainer.sft_config import SFTConfig

from okrt.errors import UsageError
from training.dataset import Regime
from training.finetune import arguments
from training.recipe import Lora, Trainer, load_recipe, settings_of

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
SHIPPED = sorted(file.name for file in RECIPES.glob("*.toml"))
SMALL = """\
base = "b"
contract = "persistent"
seeds = [1]
max_length = 100
[trainer]
learning_rate = 1e-4
"""


def _write(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", SHIPPED)
def test_contracts_differ_in_one_value(name: str, tmp_path: Path) -> None:
    def effective(contract: Regime) -> dict[str, object]:
        return settings_of(load_recipe(Path("recipes") / name, contract=contract).recipe)

    one, other = effective("persistent"), effective("stateless")
    assert one.keys() == other.keys()
    assert {key for key in one if one[key] != other[key]} == {"contract"}


def test_the_trainer_is_told_the_same_whatever_the_contract(tmp_path: Path) -> None:
    told = [
        arguments(load_recipe(Path("recipes/toy.toml"), contract=contract).recipe, tmp_path)
        for contract in ("persistent", "stateless")
    ]
    assert dataclasses.asdict(told[0]) == dataclasses.asdict(told[1])


def test_the_published_hyperparameters() -> None:
    named = load_recipe(RECIPES / "qwen3-8b.toml")
    found = settings_of(named.recipe)
    assert named.name == "qwen3-8b"
    assert found["quantization"] == "nf4"
    assert (found["lora.r"], found["lora.lora_alpha"], found["lora.lora_dropout"]) == (
        64,
        128,
        0.05,
    )
    assert len(found["lora.target_modules"]) == 7
    assert found["max_length"] == 16_384
    published = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 16,
        "num_train_epochs": 3,
        "lr_scheduler_type": "cosine",
        "learning_rate": 1e-4,
        "warmup_steps": 0.03,
        "weight_decay": 0.01,
        "packing": True,
        "activation_checkpointing": True,
    }
    assert {key: found[f"trainer.{key}"] for key in published} == published
    text = (RECIPES / "qwen3-8b.toml").read_text()
    assert "seeds = [3407, 777, 1337]" in text
    assert named.recipe.seed == 3407


def test_every_key_is_one_of_the_libraries() -> None:
    assert set(Trainer.__struct_fields__) <= set(SFTConfig.__dataclass_fields__)
    assert set(Lora.__struct_fields__) <= set(LoraConfig.__dataclass_fields__)


def test_what_is_given_stands_in_place_of_the_files(tmp_path: Path) -> None:
    file = _write(tmp_path, SMALL.replace("[1]", "[1, 2]"))
    plain = load_recipe(file)
    given = load_recipe(file, contract="mixed", seed=5, base="other")
    assert plain.recipe.seeds == (1,)
    assert (given.recipe.contract, given.recipe.seeds, given.recipe.base) == (
        "mixed",
        (5,),
        "other",
    )
    assert given.digest == plain.digest
    assert load_recipe(_write(tmp_path, SMALL)).digest != plain.digest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SMALL + "lr = 1\n", "unknown key `lr` at trainer"),
        ("learning_rate = 1\n" + SMALL, "unknown key `learning_rate`"),
        (SMALL.replace("1e-4", '"high"'), "expected `float`, got `str` at trainer.learning_rate"),
        (SMALL.replace("1e-4", "-1.0"), "expected `float` > 0.0 at trainer.learning_rate"),
        (
            SMALL.replace("persistent", "reset"),
            "invalid enum value 'reset' (known: persistent, stateless, mixed) at contract",
        ),
        (
            SMALL + 'optim = "sgd"\n',
            "'sgd' (known: adamw_torch, adamw_torch_fused, paged_adamw_8bit) at trainer.optim",
        ),
        ('match = "token"\n' + SMALL, "'token' (known: episodes, tokens) at match"),
        (SMALL.replace("[1]", "[]"), "length >= 1 at seeds"),
        (SMALL.replace('base = "b"\n', ""), "missing key `base`"),
        (SMALL + "[lora]\nr = 0\nlora_alpha = 1\n", "expected `int` >= 1 at lora.r"),
        ('quantization = "nf4"\n' + SMALL, "quantized weights cannot be trained themselves"),
        (SMALL + "max_steps = 0\n", "max_steps = 0: give at least 1, or -1 for num_train_epochs"),
        (SMALL + "max_steps = -2\n", "max_steps = -2: give at least 1, or -1"),
        ("base = [", "cannot be read as a recipe"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_file(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = _write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_recipe(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"nope\.toml: no such recipe.*recipes/qwen3-8b\.toml"):
        load_recipe(Path("recipes/nope.toml"))


def test_settings_are_json_data() -> None:
    settings = settings_of(load_recipe(Path("recipes/toy.toml")).recipe)
    assert msgspec.json.decode(msgspec.json.encode(settings)).keys() == settings.keys()
