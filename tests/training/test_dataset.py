"""What training sees is what evaluation fed and generated."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from okrt.models.local import LocalModel
from okrt.models.rendering import encode_conversation, template_options
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
