"""The tiny model and its training loop: plain PyTorch, read top to bottom."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.dataset import IGNORED, Encoded

CONTEXT = 8192
OFFSET = SPREAD = 0.088
"""Standard deviations of the embeddings: of what they share, and of what each has of its own; see
`make_model`. One over the square root of the width, so that an embedding has length one. With
transformers' usual 0.02, copying came later and stayed inexact: tokens that are told apart by
nothing but their own embedding were taken for one another."""
LOOKS_BACK = (1, 2, 3)
"""How far back the auxiliary loss of the base stage asks for tokens."""
ASKED = 4
"""Of this many positions, the auxiliary loss looks at one: it is for learning to look back, and a
projection to the vocabulary costs more than a layer."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one stage of training does besides its data."""

    rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.95)
    decay: float = 0.01
    clip: float = 1.0
    warmup: int = 30
    looking_back: float = 0.0
    """Weight of the auxiliary previous-token loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right; a causal model never looks ahead, so no mask is needed."""

    input_ids: Tensor
    """int64 [rows, length]."""
    labels: Tensor
    """int64 [rows, length]; `IGNORED` where there is no loss."""


@dataclass(frozen=True, slots=True)
class Step:
    number: int
    loss: float
    """Mean over the tokens that carry loss, in nats."""
    auxiliary: float | None
    accuracy: float
    """Share of those tokens that are the most likely ones."""
    loss_tokens: int
    tokens: int
    """All that were fed, padding included."""


def make_model(
    tokenizer: PreTrainedTokenizerFast, seed: int, offset: float = OFFSET, spread: float = SPREAD
) -> Qwen3ForCausalLM:
    """Returns a random model of 3 layers and about 0.9M parameters, float32.

    Args:
        offset: standard deviation, a dimension, of one random vector that is added to every
            embedding: a direction that all tokens share, for queries and keys without biases.
        spread: standard deviation, a dimension, of what an embedding has of its own.
    """
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.02,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        embeddings = model.model.embed_tokens.weight
        embeddings *= spread / config.initializer_range
        embeddings += offset * torch.randn(config.hidden_size)
    return model


def batch_of(examples: Sequence[Encoded], padding: int) -> Batch:
    length = max(len(example.input_ids) for example in examples)
    ids = torch.full((len(examples), length), padding)
    labels = torch.full((len(examples), length), IGNORED)
    for row, example in enumerate(examples):
        ids[row, : len(example.input_ids)] = torch.tensor(example.input_ids)
        labels[row, : len(example.labels)] = torch.tensor(example.labels)
    return Batch(ids, labels)


def batches(
    examples: Sequence[Encoded], lengths: Sequence[int], rows: int, padding: int, rng: Random
) -> Iterator[Batch]:
    """Yields batches for ever: each pass in a new order, rows of like length together.

    Args:
        examples: one a task.
        lengths: by which rows are put together; given the same ones and the same `rng`, the two
            contracts' examples meet in the same batches in the same order.
        rows: of a batch; the last of a pass may have fewer.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("no examples to train on")
    while True:
        # A little noise keeps rows of like length from being the same neighbours in every pass.
        noisy = [length * rng.uniform(0.95, 1.05) for length in lengths]
        order = sorted(range(len(examples)), key=lambda place: noisy[place])
        starts = rng.sample(range(0, len(order), rows), -(-len(order) // rows))
        for start in starts:
            yield batch_of([examples[place] for place in order[start : start + rows]], padding)


def train(
    model: Qwen3ForCausalLM,
    source: Iterable[Batch],
    steps: int,
    recipe: Recipe,
    on_step: Callable[[Step], None],
    share: Callable[[], float] | None = None,
) -> None:
    """Trains in place, a step for each batch, until there are no more or `steps` are done.

    Args:
        share: of the peak rate, beside the warm-up, asked before each step; None: a half cosine
            over the steps.
    """
    heads = nn.ModuleList(
        nn.Linear(model.config.hidden_size, model.config.hidden_size, bias=False)
        for _ in LOOKS_BACK
        if recipe.looking_back
    )
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.rate, betas=recipe.betas, weight_decay=recipe.decay
    )
    model.train()
    for number, batch in zip(range(steps), source, strict=False):
        warmed = min((number + 1) / recipe.warmup, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * warmed * (share() if share else cosine(number, steps))
        loss, auxiliary, accuracy, counted = losses(model, heads, batch)
        total = loss if auxiliary is None else loss + recipe.looking_back * auxiliary
        total.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        on_step(
            Step(
                number,
                loss.item(),
                None if auxiliary is None else auxiliary.item(),
                accuracy.item(),
                counted,
                batch.input_ids.numel(),
            )
        )
    model.eval()


def losses(
    model: Qwen3ForCausalLM, heads: nn.ModuleList, batch: Batch
) -> tuple[Tensor, Tensor | None, Tensor, int]:
    """Returns loss, auxiliary loss, accuracy, and the number of tokens that carry loss."""
    output = model.model(
        input_ids=batch.input_ids, use_cache=False, output_hidden_states=len(heads) > 0
    )
    targets = batch.labels[:, 1:]
    carries = targets != IGNORED
    logits = model.lm_head(output.last_hidden_state[:, :-1][carries])
    loss = cross_entropy(logits, targets[carries])
    accuracy = (logits.argmax(-1) == targets[carries]).float().mean()
    auxiliary = None
    if len(heads):
        auxiliary = _looking_back(model, heads, output.hidden_states[1], batch.input_ids)
    return loss, auxiliary, accuracy, int(carries.sum())


def _looking_back(
    model: Qwen3ForCausalLM, heads: nn.ModuleList, hidden: Tensor, ids: Tensor
) -> Tensor:
    """Returns the loss of saying, from the first layer's output, which tokens came before."""
    first = int(torch.randint(ASKED, ()))
    places = torch.arange(max(LOOKS_BACK) + first, ids.shape[1], ASKED)
    parts = [
        cross_entropy(
            model.lm_head(head(hidden[:, places])).flatten(0, 1), ids[:, places - back].flatten()
        )
        for back, head in zip(LOOKS_BACK, heads, strict=True)
    ]
    return torch.stack(parts).mean()


def cosine(number: int, steps: int) -> float:
    """Returns the learning rate of a step as a share of the peak, falling to nothing."""
    return 0.5 * (1 + math.cos(math.pi * number / max(steps, 1)))


def keep_memory() -> None:
    """Tells glibc to keep freed memory, where there is glibc; tensors of a batch come and go.

    Doubled to tripled the speed of a step on 2 cores. Numbers: malloc.h's M_ARENA_MAX,
    M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((-8, 1), (-3, 32 << 20), (-1, 2**31 - 1), (-2, 64 << 20)):
        mallopt(option, value)
