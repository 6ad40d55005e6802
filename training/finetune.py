"""Fine-tunes a checkpoint on encoded trajectories: TRL's SFTTrainer, with PEFT where asked.

The trainer is fed ids and labels, and neither tokenises nor cuts nor relabels them: the loss falls
on what `training.dataset.encode` labelled. Runs on one process, or on each of several that
`torch.distributed.run` or `accelerate launch` started; the first of them prints and writes.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from okrt.errors import UsageError
from okrt.models.local import LocalModel
from okrt.models.template import chat_template
from okrt.models.weights import check_whole
from training import saving
from training.callbacks import Progress, StopDiverged, quiet, stopping
from training.dataset import Encoded
from training.recipe import Recipe

KEPT_STEPS = 2
"""Steps that are kept to resume from: while one is being saved, the one before it is whole."""


@dataclass(frozen=True, slots=True)
class Job:
    """One fine-tune, checked: nothing in it is looked up again."""

    recipe: Recipe
    base: Path
    examples: tuple[Encoded, ...]
    note: Mapping[str, Any]
    """What `okrt.json` will say; `start` (the digest of the weights that training changes, before
    it does) and `steps` are added."""
    out: Path
    resume: bool = False
    report_to: tuple[str, ...] = ()


def load_tokenizer(base: Path) -> PreTrainedTokenizerBase:
    """Returns the base's tokenizer with the chat template of ours.

    Raises:
        UsageError: it cannot be loaded.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            base, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever a loader raises
        line = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{base}: no tokenizer can be loaded: {type(error).__name__}: {line}"
        ) from error
    tokenizer.chat_template = chat_template()
    return tokenizer


def check_machine(recipe: Recipe, report_to: Sequence[str]) -> None:
    """Returns where this machine has what the recipe asks for. Loads nothing.

    Raises:
        UsageError: no GPU, no such tracker, or a package is not installed.
    """
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            'the recipe says device = "cuda" and no GPU is to be seen; run it where there is one, '
            'or write device = "cpu" into a copy of the recipe'
        )
    if recipe.quantization == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError('quantization = "nf4" needs bitsandbytes; pip install bitsandbytes')
    _check_trackers(report_to)


def _check_trackers(report_to: Sequence[str]) -> None:
    for name in sorted(set(report_to) - set(get_available_reporting_integrations())):
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UsageError(f"--report-to {name}: no such tracker; known: {known}")
        raise UsageError(f"--report-to {name}: not installed; install {name}'s own package")


def arguments(recipe: Recipe, folder: Path, report_to: Sequence[str] = ()) -> SFTConfig:
    """Returns the trainer's settings: the recipe's, and what holds for every run."""
    on_cpu = recipe.device == "cpu"
    return SFTConfig(
        **msgspec.to_builtins(recipe.trainer),
        output_dir=str(folder),
        seed=recipe.seed,
        # Nothing is cut: what is longer was refused. The packer fills rows of this length.
        max_length=recipe.max_length if recipe.trainer.packing else None,
        bf16=recipe.dtype == "bfloat16",
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        save_strategy="steps",
        save_total_limit=KEPT_STEPS,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would log 0 in the place of NaN
        disable_tqdm=True,
        report_to=list(report_to) or "none",
    )


