"""What a real checkpoint answers, run for real on the CPU."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from okrt.models.engine import Engine, seeded_noise
from okrt.models.local import LocalModel
from okrt.types import Completion, Conversation, Message, Model
from tests.checkpoints import QWEN_LIKE, make_checkpoint, make_parrot
from tests.models.local_models import ask, changed, load, texts

PROMPTS = ["go", "list the items\n" * 9, "", "12 34 56", "x = [1, 2, 3]\nprint(x)" * 4]
REPLY = """I look at every item.
```python
import json
seen = {name: json.loads(inspect(name)) for name in json.loads(list_items())[:4]}
print(seen)
finish()
```"""


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LocalModel:
    return load(checkpoint)


@pytest.fixture(scope="module")
def greedy(model: LocalModel) -> list[Completion]:
    return model.generate(ask(*PROMPTS))


def test_released_it_holds_no_cache_and_says_the_same(
    checkpoint: Path, greedy: list[Completion]
) -> None:
    model = load(checkpoint)
    model.answer_some(ask(*PROMPTS))
    engine = model._decoder
    assert isinstance(engine, Engine)
    assert engine.held > 0
    model.release()
    assert engine.held == 0
    assert model.generate(ask(*PROMPTS)) == greedy


# -- what is generated -----------------------------------------------------------------------------


def test_greedy_equals_transformers_generate_one_by_one(
    checkpoint: Path, greedy: list[Completion]
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    plain: Any = AutoModelForCausalLM.from_pretrained(checkpoint)
    for prompt, completion in zip(PROMPTS, greedy, strict=True):
        chat = [{"role": "user", "content": prompt}]
        fed = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
        end = tokenizer.eos_token_id
        ids = plain.generate(
            **fed, do_sample=False, max_new_tokens=24, eos_token_id=end, pad_token_id=end
        )
        generated = ids[0, fed["input_ids"].shape[1] :].tolist()
        assert completion.token_ids == tuple(token for token in generated if token != end)
        assert completion.finish_reason == ("stop" if generated[-1] == end else "length")
        assert completion.usage.completion_tokens == len(generated)
        assert completion.usage.prompt_tokens == fed["input_ids"].shape[1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_batch_changes_no_reply(tmp_path: Path, seed: int, temperature: float) -> None:
    path = make_checkpoint(tmp_path / "one", seed=seed)
    one, two, five = (
        texts(load(path, temperature=temperature, batch_size=size).generate(ask(*PROMPTS)))
        for size in (1, 2, 5)
    )
    assert one == two == five
    assert len(set(one)) == len(PROMPTS)


def test_a_sampled_reply_depends_on_its_seed_alone(checkpoint: Path) -> None:
    model = load(checkpoint, temperature=1.0)
    (alone,) = model.generate(ask("go", seed=7))
    (other,) = model.generate(ask("go", seed=8))
    crowd = model.generate([*ask("another", "prompts", seed=1), *ask("go", seed=7)])
    assert crowd[-1] == alone
    assert other.text != alone.text


def test_noise_makes_the_greatest_score_a_sample_at_the_temperature() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    temperature, rows = 0.7, 20_000
    generators = (torch.Generator().manual_seed(seed) for seed in range(rows))
    noisy = [seeded_noise(logits, generator, temperature) for generator in generators]
    drawn = torch.stack(noisy).argmax(-1)
    expected = (logits / temperature).softmax(-1)
    shares = drawn.bincount(minlength=4) / rows
    error = (expected * (1 - expected) / rows).sqrt()
    assert ((shares - expected).abs() < 4 * error).all()


def test_sampling_defaults_of_the_checkpoint_do_not_apply(
    copy: Path, greedy: list[Completion]
) -> None:
    changed(
        copy / "generation_config.json",
        do_sample=True,
        temperature=5.0,
        top_k=2,
        repetition_penalty=9.0,
        max_new_tokens=3,
        min_new_tokens=2,
        num_beams=2,
    )
    assert load(copy).generate(ask(*PROMPTS)) == greedy


def test_the_text_is_what_the_ids_read_as(checkpoint: Path, greedy: list[Completion]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    for completion in greedy:
        assert completion.token_ids is not None
        assert tokenizer.decode(list(completion.token_ids)) == completion.text


# -- where it ends ---------------------------------------------------------------------------------


def test_a_reply_cut_by_the_limit_says_so_and_counts_its_tokens(greedy: list[Completion]) -> None:
    completion = greedy[0]
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == 24
    assert completion.token_ids is not None
    assert len(completion.token_ids) == 24


def test_stops_at_the_stop_tokens_of_the_generation_config(
    copy: Path, greedy: list[Completion]
) -> None:
    ids = greedy[0].token_ids
    assert ids is not None
    stop = next(token for token in ids if token != ids[0])
    place = ids.index(stop)
    changed(copy / "generation_config.json", eos_token_id=[stop, 1])
    completion = load(copy).generate(ask(*PROMPTS))[0]
    assert completion.finish_reason == "stop"
    assert completion.token_ids == ids[:place]
    assert completion.usage.completion_tokens == place + 1


def test_stops_at_the_end_of_a_turn_as_the_template_writes_it(
    copy: Path, greedy: list[Completion]
) -> None:
    """The end token of a base model is often not the one that its chat template writes."""
    tokenizer = AutoTokenizer.from_pretrained(copy)
    ids = greedy[0].token_ids
    assert ids is not None
    stop = next(token for token in ids if token != ids[0])
    word = str(tokenizer.convert_ids_to_tokens(stop))
    tokenizer.add_special_tokens({"additional_special_tokens": [word]})
    tokenizer.chat_template = str(tokenizer.chat_template).replace(
        "eos_token if eos_token else '<|im_end|>'", f"'{tokenizer.decode([stop])}'"
    )
    tokenizer.save_pretrained(copy)
    (completion,) = load(copy).generate(ask("go"))
    assert completion.finish_reason == "stop"


def test_a_prompt_that_leaves_no_room_is_answered_by_context(tmp_path: Path) -> None:
    model = load(make_checkpoint(tmp_path / "short", context=64))
    fits, full = model.generate(ask("go", "word " * 200))
    assert fits.finish_reason == "length"
    assert (full.text, full.finish_reason) == ("", "context")
    assert full.usage.prompt_tokens is not None
    assert full.usage.prompt_tokens > 64
    assert full.usage.completion_tokens == 0


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_reply_gets_what_room_there_is(tmp_path: Path, batch_size: int) -> None:
    wide = make_checkpoint(tmp_path / "wide", context=4096)
    narrow = shutil.copytree(wide, tmp_path / "narrow")
    changed(narrow / "config.json", max_position_embeddings=64)
    prompts = ["go", "1234 " * 4, "1234 " * 8]
    cut = load(narrow, max_new_tokens=60, batch_size=batch_size).generate(ask(*prompts))
    whole = load(wide, max_new_tokens=60).generate(ask(*prompts))
    rooms = []
    for short, full in zip(cut, whole, strict=True):
        assert short.usage.prompt_tokens is not None
        rooms.append(64 - short.usage.prompt_tokens)
        assert full.token_ids is not None
        assert short.token_ids == full.token_ids[: rooms[-1]]
        assert short.finish_reason == "length"
    assert len(set(rooms)) == 3


# -- templates and turns ---------------------------------------------------------------------------


def test_a_second_turn_is_fed_the_ids_that_the_first_generated(
    model: LocalModel, checkpoint: Path
) -> None:
    """The random replies are no ids that a tokenizer would give, so that counts tell."""
    (asked,) = ask("go")
    (first,) = model.generate([asked])
    messages = (*asked.messages, Message("assistant", first.text), Message("user", "on"))
    (second,) = model.generate([Conversation(messages, (first,))])
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    between = "<|im_end|>\n<|im_start|>user\non<|im_end|>\n<|im_start|>assistant\n"
    new = len(tokenizer.encode(between, add_special_tokens=False))
    assert first.token_ids is not None
    assert first.usage.prompt_tokens is not None
    assert second.usage.prompt_tokens == first.usage.prompt_tokens + len(first.token_ids) + new


def test_a_checkpoint_without_a_template_gets_ours(
    tmp_path: Path, greedy: list[Completion]
) -> None:
    path = make_checkpoint(tmp_path / "bare", template="")
    assert not (path / "chat_template.jinja").exists()
    assert load(path).generate(ask(*PROMPTS)) == greedy


def test_the_template_of_the_checkpoint_is_used_as_deployed_with_a_warning(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "qwen", template=QWEN_LIKE)
    with pytest.warns(UserWarning, match="qwen: its chat template is not prefix-preserving"):
        off = load(path, thinking="off")
    with warnings.catch_warnings(action="error"):
        keep = load(path, thinking="keep")
    counts = [model.generate(ask("go"))[0].usage.prompt_tokens for model in (off, keep)]
    assert counts[0] is not None
    assert counts[1] is not None
    assert counts[0] > counts[1]  # the empty think block


def test_a_rewritten_reply_is_warned_of_once(tmp_path: Path) -> None:
    model = load(make_checkpoint(tmp_path / "qwen", template=QWEN_LIKE), thinking="keep")
    reply = Message("assistant", "<think>hm</think>done")
    asked = Conversation((Message("user", "go"), reply, Message("user", "on")))
    with pytest.warns(UserWarning, match="tokenised anew at each turn") as warned:
        model.generate([asked, asked])
    assert len([w for w in warned if "anew" in str(w.message)]) == 1
    with warnings.catch_warnings(action="error"):
        model.generate([asked])


def test_a_parrot_says_its_reply_at_any_length_and_turn(tmp_path: Path) -> None:
    model: Model = load(make_parrot(tmp_path / "parrot", REPLY), max_new_tokens=150)
    completions = model.generate(ask("go", "a long prompt, " * 200))
    assert [(c.text, c.finish_reason) for c in completions] == [(REPLY, "stop")] * 2
    turn = (Message("assistant", REPLY), Message("user", "{'item_1': 3}"))
    (again,) = model.generate(
        [Conversation((Message("user", "go"), *turn), tuple(completions[:1]))]
    )
    assert again.text == REPLY
    assert model.name == "parrot"
