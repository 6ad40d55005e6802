"""Decoding by transformers' `generate` over whole histories, for models that `engine` cannot serve.

Slower the longer an episode is: each turn feeds everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from okrt.models.engine import Reply, seeded_noise


class Refeeding:
    """The same `advance` as `engine.Engine`, with nothing kept between turns."""

    def __init__(
        self,
        model: Any,
        stop_ids: frozenset[int],
        temperature: float,
        limit: int,
        padding: int,
    ) -> None:
        self._model, self._stop_ids, self._temperature = model, stop_ids, temperature
        self._limit, self._padding = limit, padding

    def advance(self, replies: Sequence[Reply]) -> None:
        """Decodes until at least one of the replies is done, unless all are.

        Raises:
            RuntimeError: out of memory, or the model failed.
        """
        waiting = [reply for reply in replies if reply.left > 0]
        # Most room first: a batch runs no further than its fullest row can, then goes on.
        batch = sorted(waiting, key=lambda reply: -reply.left)[: self._limit]
        while batch and all(reply.left > 0 for reply in batch):
            self._extend(batch)

    def _extend(self, batch: Sequence[Reply]) -> None:
        """Generates until each row has stopped or the first has no room left."""
        known = [[*reply.prompt, *reply.generated] for reply in batch]
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
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=min(reply.left for reply in batch),
                eos_token_id=sorted(self._stop_ids) or None,
                pad_token_id=self._padding,
            ),
        )
        for reply, new in zip(batch, output[:, width:].tolist(), strict=True):
            for token in new:
                reply.generated.append(token)
                if token in self._stop_ids:
                    reply.stopped = True
                    break


class _SeededNoise(LogitsProcessor):
    """Makes the greatest score of each row a sample, drawn from a generator of its own."""

    def __init__(self, generators: Sequence[torch.Generator], temperature: float) -> None:
        self._generators = generators
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = zip(scores, self._generators, strict=True)
        return torch.stack([seeded_noise(row, one, self._temperature) for row, one in rows])
