"""Fine-tunes so small that tests can afford many of them.

`python -m tests.training.sft_toys` writes the reference losses anew; `test_invariants.py` says what
they are.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from okrt.types import Completion, Trajectory, Turn, Usage
from tests.checkpoints import make_checkpoint, make_tokenizer
from training.dataset import Encoded, encode
from training.finetune import Job, finetune, load_tokenizer
from training.recipe import Lora, Recipe, Trainer
from training.saving import LOG_FILE

REFERENCE = Path(__file__).with_name("reference_losses.json")
STEPS = 4


def trajectory(*replies: str, observation: str = "saw it") -> Trajectory:
    turns = [
        Turn(Completion(reply, "stop", Usage()), reply, None, None, f"{observation} {place}")
        for place, reply in enumerate(replies)
    ]
    return Trajectory("Take the items.", tuple(turns), "max_turns")


def examples(base: Path, count: int = 8, *, words: int = 1) -> tuple[Encoded, ...]:
    """Returns examples of which no two have the same length; `words` makes them longer."""
    tokenizer = load_tokenizer(base)
    return tuple(
        encode(trajectory("take " * (number + words), f"item {number}"), tokenizer)
        for number in range(count)
    )


def recipe(**changes: Any) -> Recipe:
    """Returns a recipe of ours with changes; those named like a trainer's setting go there."""
    inner = {key: changes.pop(key) for key in tuple(changes) if key in Trainer.__struct_fields__}
    settings: dict[str, Any] = {
        "base": "toy",
        "contract": "persistent",
        "seeds": (3407,),
        "max_length": 4096,
        "device": "cpu",
        "dtype": "float32",
        "lora": Lora(r=4, lora_alpha=8),
    }
    trainer: dict[str, Any] = {"learning_rate": 1e-2, "max_steps": STEPS, "save_steps": STEPS}
    return Recipe(**{**settings, **changes}, trainer=Trainer(**{**trainer, **inner}))


def job(base: Path, out: Path, fed: tuple[Encoded, ...], **changes: Any) -> Job:
    resume = changes.pop("resume", False)
    made = recipe(**changes)
    note = {"trained_under": made.contract, "tiers": ["micro"]}
    return Job(made, base, fed, note, out, resume)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / LOG_FILE).read_text().splitlines()]


def train(base: Path, out: Path, fed: tuple[Encoded, ...], **changes: Any) -> list[float]:
    """Trains and returns the loss of each step."""
    finetune(job(base, out, fed, **changes))
    return losses(out)


def make_llama(path: Path) -> Path:
    """Saves a small random model of the Llama architecture, with a tokenizer that has no template
    of its own, in `path` and returns it."""
    tokenizer = make_tokenizer(template="")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        base = make_checkpoint(Path(folder) / "base")
        found = train(base, Path(folder) / "out", examples(base), per_device_train_batch_size=8)
    REFERENCE.write_text(json.dumps(found, indent=2) + "\n")
