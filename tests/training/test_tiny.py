"""The tiny model's parts: tokens, documents, the loop, and how pasting is judged."""

from __future__ import annotations

import ast
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3ForCausalLM

from okrt.models.template import chat_template
from okrt.types import Completion, Turn, Usage
from training.dataset import IGNORED, Encoded
from training.tiny.base import Curriculum
from training.tiny.documents import DOES, LEVELS, NAMES, chat_document, line_document
from training.tiny.loop import Recipe, Step, batch_of, batches, cosine, losses, make_model, train
from training.tiny.play import bad_pastes
from training.tiny.tune import save
from training.tiny.vocabulary import make_tokenizer

TEXTS = [
    "```python\nseen = {'item_ab12': 3.1, 'item_00ff': 9.9}\n"
    "for item in todo[:5]:\n    take_item(item)\n```"
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer([*TEXTS, *[" ".join(NAMES)] * 3])


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return [str(tokenizer.decode([one])) for one in ids]


@given(
    st.text()
    | st.lists(st.sampled_from(["item_", "ab12", "3.1", " ", "\n", "'", "é"])).map("".join)
)
def test_any_text_goes_to_ids_and_back(text: str) -> None:
    made = make_tokenizer(TEXTS)
    assert made.decode(made.encode(text, add_special_tokens=False)) == text


def test_what_is_copied_is_few_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "seen = {'item_ab12': 3.1, 'item_00ff': 12.0}"
    assert pieces(tokenizer, text) == [
        "seen", " = {'", "item_", "ab", "12", "': 3.1", ", '", "item_", "00", "ff", "': 12.0", "}",
    ]  # fmt: skip
    assert tokenizer.get_chat_template() == chat_template()


@given(st.integers(), st.sampled_from(range(len(LEVELS))))
def test_lines_are_met_twice_and_only_copies_carry_loss(seed: int, level: int) -> None:
    newline, words = 0, range(1, 50)
    document = line_document(Random(seed), level, words, newline)
    half = len(document.input_ids) // 2
    first, second = document.input_ids[:half], document.input_ids[half:]

    def lines(ids: tuple[int, ...]) -> list[list[str]]:
        return sorted(line.split() for line in " ".join(map(str, ids)).split(" 0"))

    assert lines(first) == lines(second)
    assert set(document.labels[:half]) == {IGNORED}
    starts = [0, *(place + 1 for place, one in enumerate(second[:-1]) if one == newline)]
    for place, (token, label) in enumerate(zip(second, document.labels[half:], strict=True)):
        assert label == (IGNORED if place in starts else token)


@given(seed=st.integers(), turns=st.integers(1, 6), pastes=st.booleans())
def test_a_chat_pastes_what_was_shown_last_or_nothing(
    seed: int, turns: int, pastes: bool, tokenizer: PreTrainedTokenizerFast
) -> None:
    document = chat_document(Random(seed), tokenizer, turns, pastes)
    text = str(tokenizer.decode(list(document.input_ids)))
    shown: list[str] = []
    for part in text.split("<|im_start|>")[1:]:
        role, _, content = part.partition("\n")
        if role == "user":
            shown = [line for line in content.splitlines() if " = " in line][-2:]
            shown[-1] = shown[-1].removesuffix("<|im_end|>")
        else:
            block = content.partition("```python\n")[2].partition("\n```")[0]
            ast.parse(block)
            assert (block.splitlines()[:2] == shown) == pastes
            assert ("'item_" in block) == pastes
    assert all(word not in text for word in ("inspect(", "take_item(", "finish(", "Error"))
    learnt = tokenizer.decode([label for label in document.labels if label != IGNORED])
    assert learnt.count("```python") == turns
    assert "<|im_start|>" not in learnt


def test_every_deed_is_python() -> None:
    for does in DOES:
        ast.parse(does.format(d="a", l="b", k=3))


def test_a_level_begins_when_the_last_is_learnt(tokenizer: PreTrainedTokenizerFast) -> None:
    curriculum = Curriculum(tokenizer, Random("x"))
    source = iter(curriculum)
    longest = 0
    for _ in range(600):
        longest = max(longest, next(source).input_ids.shape[1])
        curriculum.learn(1.0)
    assert curriculum.level == len(LEVELS) - 1
    assert longest >= LEVELS[-1][0]
    stuck = Curriculum(tokenizer, Random("x"))
    for batch in islice(stuck, 100):
        assert batch.input_ids.shape[1] <= 2 * LEVELS[0][0]
        stuck.learn(0.5)
    assert stuck.level == 0


EXAMPLES = [Encoded(tuple(range(1, n + 2)), (IGNORED, *range(2, n + 2))) for n in range(3, 64, 2)]


def test_a_pass_holds_each_example_once_in_the_same_batches_for_both() -> None:
    longer = [
        Encoded((*one.input_ids, 5), (*one.labels, IGNORED)) for one in EXAMPLES
    ]  # fmt: skip
    lengths = [len(one.input_ids) for one in EXAMPLES]
    rounds = -(-len(EXAMPLES) // 3)
    passes = [
        [
            [int((row != 0).sum()) for row in batch.input_ids]
            for batch in islice(batches(some, lengths, 3, 0, Random("o")), 2 * rounds)
        ]
        for some in (EXAMPLES, longer)
    ]
    for one, other in zip(*passes, strict=True):
        assert [n + 1 for n in one] == other
    first, second = passes[0][:rounds], passes[0][rounds:]
    assert sorted(n for batch in first for n in batch) == sorted(lengths)
    assert sorted(n for batch in second for n in batch) == sorted(lengths)
    assert first != second
    with pytest.raises(ValueError, match="no examples"):
        next(batches([], [], 3, 0, Random("o")))


def test_padding_changes_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model(tokenizer, seed=1)
    heads = torch.nn.ModuleList()
    short, long = EXAMPLES[0], EXAMPLES[-1]
    alone = [losses(model, heads, batch_of([one], 0)) for one in (short, long)]
    both = losses(model, heads, batch_of([short, long], 0))
    tokens = sum(one[3] for one in alone)
    assert both[3] == tokens == short.loss_tokens + long.loss_tokens
    mean = sum(one[0] * one[3] for one in alone) / tokens
    torch.testing.assert_close(both[0], mean)


def trained(tokenizer: PreTrainedTokenizerFast, seed: int, recipe: Recipe) -> list[Step]:
    model = make_model(tokenizer, seed)
    steps: list[Step] = []
    source = batches(EXAMPLES, [len(one.labels) for one in EXAMPLES], 3, 0, Random("s"))
    train(model, source, 30, recipe, steps.append)
    return steps


def test_training_learns_and_a_seed_is_a_model(tokenizer: PreTrainedTokenizerFast) -> None:
    recipe = Recipe(warmup=3, looking_back=0.5)
    steps = trained(tokenizer, 1, recipe)
    assert steps[-1].loss < 0.5 * steps[0].loss
    assert steps[-1].auxiliary is not None
    assert steps[0].auxiliary is not None
    assert steps[-1].auxiliary < steps[0].auxiliary
    assert steps == trained(tokenizer, 1, recipe)
    assert steps[0].loss != trained(tokenizer, 2, recipe)[0].loss
    assert trained(tokenizer, 1, replace(recipe, looking_back=0.0))[0].auxiliary is None


def test_the_offset_is_one_direction_of_all_embeddings(tokenizer: PreTrainedTokenizerFast) -> None:
    plain, shifted = (
        make_model(tokenizer, 1, offset).model.embed_tokens.weight.detach()
        for offset in (0.0, 0.02)
    )
    difference = shifted - plain
    torch.testing.assert_close(difference, difference[:1].expand_as(difference))
    assert 0.01 < float(difference[0].std()) < 0.04
    assert 0.08 < float(plain.std()) < 0.1


def test_the_rate_falls_to_nothing() -> None:
    rates = [cosine(number, 100) for number in range(101)]
    assert (rates[0], rates[50], rates[100]) == pytest.approx((1.0, 0.5, 0.0))
    assert rates == sorted(rates, reverse=True)


def test_the_curriculum_ends_so_many_batches_after_the_last_level_began(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    curriculum = Curriculum(tokenizer, Random("x"), last=3)
    top = len(LEVELS) - 1
    shares: list[float] = []
    for _ in curriculum:
        if curriculum.level == top:
            shares.append(curriculum.share())
        else:
            assert curriculum.share() == 1.0
            curriculum.level += 1
    assert shares == pytest.approx([0.7, 0.4, 0.1])


def test_a_saved_model_is_the_model(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = make_model(tokenizer, 3)
    save(model, tokenizer, tmp_path)
    again = Qwen3ForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([[3, 4, 5]])
    torch.testing.assert_close(again(ids).logits, model(ids).logits)
    read = AutoTokenizer.from_pretrained(tmp_path)
    chat = [{"role": "user", "content": TEXTS[0]}]
    assert read.apply_chat_template(chat) == tokenizer.apply_chat_template(chat)


def turn(code: str, observation: str = "") -> Turn:
    return Turn(Completion("", "stop", Usage()), "", code, None, observation)


SHOWN = turn("print(1)", "seen = {'item_a': 1.0}\nrest = ['item_b']")


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("seen = {'item_a': 1.0}\nrest = ['item_b']\ngo()", 0),
        ("go(seen, rest)\nrest = rest[5:]\nseen = {}", 0),
        ("seen = {'item_a': 1.1}\nrest = ['item_b']", 1),
        ("seen = {'item_a': 1.0, 'item_b': 1.0}\nrest = ['item_c']", 2),
        ("others = ['item_b']", 1),
    ],
)
def test_a_paste_is_good_if_it_was_shown_last(code: str, bad: int) -> None:
    assert bad_pastes([SHOWN, turn(code)]) == bad
    later = turn("go()", "rest = ['item_c']")
    stale = "rest = ['item_b']"
    assert bad_pastes([SHOWN, later, turn(stale)]) == 1
