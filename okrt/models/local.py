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

import torch

from okrt.errors import ModelFailure, UsageError
from okrt.models.checkpoint import base_path, check_checkpoint, strange_base
from okrt.models.engine import Engine, Reply, can_serve
from okrt.models.refeeding import Refeeding
from okrt.models.rendering import (
    appends_only,
    encode_conversation,
    end_of_turn_id,
    offers,
    reasoning_tokens,
    template_options,
)
from okrt.models.weights import load_tokenizer, load_weights, one_line
from okrt.types import Completion, Conversation, FunctionTool, Message, Thinking, Usage

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
        kv_tokens: int | None = None,
        stop_repetition: int | None = None,
        base: Path | None = None,
        function: FunctionTool | None = None,
    ) -> None:
        """Loads the checkpoint: in bf16 on a GPU where there is one, else in fp32 on the CPU.

        Args:
            path: what `save_pretrained` wrote, of a model with its tokenizer or of an adapter.
            temperature: 0 is greedy.
            max_new_tokens: the longest reply, in tokens.
            thinking: `off` tells the template so.
            batch_size: conversations that are continued together.
            kv_tokens: tokens that the cache of keys and values holds at most, counted as
                conversations times the longest; beyond it conversations wait. One that is larger is
                continued alone.
            stop_repetition: tokens that must repeat themselves for a reply to be stopped
                (`okrt.models.repetition`); None and 0: it never is.
            base: stands in for the base that an adapter records.
            function: what the chat template is told that the model may call.

        Raises:
            UsageError: no checkpoint there, it cannot be loaded, it answers with NaN, the adapter
                changes nothing, or the chat template knows no such calls.
        """
        check_checkpoint(path, base)
        if told := strange_base(path, base):
            warnings.warn(told, stacklevel=2)
        if "PYTEST_XDIST_WORKER" in os.environ:
            torch.set_num_threads(1)  # as many processes as cores already
        self.name = path.resolve().name
        self.concurrency = batch_size
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens
        self._kv_tokens, self._window = kv_tokens, stop_repetition or None
        self._template_kwargs = template_options(thinking, function)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = load_tokenizer(path, base)
        if function is not None:
            self._check_calls(path, function)
        self._weights, self._adapter = load_weights(path, base, self._device)
        with one_line(path):
            self._stop_ids = self._find_stop_ids(self._weights.eos)
            appends = appends_only(self._tokenizer, self._template_kwargs)
        self._context: int | None = getattr(
            self._weights.model.config, "max_position_embeddings", None
        )
        self._check_weights(path, base)
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

    def release(self) -> None:
        """Gives back the memory of the cache; the weights stay."""
        self._unfinished.clear()
        if isinstance(self._decoder, Engine):
            self._decoder.clear()

    @contextmanager
    def _one_failure(self) -> Iterator[None]:
        try:
            with self._weights.using(self._adapter):
                yield
        except Exception as error:
            memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
            if memory or "can't allocate memory" in str(error):
                raise ModelFailure(
                    f"{self.name}: out of memory with {self.concurrency} conversations at a time; "
                    "lower --okrt-max-new-tokens, --okrt-concurrency, --okrt-kv-tokens or the "
                    "number of workers"
                ) from error
            line = str(error).strip().partition("\n")[0]
            raise ModelFailure(f"{self.name}: {type(error).__name__}: {line}") from error

    def _make_decoder(self) -> Engine | Refeeding:
        model, limit, budget = self._weights.model, self.concurrency, self._kv_tokens
        if can_serve(model):
            return Engine(model, self._stop_ids, self._temperature, limit, budget)
        warnings.warn(
            f"{self.name}: its cache is not of plain keys and values, so that the whole history is "
            "fed again at each turn",
            stacklevel=3,
        )
        pad = self._tokenizer.pad_token_id
        return Refeeding(
            model, self._stop_ids, self._temperature, limit,
            pad if pad is not None else min(self._stop_ids, default=0), budget,
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
        return Reply(conversation.episode_id, encoding.ids, room, generator, self._window)

    def _completion(self, reply: Reply) -> Completion:
        if reply.room <= 0:
            return Completion("", "context", Usage(len(reply.prompt), 0), ())
        ids = reply.generated[:-1] if reply.stopped else reply.generated
        text = str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        usage = Usage(
            prompt_tokens=len(reply.prompt),
            completion_tokens=len(reply.generated),
            reasoning_tokens=reasoning_tokens(self._tokenizer, text),
            cached_tokens=reply.cached,
        )
        looped = reply.looped if self._window else None
        return Completion(text, "stop" if reply.stopped else "length", usage, tuple(ids), looped)

    def _find_stop_ids(self, configured: int | list[int] | None) -> frozenset[int]:
        """Returns all ids that end a reply: the model's, the tokenizer's, the template's."""
        ids = [configured] if isinstance(configured, int) else list(configured or [])
        own = [
            self._tokenizer.eos_token_id,
            end_of_turn_id(self._tokenizer, self._template_kwargs),
        ]
        return frozenset([*ids, *(token for token in own if token is not None)])

    def _check_calls(self, path: Path, function: FunctionTool) -> None:
        """Raises UsageError unless the chat template has calls of the function as they are read."""
        with one_line(path):
            offered = offers(self._tokenizer, function)
        if not offered:
            raise UsageError(
                f"{path}: its chat template passes over tools, or has calls in another form than "
                "<tool_call>{JSON}</tool_call>; use --okrt-format fenced"
            )

    def _check_weights(self, path: Path, base: Path | None) -> None:
        """Raises UsageError if the weights answer with NaN, or the adapter changes nothing."""
        model, known = self._weights.model, {}
        with one_line(path), torch.inference_mode(), self._weights.using(self._adapter):
            if self._adapter is not None:
                with model.disable_adapter():
                    known[base_path(path, base)] = self._canary()
            known[path] = self._canary()
        for place, found in known.items():
            # -inf is a token that is never said; NaN also follows from +inf, or -inf for all tokens
            if found.isnan().any():
                raise UsageError(
                    f"{place}: answers with NaN: its weights are damaged, or its training diverged"
                )
        if self._adapter is not None and torch.equal(*known.values()):
            raise UsageError(
                f"{path}: the adapter changes nothing: log-probabilities with and without it are "
                f"equal on top of {base_path(path, base)}; give another adapter, or the base itself"
            )

    def _canary(self) -> torch.Tensor:
        """Returns the log-probabilities after each token of a short prompt."""
        prompt = encode_conversation(
            self._tokenizer,
            _CANARY,
            add_generation_prompt=True,
            template_kwargs=self._template_kwargs,
        )
        ids = torch.tensor([prompt.ids[: self._context]], device=self._device)
        logits: torch.Tensor = self._weights.model(input_ids=ids).logits
        return logits.log_softmax(-1)
