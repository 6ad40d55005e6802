"""What training sees is what evaluation fed and generated."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from okrt.models.local import LocalModel
from okrt.models.rendering import encode_conversation, template_options
from okrt.models.template import chat_template
from okrt.types import Completion, Conversation, Trajectory, Turn, Usage, render
from tests.checkpoints import QWEN_LIKE, make_checkpoint, make_tokenizer
from training.dataset import IGNORED, encode


def _turn(completion: Completion, observation: str) -> Turn:
    return Turn(completion, completion.text, None, None, observation)


def _play(path: Path, observations: list[str]) -> tuple[Trajectory, list[tuple[int, ...]]]:
    """Returns an episode of the model in `path` and the ids that were fed at each turn."""
    model = LocalModel(path, temperature=0.0, max_new_tokens=16, thinking="off")
    tokenizer = AutoTokenizer.from_pretrained(path)
    turns: list[Turn] = []
    fed = []
    for observation in observations:
        messages = tuple(render("Take the items.", turns))
        completions = tuple(turn.completion for turn in turns)
        encoding = encode_conversation(
            tokenizer,
            messages,
            completions,
            add_generation_prompt=True,
            template_kwargs=template_options("off"),
        )
        (completion,) = model.generate([Conversation(messages, completions)])
        assert completion.usage.prompt_tokens == len(encoding.ids)
        fed.append(encoding.ids)
        turns.append(_turn(completion, observation))
    return Trajectory("Take the items.", tuple(turns), "max_turns"), fed


def _generated(turn: Turn) -> tuple[int, ...]:
    assert turn.completion.token_ids is not None
    return turn.completion.token_ids


def test_one_example_holds_all_that_was_fed_and_generated(checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    trajectory, fed = _play(checkpoint, ["12 items\n", "(no output)", ""])
    ids = encode(trajectory, tokenizer).input_ids
    for turn, seen in zip(trajectory.turns, fed, strict=True):
        before = (*seen, *_generated(turn), tokenizer.eos_token_id)
        assert ids[: len(before)] == before
    assert tokenizer.decode(list(ids[len(before) :])) == "\n"


@pytest.mark.filterwarnings("ignore:.*not prefix-preserving")
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_template_that_rewrites_the_past_is_met_at_the_last_turn(
    tmp_path: Path, turns: int
) -> None:
    path = make_checkpoint(tmp_path / "qwen", template=QWEN_LIKE)
    tokenizer = AutoTokenizer.from_pretrained(path)
    observations = ["12 items\n", "(no output)"][: turns - 1]
    trajectory, fed = _play(path, [*observations, ""])
    ids = encode(trajectory, tokenizer).input_ids
    before = (*fed[-1], *_generated(trajectory.turns[-1]), tokenizer.eos_token_id)
    assert ids[: len(before)] == before


def _scripted(*replies: str) -> Trajectory:
    turns = [
        _turn(Completion(reply, "stop", Usage()), f"saw {place}")
        for place, reply in enumerate(replies)
    ]
    return Trajectory("Take the items.", tuple(turns), "max_turns")


@pytest.mark.parametrize("template", [None, QWEN_LIKE])
def test_loss_is_on_replies_and_their_end_tokens_alone(template: str | None) -> None:
    tokenizer = make_tokenizer(template=template)
    example = encode(_scripted("first", "second\n", ""), tokenizer)
    carrying = [label for label in example.labels if label != IGNORED]
    assert tokenizer.decode(carrying) == "first<|im_end|>second\n<|im_end|><|im_end|>"
    assert len(example.labels) == len(example.input_ids)
    for label, token in zip(example.labels, example.input_ids, strict=True):
        assert label in (IGNORED, token)


def test_agrees_with_the_markers_of_the_template() -> None:
    tokenizer = make_tokenizer()
    trajectory = _scripted("first", "second", "third")
    example = encode(trajectory, tokenizer)
    chat = [{"role": m.role, "content": m.content} for m in trajectory.messages()]
    marked: Any = tokenizer.apply_chat_template(
        chat, return_dict=True, return_assistant_tokens_mask=True
    )
    assert list(example.input_ids) == marked["input_ids"]
    mask = [label != IGNORED for label in example.labels]
    assert mask == [bool(flag) for flag in marked["assistant_masks"]]


def test_a_long_trajectory_is_refused_not_cut() -> None:
    tokenizer = make_tokenizer()
    length = len(encode(_scripted("first"), tokenizer).input_ids)
    assert len(encode(_scripted("first"), tokenizer, max_length=length).input_ids) == length
    with pytest.raises(ValueError, match=f"has {length} tokens, the limit is {length - 1}"):
        encode(_scripted("first"), tokenizer, max_length=length - 1)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content | trim }}<|im_end|>{% endfor %}",
        "{% for m in messages %}{{ m.content }}\n{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ '' if loop.last else eos_token }}{% endfor %}",
    ],
    ids=["rewrites replies", "no end token", "no last end token"],
)
def test_a_template_that_cannot_be_trained_on_is_refused(template: str) -> None:
    tokenizer = make_tokenizer(template=template)
    trajectory = Trajectory(
        "go", (_turn(Completion("reply\n", "stop", Usage()), ""),), ending="finished"
    )
    with pytest.raises(ValueError, match=r"train with okrt\.models\.template\.chat_template"):
        encode(trajectory, tokenizer)


def test_thinking_reaches_the_template() -> None:
    template = "{{ enable_thinking }}{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"
    tokenizer = make_tokenizer(template=template)
    off = encode(_scripted("first"), tokenizer, thinking="off").input_ids
    keep = encode(_scripted("first"), tokenizer, thinking="keep").input_ids
    assert str(tokenizer.decode(list(off))).startswith("False")
    assert str(tokenizer.decode(list(keep))).startswith("True")


SPACE = "\u2581"
NEWLINE_APART = pre_tokenizers.Sequence(
    [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Metaspace(prepend_scheme="first")]
)
LLAMA_2 = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])


def _spaced_tokenizer(
    *,
    before: pre_tokenizers.PreTokenizer | None = None,
    normalizer: normalizers.Normalizer | None = None,
    merges: tuple[tuple[str, str], ...] = (),
) -> PreTrainedTokenizerFast:
    """A tokenizer that puts a space before a text, as SentencePiece does; a token is a character
    but for the merges."""
    special = ["<|im_start|>", "<|im_end|>"]
    signs = [chr(code) for code in range(33, 127)] + ["\n", SPACE]
    pieces = [*special, *signs, *("".join(pair) for pair in merges)]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, list(merges)))
    if before is not None:
        backend.pre_tokenizer = before
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    backend.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = chat_template()
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        _spaced_tokenizer(before=NEWLINE_APART),
        _spaced_tokenizer(before=NEWLINE_APART, merges=(("f", "i"), ("fi", "r"), (SPACE, "0"))),
        _spaced_tokenizer(normalizer=LLAMA_2),
        _spaced_tokenizer(normalizer=LLAMA_2, merges=((SPACE, "l"), (SPACE, "\n"), ("r", "s"))),
    ],
    ids=["characters", "merges", "llama-2", "llama-2 with merges"],
)
def test_a_tokenizer_that_puts_a_space_before_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    replies = ["first", "second line\n\n``` 0\n", " ", "0"]
    trajectory = _scripted(*replies)
    example = encode(trajectory, tokenizer)
    ids = list(example.input_ids)
    messages = trajectory.messages()
    text = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in messages], tokenize=False
    )
    assert ids == tokenizer.encode(str(text), add_special_tokens=False)
    carrying = [place for place, label in enumerate(example.labels) if label != IGNORED]
    starts = [place for place in carrying if place - 1 not in carrying]
    ends = [place + 1 for place in carrying if place + 1 not in carrying]
    shown = [
        "".join(tokenizer.convert_ids_to_tokens(ids[a:b]))
        for a, b in zip(starts, ends, strict=True)
    ]
    assert shown == [f"{reply}<|im_end|>".replace(" ", SPACE) for reply in replies]
    for turn, start in enumerate(starts):
        fed = encode_conversation(
            tokenizer,
            messages[: 2 * turn + 1],
            add_generation_prompt=True,
            template_kwargs=template_options("off"),
        )
        assert list(fed.ids) == ids[:start]


@pytest.mark.parametrize(
    "merges", [(("\n", "f"),), (("t", "\n"), ("t\n", "f"))], ids=["the start", "more"]
)
def test_a_token_that_spans_the_edge_of_a_reply_is_refused(
    merges: tuple[tuple[str, str], ...],
) -> None:
    tokenizer = _spaced_tokenizer(normalizer=LLAMA_2, merges=merges)
    encode(_scripted("second"), tokenizer)
    with pytest.raises(ValueError, match="does not keep each reply as it is"):
        encode(_scripted("first"), tokenizer)
