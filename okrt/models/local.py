"""A Hugging Face checkpoint on this machine: `generate` over batches of whole histories.

Nothing is fetched: only files of the given directory are read, and no code in them is run. A
greedy reply in fp32 does not depend on the batch it was made in; a sampled one depends on the
conversation's seed, not on its neighbours. In bf16 neither is promised: kernels round by the shape
of the batch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from okrt.errors import ModelFailure, UsageError
from okrt.models.checkpoint import base_path, check_checkpoint, is_adapter, tokenizer_path
from okrt.models.rendering import (
    appends_only,
    encode_conversation,
    end_of_turn_id,
    reasoning_tokens,
    template_options,
)
from okrt.models.template import chat_template
from okrt.types import Completion, Conversation, Message, Thinking, Usage

BATCH_SIZE = 16

_CANARY = (Message("user", "Write one block that prints the numbers from 1 to 5."),)


@dataclass(slots=True)
class _Row:
    """One reply in the making."""

    prompt: tuple[int, ...]
    room: int
    """Tokens that the reply may have; 0 or less where the context is full."""
    generator: torch.Generator
    generated: list[int] = field(default_factory=list)
    """Up to and with the first stop token."""
    stopped: bool = False

    @property
    def left(self) -> int:
        return 0 if self.stopped else self.room - len(self.generated)


class LocalModel:
    """A causal language model in a directory, or an adapter of one."""

    def __init__(
        self,
        path: Path,
        *,
        temperature: float,
        max_new_tokens: int,
        thinking: Thinking,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Loads the checkpoint: in bf16 on a GPU where there is one, else in fp32 on the CPU.

        Args:
            path: what `save_pretrained` wrote, of a model with its tokenizer or of an adapter.
            temperature: 0 is greedy.
            max_new_tokens: the longest reply, in tokens.
            thinking: `off` tells the template so.
            batch_size: conversations that are continued together.

        Raises:
            UsageError: no checkpoint there, it cannot be loaded, or the adapter changes nothing.
        """
        check_checkpoint(path)
        if "PYTEST_XDIST_WORKER" in os.environ:
            torch.set_num_threads(1)  # as many processes as cores already
        self.name = path.resolve().name
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        self._template_kwargs = template_options(thinking)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = _load_tokenizer(path)
        base = _load_model(base_path(path) if is_adapter(path) else path, self._device)
        with _one_line(path):
            self._stop_ids = self._find_stop_ids(base.generation_config.eos_token_id)
            appends = appends_only(self._tokenizer, self._template_kwargs)
        # Blank, because `generate` fills what it was not told from here: top_k, penalties, ...
        base.generation_config = _generation_config()
        self._context: int | None = getattr(base.config, "max_position_embeddings", None)
        self._model = self._adapt(base, path) if is_adapter(path) else base
        self._told_of_rewriting = False
        if not appends:
            warnings.warn(
                f"{self.name}: its chat template is not prefix-preserving: it rewrites the past as "
                "turns are added. It is used as deployed",
                stacklevel=2,
            )

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """Returns one completion for each conversation, in order.

        The text is the decoded `token_ids`, special tokens included, so that the history shows what
        was generated and `okrt.models.rendering` finds the ids behind it.

        Raises:
            ModelFailure: out of memory, or the model or its template failed.
        """
        try:
            rows = [self._row(conversation) for conversation in conversations]
            # Most room first: a batch runs no further than its fullest row can, then goes on.
            waiting = sorted((row for row in rows if row.left > 0), key=lambda row: -row.left)
            while waiting:
                batch, waiting = waiting[: self._batch_size], waiting[self._batch_size :]
                self._extend(batch)
                waiting += [row for row in batch if row.left > 0]
            return [self._completion(row) for row in rows]
        except Exception as error:
            memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
            if memory or "can't allocate memory" in str(error):
                raise ModelFailure(
                    f"{self.name}: out of memory with {self._batch_size} conversations at a time; "
                    "lower --okrt-max-new-tokens, the number of workers, or LocalModel's batch_size"
                ) from error
            line = str(error).strip().partition("\n")[0]
            raise ModelFailure(f"{self.name}: {type(error).__name__}: {line}") from error

    def _row(self, conversation: Conversation) -> _Row:
        encoding = encode_conversation(
            self._tokenizer,
            conversation.messages,
            conversation.completions,
            add_generation_prompt=True,
            template_kwargs=self._template_kwargs,
        )
        if encoding.replies is None and not self._told_of_rewriting:
            self._told_of_rewriting = True
            warnings.warn(
                f"{self.name}: its chat template rewrites replies, or its tokenizer does not read "
                "texts in pieces: such histories are tokenised anew at each turn",
                stacklevel=3,
            )
        room = self._max_new_tokens
        if self._context is not None:
            room = min(room, self._context - len(encoding.ids))
        generator = torch.Generator(self._device)
        generator.manual_seed(conversation.seed & 0xFFFF_FFFF_FFFF_FFFF)
        return _Row(encoding.ids, room, generator)

    def _extend(self, batch: Sequence[_Row]) -> None:
        """Generates until each row has stopped or the first has no room left."""
        known = [[*row.prompt, *row.generated] for row in batch]
        width = max(len(ids) for ids in known)
        pad = self._tokenizer.pad_token_id
        pad = pad if pad is not None else min(self._stop_ids, default=0)
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in known])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in known])
        processors = LogitsProcessorList()
        if self._temperature > 0:
            processors.append(_SeededNoise([row.generator for row in batch], self._temperature))
        output = self._model.generate(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            logits_processor=processors,
            generation_config=_generation_config(
                do_sample=False,
                max_new_tokens=min(row.left for row in batch),
                eos_token_id=sorted(self._stop_ids) or None,
                pad_token_id=pad,
            ),
        )
        for row, new in zip(batch, output[:, width:].tolist(), strict=True):
            for token in new:
                row.generated.append(token)
                if token in self._stop_ids:
                    row.stopped = True
                    break

    def _completion(self, row: _Row) -> Completion:
        if row.room <= 0:
            return Completion("", "context", Usage(len(row.prompt), 0), ())
        ids = row.generated[:-1] if row.stopped else row.generated
        text = str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        usage = Usage(
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.generated),
            reasoning_tokens=reasoning_tokens(self._tokenizer, text),
        )
        return Completion(text, "stop" if row.stopped else "length", usage, tuple(ids))

    def _find_stop_ids(self, configured: int | list[int] | None) -> frozenset[int]:
        """Returns all ids that end a reply: the model's, the tokenizer's, the template's."""
        ids = [configured] if isinstance(configured, int) else list(configured or [])
        own = [
            self._tokenizer.eos_token_id,
            end_of_turn_id(self._tokenizer, self._template_kwargs),
        ]
        return frozenset([*ids, *(token for token in own if token is not None)])

    def _adapt(self, base: Any, path: Path) -> Any:
        """Returns the base with its adapter.

        Raises:
            UsageError: the adapter cannot be loaded, or changes nothing.
        """
        with _one_line(path), _quiet():
            model = PeftModel.from_pretrained(base, str(path), local_files_only=True).eval()
        prompt = encode_conversation(
            self._tokenizer,
            _CANARY,
            add_generation_prompt=True,
            template_kwargs=self._template_kwargs,
        )
        ids = torch.tensor([prompt.ids], device=self._device)
        with torch.inference_mode():
            adapted = model(input_ids=ids).logits.log_softmax(-1)
            with model.disable_adapter():
                plain = model(input_ids=ids).logits.log_softmax(-1)
        if torch.equal(adapted, plain):
            raise UsageError(
                f"{path}: the adapter changes nothing: log-probabilities with and without it are "
                f"equal on top of {base_path(path)}; give another adapter, or the base itself"
            )
        return model


