"""The tiny model's loop against TRL's SFTTrainer and against bare forward and backward passes.

    python -m benchmarks.training

The same model, the same rows of random ids, one thread. The three take turns; printed are medians
of CPU microseconds a token and their ratios to the bare passes, which do nothing else: no
optimizer, no clipping, no log, loss over every token.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from random import Random
from statistics import median

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3ForCausalLM
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from training.dataset import Encoded
from training.tiny.loop import Recipe, batch_of, batches, keep_memory, make_model, train
from training.tiny.vocabulary import make_tokenizer

SEED = 1


def examples_of(rows: int, length: int, vocabulary: int) -> list[Encoded]:
    """Returns rows of random ids that all carry loss."""
    rng = Random("benchmark")
    made = [tuple(rng.choices(range(3, vocabulary), k=length)) for _ in range(rows)]
    return [Encoded(ids, ids) for ids in made]


def tiny(tokenizer: PreTrainedTokenizerFast, examples: list[Encoded], rows: int) -> float:
    """Returns the CPU seconds of one pass of the tiny loop."""
    model = make_model(tokenizer, SEED)
    lengths = [len(example.input_ids) for example in examples]
    source = batches(examples, lengths, rows, int(tokenizer.pad_token_id), Random("order"))
    return timed(lambda: train(model, source, len(examples) // rows, Recipe(), lambda step: None))


def bare(tokenizer: PreTrainedTokenizerFast, examples: list[Encoded], rows: int) -> float:
    """Returns the CPU seconds of forward and backward passes over the same rows."""
    model = make_model(tokenizer, SEED)
    padding = int(tokenizer.pad_token_id)
    starts = range(0, len(examples), rows)
    fed = [batch_of(examples[start : start + rows], padding) for start in starts]

    def passes() -> None:
        for batch in fed:
            model(input_ids=batch.input_ids, labels=batch.labels, use_cache=False).loss.backward()
            model.zero_grad()

    return timed(passes)


def trl(tokenizer: PreTrainedTokenizerFast, examples: list[Encoded], rows: int) -> float:
    """Returns the CPU seconds of one epoch of SFTTrainer, its set-up left out."""
    model: Qwen3ForCausalLM = make_model(tokenizer, SEED)
    columns = {
        "input_ids": [list(example.input_ids) for example in examples],
        "labels": [list(example.labels) for example in examples],
    }
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=rows,
            num_train_epochs=1,
            max_length=None,
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,  # else it computes each forward pass twice
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_dict(columns),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        return timed(trainer.train)


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.training --rounds 3 --steps 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--steps", type=int, default=12, help="a round (default: 12)")
    parser.add_argument("--rows", type=int, default=3, help="of a batch (default: 3)")
    parser.add_argument("--length", type=int, default=1024, help="of a row (default: 1024)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    tokenizer = make_tokenizer([])
    examples = examples_of(options.steps * options.rows, options.length, len(tokenizer))
    tokens = len(examples) * options.length
    loops = {"bare forward and backward": bare, "training.tiny": tiny, "TRL SFTTrainer": trl}
    spent: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, loop in loops.items():
            spent[name].append(partial(loop, tokenizer, examples, options.rows)())
            print(f"{name}: {spent[name][-1] / tokens * 1e6:.1f}", file=sys.stderr)
    floor = median(spent["bare forward and backward"])
    print(f"{tokens:,} tokens in {options.steps} steps; median of {options.rounds} rounds")
    for name, times in spent.items():
        took = median(times)
        print(f"  {name:<26} {took / tokens * 1e6:7.1f} us CPU a token  {took / floor:5.2f}x bare")


if __name__ == "__main__":
    main()
