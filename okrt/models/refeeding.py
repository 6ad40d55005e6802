"""Decoding by transformers' `generate` over whole histories, for models that `engine` cannot serve.

Slower the longer an episode is: each turn feeds everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from okrt.models.engine import Reply, seeded_noise
from okrt.models.repetition import is_due, repeats


class Refeeding:
    """The same `advance` as `engine.Engine`, with nothing kept between turns."""

    def __init__(
        self,
        model: Any,
        stop_ids: frozenset[int],
        temperature: float,
        limit: int,
        padding: int,
        budget: int | None = None,
    ) -> None:
        """The arguments are those of `engine.Engine`; `padding` is the token to pad with."""
        self._model, self._stop_ids, self._temperature = model, stop_ids, temperature
        self._limit, self._padding, self._budget = limit, padding, budget

    def advance(self, replies: Sequence[Reply]) -> None:
        """Decodes until at least one of the replies is done, unless all are.

        Raises:
            RuntimeError: out of memory, or the model failed.
        """
        waiting = [reply for reply in replies if reply.left > 0]
        # Most room first: a batch runs no further than its fullest row can, then goes on.
        batch = sorted(waiting, key=lambda reply: -reply.left)[: self._limit]
        while len(batch) > 1 and self._budget is not None:
            if len(batch) * max(len(one.ids) + one.left for one in batch) <= self._budget:
                break
            batch.pop()
        while batch and all(reply.left > 0 for reply in batch):
            self._extend(batch)

    def _extend(self, batch: Sequence[Reply]) -> None:
        """Generates until each row has stopped or the first has no room left."""
        known = [reply.ids for reply in batch]
        width = max(len(ids) for ids in known)
        ids = torch.tensor([[self._padding] * (width - len(row)) + row for row in known])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in known])
        processors = LogitsProcessorList()
        if self._temperature > 0:
            processors.append(_SeededNoise([one.generator for one in batch], self._temperature))
        output = self._model.generate(
            input_ids=ids.to(self._model.device),
            attention_mask=mask.to(self._model.device),
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([_Loops(batch, width)]),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=min(reply.left for reply in batch),
                eos_token_id=sorted(self._stop_ids) or None,
                pad_token_id=self._padding,
            ),
        )
        for reply, new in zip(batch, output[:, width:].tolist(), strict=True):
            for token in new:
                reply.add(token, self._stop_ids)
                if reply.left <= 0:
                    break


class _SeededNoise(LogitsProcessor):
    """Makes the greatest score of each row a sample, drawn from a generator of its own."""

    def __init__(self, generators: Sequence[torch.Generator], temperature: float) -> None:
        self._generators = generators
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = zip(scores, self._generators, strict=True)
        return torch.stack([seeded_noise(row, one, self._temperature) for row, one in rows])


class _Loops(StoppingCriteria):
    """Ends the rows that repeat themselves, where `Reply.add` will find them to."""

    def __init__(self, batch: Sequence[Reply], width: int) -> None:
        self._batch, self._width = batch, width

    def __call__(
        self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **options: Any
    ) -> torch.BoolTensor:
        rows = zip(self._batch, input_ids[:, self._width :], strict=True)
        ended = [self._is_looped(reply, new) for reply, new in rows]
        return torch.tensor(ended, device=input_ids.device)  # type: ignore[return-value]

    @staticmethod
    def _is_looped(reply: Reply, new: torch.Tensor) -> bool:
        if not reply.window or not is_due(len(reply.generated) + len(new)):
            return False
        return repeats([*reply.generated, *new.tolist()], reply.window)
