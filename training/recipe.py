"""A recipe: how a checkpoint is fine-tuned, read from a TOML file and checked key by key.

The names in `[trainer]` are those of TRL's `SFTConfig`, the names in `[lora]` those of PEFT's
`LoraConfig`: both sections are handed over as they are. Between contracts a recipe differs in one
value, `contract`. Imports neither torch nor transformers, so that a mistake is told in an instant.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from okrt.errors import UsageError
from training.dataset import Match, Regime

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The adapter (`peft.LoraConfig`)."""

    r: Count
    lora_alpha: Count
    lora_dropout: Fraction = 0.0
    target_modules: Literal["all-linear"] | list[str] = "all-linear"


class Trainer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is handed to `trl.SFTConfig`."""

    learning_rate: Positive
    per_device_train_batch_size: Count = 1
    gradient_accumulation_steps: Count = 1
    num_train_epochs: Positive = 1.0
    max_steps: int = -1
    """Optimizer steps; -1: as many as `num_train_epochs` comes to, which is not looked at else."""
    optim: Literal["adamw_torch", "adamw_torch_fused", "paged_adamw_8bit"] = "adamw_torch"
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Below 1: a fraction of all steps; else a number of steps."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_grad_norm: Positive = 1.0
    packing: bool = False
    """Several trajectories in a row of `max_length` tokens; none sees another."""
    activation_checkpointing: bool = False
    save_steps: Count = 50
    """Optimizer steps between two saves that `--resume` can go on from."""

    def __post_init__(self) -> None:
        if self.max_steps < 1 and self.max_steps != -1:
            raise ValueError(
                f"max_steps = {self.max_steps}: give at least 1, or -1 for num_train_epochs"
            )


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a fine-tune but the traces."""

    base: str
    """A checkpoint's directory, or a model's id on the Hugging Face Hub."""
    contract: Regime
    seeds: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(min_length=1)]
    """One run uses the first; the others are what a study repeats it with."""
    max_length: Count
    """Tokens of the longest trajectory that is taken."""
    trainer: Trainer
    lora: Lora | None = None
    """None: all weights are trained."""
    match: Match = "episodes"
    device: Literal["cuda", "cpu"] = "cuda"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """What is computed in; weights that are trained themselves are held in float32."""
    quantization: Literal["none", "nf4"] = "none"
    """nf4: the base's weights in 4 bits, double-quantised (QLoRA, arXiv 2305.14314, section 3)."""
    attention: Literal["sdpa", "flash_attention_2", "flash_attention_3"] = "sdpa"

    def __post_init__(self) -> None:
        if self.quantization != "none" and self.lora is None:
            raise ValueError("quantized weights cannot be trained themselves: add [lora]")

    @property
    def seed(self) -> int:
        return self.seeds[0]


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """A recipe as a run uses it, and the file it came from."""

    name: str
    digest: str
    """Digest of the file's bytes: the same whatever contract, seed and base it is run with."""
    recipe: Recipe


def load_recipe(
    path: Path,
    *,
    contract: Regime | None = None,
    seed: int | None = None,
    base: str | None = None,
) -> NamedRecipe:
    """Returns the recipe in a file, with the values given here in place of the file's own.

    Args:
        path: as it is, or from the folder `training/`.
        contract: of the traces that are trained on.
        seed: the one seed of the run.
        base: a directory or an id.

    Raises:
        UsageError: there is no such file, or a key is unknown, missing or of another type; the
            message names the key and the file.
    """
    file = _find(path)
    try:
        content = file.read_bytes()
        recipe = msgspec.convert(tomllib.loads(content.decode("utf-8")), Recipe)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: cannot be read as a recipe: {error}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{file}: {_plain(str(error))}") from error
    given: dict[str, Any] = {"contract": contract, "base": base}
    given["seeds"] = (recipe.seed if seed is None else seed,)
    changes = {key: value for key, value in given.items() if value is not None}
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return NamedRecipe(file.stem, digest, msgspec.structs.replace(recipe, **changes))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Returns the recipe as flat JSON data, `trainer.learning_rate` and the like."""
    flat: dict[str, Any] = {}
    for key, value in msgspec.to_builtins(recipe).items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": content for inner, content in value.items()}
        else:
            flat[key] = value
    return flat


def _find(path: Path) -> Path:
    home = Path(__file__).parent
    for candidate in (path, home / path):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(f"recipes/{file.name}" for file in home.glob("recipes/*.toml")))
    raise UsageError(f"{path}: no such recipe; give a TOML file, or one of {known}")


def _plain(message: str) -> str:
    """Returns a message of msgspec's in the words of TOML."""
    text, _, place = message.partition(" - at `")
    section = place.removesuffix("`").removeprefix("$").removeprefix(".")
    if text.startswith("Invalid enum value"):
        text += f" (known: {', '.join(_choices(section))})"
    text = text.replace("Object contains unknown field", "unknown key")
    text = text.replace("Object missing required field", "missing key")
    return f"{text[:1].lower()}{text[1:]}" + (f" at {section}" if section else "")


def _choices(section: str) -> list[str]:
    """Returns what may stand at a key of a closed set, `trainer.optim` or the like."""
    table, _, key = section.rpartition(".")
    owner = {"trainer": Trainer, "lora": Lora}.get(table, Recipe)
    return [value for value in get_args(get_type_hints(owner)[key]) if isinstance(value, str)]
