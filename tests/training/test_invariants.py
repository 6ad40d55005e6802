"""What must not depend on how a fine-tune is run: one reference, whatever the settings.

`reference_losses.json` holds the losses of a LoRA fine-tune whose every step sees all of eight
examples (float32, CPU). Settings that promise the same arithmetic are held to it. Another processor
rounds otherwise: TOLERANCE allows for that.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl.data_utils import pack_dataset

from tests.training.sft_toys import REFERENCE, examples, job, train
from training import finetune as module
from training import saving
from training.callbacks import Progress
from training.dataset import IGNORED, Encoded
from training.finetune import as_dataset, finetune, make_trainer, trainable_digest
from training.recipe import Lora

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def fed(checkpoint: Path) -> tuple[Encoded, ...]:
    return examples(checkpoint)


@pytest.fixture(scope="module")
def reference() -> Any:
    return pytest.approx(json.loads(REFERENCE.read_text()), abs=TOLERANCE)


def _total(fed: tuple[Encoded, ...]) -> int:
    return sum(len(example.input_ids) for example in fed)


# -- one trajectory of losses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "accumulation", "checkpointing"),
    [(8, 1, False), (1, 8, False), (2, 4, False), (8, 1, True)],
)
def test_batches_and_accumulation_are_one(
    checkpoint: Path,
    tmp_path: Path,
    fed: tuple[Encoded, ...],
    reference: Any,
    batch: int,
    accumulation: int,
    checkpointing: bool,
) -> None:
    assert reference == train(
        checkpoint,
        tmp_path / "out",
        fed,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        activation_checkpointing=checkpointing,
    )


@pytest.mark.parametrize("rows", [1, 3])
def test_packed_is_padded(
    checkpoint: Path, tmp_path: Path, fed: tuple[Encoded, ...], reference: Any, rows: int
) -> None:
    """On the CPU too: without mask and cache, sdpa finds the trajectories by their positions."""
    max_length = _total(fed) if rows == 1 else _total(fed) * 2 // 5
    packed = pack_dataset(as_dataset(fed), max_length, "bfd")
    assert isinstance(packed, Dataset)
    assert len(packed) == rows
    assert reference == train(
        checkpoint,
        tmp_path / "out",
        fed,
        packing=True,
        max_length=max_length,
        gradient_accumulation_steps=rows,
    )


class _BreaksOff(Progress):
    """Stands for a process that is killed after its third step."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if state.global_step == 3:
            raise KeyboardInterrupt


def _counting(steps: list[int]) -> type[Progress]:
    """Returns a callback that notes the steps that this process trains."""

    class Counting(Progress):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                steps.append(state.global_step)

    return Counting


def _broken_off(monkeypatch: pytest.MonkeyPatch, *given: Any, **changes: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "Progress", _BreaksOff)
        with pytest.raises(KeyboardInterrupt):
            train(*given, **changes)


