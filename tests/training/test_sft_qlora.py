"""QLoRA on the CPU: the base's weights in 4 bits, the adapter of what is then evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import PeftModel

from okrt.specs import load_model, model_spec
from okrt.types import Conversation, Message, Settings
from tests.training.sft_toys import examples, job, train
from training.finetune import make_trainer
from training.recipe import Lora

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nf4_learns_and_okrt_loads_the_adapter(
    checkpoint: Path, tmp_path: Path, dtype: str
) -> None:
    fed = examples(checkpoint)
    changes = {
        "quantization": "nf4",
        "dtype": dtype,
        "packing": True,
        "activation_checkpointing": True,
        "lora": Lora(8, 16, 0.05, SEVEN),
    }
    losses = train(checkpoint, tmp_path / "out", fed, **changes)
    assert losses[-1] < losses[0] - 1
    settings = Settings(temperature=0.0, max_new_tokens=4)
    agent = load_model(model_spec(str(tmp_path / "out")), settings, "opaque_knapsack")
    assert agent.card.trained_under == "persistent"
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_bytes())
    assert config["target_modules"] == sorted(SEVEN)
    (reply,) = agent.model.generate([Conversation((Message("user", "Take the items."),))])
    assert reply.token_ids


def test_the_base_is_in_four_bits_and_quantized_twice(checkpoint: Path, tmp_path: Path) -> None:
    made = make_trainer(
        job(checkpoint, tmp_path / "out", examples(checkpoint, 2), quantization="nf4")
    )
    assert isinstance(made.model, PeftModel)
    frozen = [module for module in made.model.modules() if isinstance(module, Linear4bit)]
    assert len(frozen) == 14
    for module in frozen:
        state = cast(Any, module.weight).quant_state
        assert state.quant_type == "nf4"
        assert state.nested
        assert not module.weight.requires_grad
    trained = [weight for weight in made.model.parameters() if weight.requires_grad]
    assert {weight.dtype for weight in trained} == {torch.bfloat16}
    assert len(trained) == 28
