"""What is loaded for a checkpoint; adapters of one base share its weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from jinja2 import TemplateError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from okrt.errors import UsageError
from okrt.models.checkpoint import base_path, is_adapter, tokenizer_path, weight_bytes
from okrt.models.template import chat_template

SHARE = 0.8
"""Of a GPU's free memory, what weights may take; the rest is for the cache and what is computed."""

_bases: WeakValueDictionary[tuple[Any, ...], Weights] = WeakValueDictionary()
"""Bases that adapters of this process were put on, as long as one of them is in use."""


class Weights:
    """A model in memory, and the adapters that were put on it."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Loads it: in bf16 on a GPU, else in fp32; on several GPUs if one is too small.

        Raises:
            UsageError: it cannot be loaded.
        """
        self.model = _load_model(path, device)
        self.eos: int | list[int] | None = self.model.generation_config.eos_token_id
        # Blank, because `generate` fills what it was not told from here: top_k, penalties, ...
        self.model.generation_config = GenerationConfig()
        self._numbers = count()

    def put(self, adapter: Path) -> str:
        """Puts an adapter on the model and returns the name by which it is used.

        Raises:
            UsageError: it cannot be loaded.
        """
        with _quiet():
            from peft import PeftModel  # takes seconds, and only adapters need it

        name = f"adapter-{next(self._numbers)}"
        with one_line(adapter), _quiet():
            if isinstance(self.model, PeftModel):
                try:
                    self.model.load_adapter(str(adapter), name, local_files_only=True)
                except BaseException:
                    if name in self.model.peft_config:
                        self.model.delete_adapter(name)
                    raise
            else:
                self.model = PeftModel.from_pretrained(
                    self.model, str(adapter), adapter_name=name, local_files_only=True
                )
        self.model.eval()
        return name

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Has the model answer with this adapter alone; None: there is none on it."""
        if name is not None and self.model.active_adapter != name:
            self.model.set_adapter(name)
        yield


def load_weights(path: Path, base: Path | None, device: torch.device) -> tuple[Weights, str | None]:
    """Returns the weights of a checkpoint, and the name of its adapter if it is one.

    Adapters of one base share its weights, as long as its files stay as they are.

    Raises:
        UsageError: they cannot be loaded.
    """
    if not is_adapter(path):
        return Weights(path, device), None
    below = base_path(path, base).resolve()
    files = sorted((file, file.stat().st_mtime_ns) for file in below.iterdir() if file.is_file())
    key = (below, str(device), *files)
    weights = _bases.get(key) or Weights(below, device)
    name = weights.put(path)
    _bases[key] = weights  # only now: a base whose first adapter failed is in an unknown state
    return weights, name


def load_tokenizer(path: Path, base: Path | None) -> PreTrainedTokenizerBase:
    """Returns the tokenizer, with our chat template if it has none.

    Raises:
        UsageError: it cannot be loaded.
    """
    with one_line(path):
        tokenizer = AutoTokenizer.from_pretrained(
            tokenizer_path(path, base), local_files_only=True, trust_remote_code=False
        )
    if tokenizer.chat_template is None:
        tokenizer.chat_template = chat_template()
    return tokenizer


def is_spread(weights: int, free: Sequence[int]) -> bool:
    """Whether weights of so many bytes are spread over the GPUs that have so many bytes free: there
    are several, and the first cannot hold them."""
    return len(free) > 1 and weights > SHARE * free[0]


def _load_model(path: Path, device: torch.device) -> Any:
    gpus = range(torch.cuda.device_count() if device.type == "cuda" else 0)
    free = [torch.cuda.mem_get_info(gpu)[0] for gpu in gpus]
    spread = is_spread(weight_bytes(path), free)
    with one_line(path), _quiet():
        loader: Any = AutoModelForCausalLM  # its annotations know no second return value
        model, info = loader.from_pretrained(
            path,
            dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **({"device_map": "auto"} if spread else {}),
        )
    check_whole(path, info)
    return (model if spread else model.to(device)).eval()


def check_whole(path: Path, info: Mapping[str, Any]) -> None:
    """Takes what `from_pretrained` says of its loading: transformers fills what is missing with
    random numbers and goes on.

    Raises:
        UsageError: the checkpoint lacks weights.
    """
    if missing := sorted(info["missing_keys"]):
        raise UsageError(
            f"{path}: the weights lack {len(missing)} tensors, {missing[0]} first; save or copy "
            "the checkpoint again"
        )


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Turns whatever a loader raises into one line that names the checkpoint."""
    try:
        yield
    except TemplateError as error:
        raise UsageError(
            f"{path}: its chat template cannot render an episode's messages (user, assistant, user "
            f"or tool): {_cause(error)}"
        ) from error
    except Exception as error:
        raise UsageError(
            f"{path}: the checkpoint cannot be loaded: {_cause(error)}; check that its files are "
            "whole and that the installed transformers knows the architecture"
        ) from error


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the loaders' progress bars off the terminal, and that bitsandbytes, which peft imports,
    lacks kernels that nothing here uses."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    bitsandbytes = logging.getLogger("bitsandbytes")
    level = bitsandbytes.level
    bitsandbytes.setLevel(logging.ERROR)
    try:
        yield
    finally:
        bitsandbytes.setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()