def test_resumed_is_straight(
    checkpoint: Path,
    tmp_path: Path,
    fed: tuple[Encoded, ...],
    reference: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    changes = {"per_device_train_batch_size": 8, "save_steps": 2}
    _broken_off(monkeypatch, checkpoint, out, fed, **changes)
    assert not out.exists()
    assert saving.last_step(out) == tmp_path / "out.steps" / "checkpoint-2"
    steps: list[int] = []
    monkeypatch.setattr(module, "Progress", _counting(steps))
    assert reference == train(checkpoint, out, fed, **changes, resume=True)
    assert steps == [3, 4]


def test_resumed_is_straight_within_an_epoch_and_with_dropout(
    checkpoint: Path,
    tmp_path: Path,
    fed: tuple[Encoded, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {
        "per_device_train_batch_size": 2,
        "save_steps": 2,
        "lora": Lora(4, 8, lora_dropout=0.2),
    }
    straight = train(checkpoint, tmp_path / "straight", fed, **changes)
    _broken_off(monkeypatch, checkpoint, tmp_path / "out", fed, **changes)
    resumed = train(checkpoint, tmp_path / "out", fed, **changes, resume=True)
    assert resumed == pytest.approx(straight, abs=1e-6)
    other = train(checkpoint, tmp_path / "other", fed, **changes, seeds=(777,))
    assert other != pytest.approx(straight, abs=1e-2)


# -- the loss --------------------------------------------------------------------------------------


def test_only_assistant_tokens_carry_loss(
    checkpoint: Path, tmp_path: Path, fed: tuple[Encoded, ...]
) -> None:
    """The first loss, before any step, is that of the base over the labels alone."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for example in fed:
            ids = torch.tensor(example.input_ids)
            surprise = -model(input_ids=ids[None]).logits[0].log_softmax(-1)
            for place, label in enumerate(example.labels):
                if label != IGNORED:
                    total += surprise[place - 1, label].item()
                    count += 1
    assert count == sum(example.loss_tokens for example in fed) < _total(fed) / 2
    (first,) = train(checkpoint, tmp_path / "out", fed, per_device_train_batch_size=8, max_steps=1)
    assert first == pytest.approx(total / count, abs=1e-4)


@pytest.mark.parametrize("packing", [False, True])
def test_what_is_trained_on_is_what_was_encoded(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: bool
) -> None:
    """Every id and label of an epoch reaches the loss once, however long the examples are."""
    fed = examples(checkpoint, 3, words=500)
    assert min(len(example.input_ids) for example in fed) > 1024  # TRL's own limit
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    counted: list[int] = []
    _watch(monkeypatch, seen, counted)
    steps = {"max_steps": -1, "num_train_epochs": 1.0}
    finetune(
        job(
            checkpoint,
            tmp_path / "out",
            fed,
            packing=packing,
            max_length=max(len(example.input_ids) for example in fed),
            **steps,
        )
    )
    assert sorted(seen) == sorted((example.input_ids, example.labels) for example in fed)
    assert sum(counted) == sum(example.loss_tokens for example in fed)


def _watch(
    monkeypatch: pytest.MonkeyPatch,
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]],
    counted: list[int],
) -> None:
    """Has each trajectory that reaches the loss written down, in order."""
    compute: Any = module.OkrtTrainer.compute_loss

    def spy(trainer: Any, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        ids, labels = inputs["input_ids"], inputs["labels"]
        if "position_ids" in inputs:
            assert "attention_mask" not in inputs
            starts = inputs["cu_seq_lens_q"].tolist()
            rows = [(0, slice(*ends)) for ends in pairwise(starts)]
        else:
            lengths = inputs["attention_mask"].sum(1).tolist()
            rows = [(row, slice(length)) for row, length in enumerate(lengths)]
        for row, span in rows:
            seen.append((tuple(ids[row, span].tolist()), tuple(labels[row, span].tolist())))
        counted.append(int((labels != IGNORED).sum()))
        assert int(options["num_items_in_batch"]) == counted[-1]
        return compute(trainer, model, inputs, *rest, **options)

    monkeypatch.setattr(module.OkrtTrainer, "compute_loss", spy)


# -- two contracts ---------------------------------------------------------------------------------


def test_two_contracts_start_from_the_same_bits_and_see_the_same_tasks(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, orders = [], []
    for contract, words in (("persistent", 1), ("stateless", 9)):
        fed = examples(checkpoint, words=words)
        seen: list[Any] = []
        with monkeypatch.context() as patch:
            _watch(patch, seen, [])
            out = tmp_path / contract
            train(checkpoint, out, fed, contract=contract)
        starts.append(json.loads((out / "okrt.json").read_bytes())["start"])
        ids = [example.input_ids for example in fed]
        orders.append([ids.index(one) for one, _ in seen])
    assert starts[0] == starts[1]
    assert orders[0] == orders[1]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize("lora", [Lora(4, 8), None])
def test_the_start_is_of_the_seed_and_of_every_trained_weight(
    checkpoint: Path, tmp_path: Path, fed: tuple[Encoded, ...], lora: Lora | None
) -> None:
    def start(seed: int) -> torch.nn.Module:
        made = make_trainer(job(checkpoint, tmp_path / "out", fed, seeds=(seed,), lora=lora))
        assert isinstance(made.model, torch.nn.Module)
        return made.model

    one, same, other = start(1), start(1), start(2)
    assert trainable_digest(one) == trainable_digest(same)
    if lora is not None:
        assert trainable_digest(one) != trainable_digest(other)
    trained = [weight for weight in one.parameters() if weight.requires_grad]
    with torch.no_grad():
        trained[-1].view(-1)[-1] += 1
    assert trainable_digest(one) != trainable_digest(same)