class _SeededNoise(LogitsProcessor):
    """Makes the greatest score a sample at the temperature: logits / temperature + Gumbel noise.

    Each row draws from a generator of its own, so that a reply does not depend on the batch.
    Source: the Gumbel-max trick (Maddison, Tarlow, Minka, arXiv 1411.0030, section 2).
    """

    def __init__(self, generators: Sequence[torch.Generator], temperature: float) -> None:
        self._generators = generators
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() / self._temperature - noise.log()


def _generation_config(**settings: Any) -> GenerationConfig:
    return GenerationConfig(**settings)


def _load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    with _one_line(path):
        tokenizer = AutoTokenizer.from_pretrained(
            tokenizer_path(path), local_files_only=True, trust_remote_code=False
        )
    if tokenizer.chat_template is None:
        tokenizer.chat_template = chat_template()
    return tokenizer


def _load_model(path: Path, device: torch.device) -> Any:
    with _one_line(path), _quiet():
        loader: Any = AutoModelForCausalLM  # its annotations know no second return value
        model, info = loader.from_pretrained(
            path,
            dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    # transformers fills what is missing with random numbers and goes on.
    if missing := sorted(info["missing_keys"]):
        raise UsageError(
            f"{path}: the weights lack {len(missing)} tensors, {missing[0]} first; save or copy "
            "the checkpoint again"
        )
    return model.to(device).eval()


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turns whatever a loader raises into one line that names the checkpoint."""
    try:
        yield
    except Exception as error:
        line = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{path}: the checkpoint cannot be loaded: {type(error).__name__}: {line}; check that "
            "its files are whole and that the installed transformers knows the architecture"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the loaders' progress bars off the terminal."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