def make_trainer(job: Job) -> OkrtTrainer:
    """Returns the trainer with its model loaded; the same job gives bitwise the same weights.

    Raises:
        UsageError: the base lacks weights.
    """
    recipe = job.recipe
    quantization = None
    if recipe.quantization == "nf4":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, recipe.dtype),
        )
    lora = None
    if recipe.lora is not None:
        lora = LoraConfig(**msgspec.to_builtins(recipe.lora), task_type="CAUSAL_LM")
    args = arguments(recipe, saving.steps_folder(job.out), job.report_to)
    trainer = OkrtTrainer(
        model=_load_model(job, args, quantization),
        args=args,
        train_dataset=as_dataset(job.examples),
        processing_class=load_tokenizer(job.base),
        peft_config=lora,
        callbacks=[Progress(), StopDiverged(job.out)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.out = job.out
    return trainer


def _load_model(job: Job, args: SFTConfig, quantization: BitsAndBytesConfig | None) -> Any:
    """Returns the base's model, where and as TRL would load it, if its weights are whole."""
    # One process spreads a model over its GPUs; each of several places its own.
    spread = args.device.type == "cuda" and args.world_size == 1
    # Weights that are trained themselves need the small digits that bf16 lacks.
    dtype = job.recipe.dtype if job.recipe.lora is not None else "float32"
    loader: Any = AutoModelForCausalLM  # its annotations know no second return value
    model, info = loader.from_pretrained(
        job.base,
        dtype=getattr(torch, dtype),
        attn_implementation=job.recipe.attention,
        quantization_config=quantization,
        device_map="auto" if spread else None,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    check_whole(job.base, info)
    return model


class OkrtTrainer(SFTTrainer):
    """TRL's trainer, but for one thing: a step that was saved whole is marked so."""

    out: Path

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with saving.one_line("saving a step", self.out):
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
            PartialState().wait_for_everyone()
            if self.is_world_process_zero():
                saving.mark_whole(self.out, self.state.global_step)


def as_dataset(examples: Sequence[Encoded]) -> Dataset:
    """Returns the columns that the trainer takes as they are."""
    return Dataset.from_dict(
        {
            "input_ids": [list(example.input_ids) for example in examples],
            "labels": [list(example.labels) for example in examples],
        }
    )


def trainable_digest(model: torch.nn.Module) -> str:
    """Returns the digest of the weights that training will change, by name and by bits."""
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return "sha256:" + digest.hexdigest()


def finetune(job: Job) -> None:
    """Trains and saves: `job.out` is there when this returns, and not before.

    Raises:
        UsageError: the base cannot be trained so, the trainer refuses a setting, or training
            diverged.
        StoreError: saving failed; the last step that was saved whole stays.
        KeyboardInterrupt: after Ctrl-C; what was trained is saved first, where one process trains.
    """
    if not (job.resume and saving.finished(job.out)):
        with quiet():
            _train(job)
    PartialState().wait_for_everyone()
    if PartialState().is_main_process:
        with saving.one_line("saving the checkpoint", job.out):
            saving.publish(job.out)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _train(job: Job) -> None:
    """Trains up to the last step, which is saved like those before it."""
    saving.make_steps(job.out)
    try:
        trainer = make_trainer(job)
    except UsageError:
        raise
    except Exception as error:  # whatever a loader raises: safetensors has errors of its own
        line = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{job.base}: cannot be trained by this recipe: {type(error).__name__}: {line}; check "
            "the recipe, and that the base's files are whole"
        ) from error
    last = saving.last_step(job.out) if job.resume else None
    if trainer.is_world_process_zero():
        start = trainable_digest(cast(torch.nn.Module, trainer.model))
        saving.begin(job.out, {**job.note, "start": start})
    PartialState().wait_for_everyone()
    if last:
        trainer._total_train_tokens = saving.tokens_of(last)  # TRL counts from 0 again
    try:
        with stopping(trainer):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"out of memory: {str(error).splitlines()[0]}; lower per_device_train_batch_size (and "
            "raise gradient_accumulation_steps as much), lower max_length, or set "
            "activation_checkpointing"
        ) from error
    if trainer.state.global_step < trainer.state.max_steps:
        raise KeyboardInterrupt


def check_trained(out: Path) -> None:
    """Loads the checkpoint as evaluation does, which tries an adapter against its base.

    Raises:
        UsageError: it cannot be loaded, or its adapter changes nothing.
    """
    gc.collect()  # the trainer's weights
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with quiet():
        LocalModel(out, temperature=0.0, max_new_tokens=1, thinking="off")
