"""Small real checkpoints, made in a second or a few: what tests run where users give a directory.

The model has the Qwen3 architecture and random weights, the tokenizer is byte-level (any text goes
to ids and back) and trained here. `make_parrot` trains the model to answer anything with one fixed
reply, so that tests can run a real block.
"""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from okrt.models.template import chat_template

torch.set_num_threads(1)  # tests share few cores, and small models gain nothing from more

END_OF_TURN = "<|im_end|>"
_SPECIAL = ["<|endoftext|>", "<|im_start|>", END_OF_TURN, "<think>", "</think>"]
_CORPUS = """\
A block may make at most 6 tool calls. The items, their weights and their values are shown.
You work in a Python interpreter. Write one block; what it prints is what you see next.
```python
import json
for item in json.loads(list_items()):
    print(item, inspect(item))
take_item("item_0a1b2c")
finish()
```
NameError: name 'items' is not defined
user assistant tool_response observation (no output) Traceback (most recent call last):
"""

QWEN_LIKE = """\
{%- set ns = namespace(last_user=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set ns.last_user = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and loop.index0 > ns.last_user %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
    {{- content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
"""Thinks as Qwen3's template does: an empty think block before the last reply, none before earlier
ones, and written thinking is dropped."""


HERMES = """\
{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' }}{{ tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools>\\n\\n<tool_call>\\n{"name": <name>, "arguments": <json>}\\n</tool_call>' }}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""Lists functions and writes calls and their answers as Qwen2.5's template does."""


def make_tokenizer(
    *, template: str | None = None, corpus: str = "", vocabulary: int = 512
) -> PreTrainedTokenizerFast:
    """Returns a byte-level tokenizer; `template` None is the template of ours, "" is none."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_CORPUS, *[corpus] * 9], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = chat_template() if template is None else template or None
    return fast


def make_checkpoint(
    path: Path,
    seed: int = 0,
    *,
    template: str | None = None,
    context: int = 8192,
    scale: float = 0.3,
) -> Path:
    """Saves a random model of 2 layers and its tokenizer in `path` and returns it.

    Args:
        path: made if it is not there.
        seed: of the weights.
        template: the chat template; None is ours, "" is none.
        context: the longest sequence the model takes, in tokens.
        scale: standard deviation of the weights; large enough for texts that vary.
    """
    tokenizer = make_tokenizer(template=template)
    model = _random_model(len(tokenizer), seed, context, scale)
    _save(model, tokenizer, path)
    return path


def make_adapter(path: Path, base: Path, *, zero: bool = False, seed: int = 0) -> Path:
    """Saves a LoRA adapter of the model in `base` in `path` and returns it.

    Args:
        path: made if it is not there.
        base: recorded in the adapter as given.
        zero: whether the adapter changes nothing, as one that was never trained.
        seed: of the adapter's weights.
    """
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.zero_() if zero else weight.normal_(0.0, 0.3, generator=generator)
    model.save_pretrained(str(path))
    return path


def make_parrot(path: Path, reply: str, *, context: int = 16_384) -> Path:
    """Saves in `path` a model that answers any conversation with `reply`, and returns it.

    It sees a few tokens back only, so that a short training carries to any length of prompt.

    Raises:
        ValueError: the reply was not learned.
    """
    tokenizer = make_tokenizer(corpus=reply, vocabulary=2048)
    model = _random_model(len(tokenizer), 0, context, 0.05, window=24)
    _overfit(model, tokenizer, reply)
    _save(model, tokenizer, path)
    return path


def _random_model(
    vocabulary: int, seed: int, context: int, scale: float, window: int | None = None
) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=scale,
        use_sliding_window=window is not None,
        sliding_window=window,
        max_window_layers=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)


def _overfit(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, reply: str) -> None:
    """Trains until the reply is the surest answer to random prompts."""
    head = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
    answer = tokenizer.encode(reply + END_OF_TURN, add_special_tokens=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    tail = torch.tensor(head + answer).expand(8, -1)
    for _ in range(600):
        noise = torch.randint(len(_SPECIAL), len(tokenizer), (8, 32), generator=generator)
        ids = torch.cat([noise, tail], dim=1)
        logits = model(input_ids=ids).logits[:, -len(answer) - 1 : -1]
        targets = ids[:, -len(answer) :]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        surest = logits.softmax(-1).gather(-1, targets[..., None]).min().item()
        if surest > 0.9:
            return
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    raise ValueError(f"the reply of {len(answer)} tokens was not learned: {reply!r}")


def _save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
