"""A Hugging Face checkpoint on this machine.

Nothing is fetched: only files of the given directory are read, and no code in them is run. A
greedy reply in fp32 does not depend on the batch it was made in, unless its two best tokens are as
good as equal; a sampled one depends on the conversation's seed, not on its neighbours. In bf16
neither is promised: kernels round by the shape of the batch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from okrt.errors import ModelFailure, UsageError
from okrt.models.checkpoint import base_path, check_checkpoint, is_adapter, tokenizer_path
from okrt.models.engine import Engine, Reply, can_serve
from okrt.models.refeeding import Refeeding
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
        base.generation_config = GenerationConfig()
        self._context: int | None = getattr(base.config, "max_position_embeddings", None)
        self._model = self._adapt(base, path) if is_adapter(path) else base
        self._decoder = self._make_decoder()
        self._unfinished: dict[int, tuple[Conversation, Reply]] = {}
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
        with self._one_failure():
            replies = [self._reply(conversation) for conversation in conversations]
            for number, reply in enumerate(replies):
                reply.owner = (reply.owner, number)  # several may be of one episode
            while any(reply.left > 0 for reply in replies):
                self._decoder.advance(replies)
            return [self._completion(reply) for reply in replies]

    def answer_some(self, conversations: Sequence[Conversation]) -> list[tuple[int, Completion]]:
        """Returns at least one of the completions, each with its conversation's place.

        The others are gone on with when the same objects are passed again. What is known of an
        episode is kept as long as each call passes a conversation of it.

        Raises:
            ModelFailure: out of memory, or the model or its template failed.
        """
        with self._one_failure():
            held = self._unfinished
            self._unfinished = {
                id(one): held.get(id(one)) or (one, self._reply(one)) for one in conversations
            }
            replies = [self._unfinished[id(one)][1] for one in conversations]
            if all(reply.left > 0 for reply in replies):
                self._decoder.advance(replies)
            return [
                (place, self._completion(reply))
                for place, reply in enumerate(replies)
                if reply.left <= 0
            ]

    @contextmanager
    def _one_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
            if memory or "can't allocate memory" in str(error):
                raise ModelFailure(
                    f"{self.name}: out of memory with {self._batch_size} conversations at a time; "
                    "lower --okrt-max-new-tokens, the number of workers, or LocalModel's batch_size"
                ) from error
            line = str(error).strip().partition("\n")[0]
            raise ModelFailure(f"{self.name}: {type(error).__name__}: {line}") from error

    def _make_decoder(self) -> Engine | Refeeding:
        if can_serve(self._model):
            return Engine(self._model, self._stop_ids, self._temperature, self._batch_size)
        warnings.warn(
            f"{self.name}: its cache is not of plain keys and values, so that the whole history is "
            "fed again at each turn",
            stacklevel=3,
        )
        pad = self._tokenizer.pad_token_id
        return Refeeding(
            self._model, self._stop_ids, self._temperature, self._batch_size,
            pad if pad is not None else min(self._stop_ids, default=0),
        )  # fmt: skip

    def _reply(self, conversation: Conversation) -> Reply:
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
        return Reply(conversation.episode_id, encoding.ids, room, generator)

    def _completion(self, reply: Reply) -> Completion:
        if reply.room <= 0:
            return Completion("", "context", Usage(len(reply.prompt), 0), ())
        ids = reply.generated[:-1] if reply.stopped else reply.generated
        text = str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        usage = Usage(
            prompt_tokens=len(reply.prompt),
            completion_tokens=len(reply.generated),
            reasoning_tokens=reasoning_tokens(self._tokenizer, text),
        )
        return Completion(text, "stop" if reply.stopped else "length", usage, tuple(ids))

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
