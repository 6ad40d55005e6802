"""The engine says what plain decoding says, whatever joins and leaves beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from okrt.errors import ModelFailure
from okrt.models.engine import ROOM, Engine, Reply, can_serve
from okrt.models.refeeding import Refeeding
from okrt.types import Conversation, Message
from tests.checkpoints import make_checkpoint
from tests.models.local_models import ask, load

WORDS, STOP = 48, 0
NEAR = 1e-4
"""Two logits this near may change places: sums of other lengths round in another order."""
SHAPE: dict[str, Any] = {
    "vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 4096,
}  # fmt: skip


@cache
def _model(kind: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    of: dict[str, tuple[Any, Any, dict[str, int]]] = {
        "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"num_key_value_heads": 2, "head_dim": 8}),
        "llama": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 4}),
        "neox": (GPTNeoXForCausalLM, GPTNeoXConfig, {}),
        "sliding": (
            MistralForCausalLM, MistralConfig, {"num_key_value_heads": 4, "sliding_window": 8},
        ),
    }  # fmt: skip
    architecture, config, more = of[kind]
    model = architecture(config(**SHAPE, **more))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)  # so that texts vary
    return model.eval()


def _reply(owner: int, prompt: Sequence[int], room: int, seed: int = 0) -> Reply:
    return Reply(owner, tuple(prompt), room, torch.Generator().manual_seed(seed))


def _plain(model: Any, prompt: Sequence[int], room: int) -> list[int]:
    """Returns a reply made with no cache, one token after the other."""
    ids = list(prompt)
    while len(ids) < len(prompt) + room:
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == STOP:
            break
    return ids[len(prompt) :]


def _is_near_tie(model: Any, ids: Sequence[int]) -> bool:
    with torch.inference_mode():
        best = model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1].topk(2).values
    return bool(best[0] - best[1] < NEAR)


@dataclass
class _Episode:
    """What is to be fed turn by turn, and what came back."""

    starts_at: int
    texts: list[list[int]]
    rooms: list[int]
    ids: list[int] = field(default_factory=list)
    turn: int = 0
    reply: Reply | None = None


TEXT = st.lists(st.integers(1, WORDS - 1), min_size=1, max_size=30)
TURN = st.tuples(TEXT, st.integers(1, 12))
EPISODE = st.tuples(st.integers(0, 6), st.booleans(), st.lists(TURN, min_size=1, max_size=4))


@given(
    plan=st.lists(EPISODE, min_size=1, max_size=5),
    shared=TEXT,
    kind=st.sampled_from(["qwen3", "llama", "neox"]),
    seed=st.integers(0, 2),
    limit=st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_equals_plain_decoding(
    plan: list[tuple[int, bool, list[tuple[list[int], int]]]],
    shared: list[int],
    kind: str,
    seed: int,
    limit: int,
) -> None:
    """Episodes begin at any time, end at any time, and wait where the engine is full."""
    model = _model(kind, seed)
    engine = Engine(model, frozenset({STOP}), 0.0, limit)
    episodes = [
        _Episode(start, [text for text, _ in turns], [room for _, room in turns])
        for start, _, turns in plan
    ]
    for episode, (_, begins_alike, _) in zip(episodes, plan, strict=True):
        episode.ids = list(shared) if begins_alike else []
    ties = unique = call = 0
    while any(episode.turn < len(episode.texts) for episode in episodes):
        for number, episode in enumerate(episodes):
            open_ = episode.turn < len(episode.texts) and episode.starts_at <= call
            if open_ and episode.reply is None:
                episode.ids += episode.texts[episode.turn]
                episode.reply = _reply(number, episode.ids, episode.rooms[episode.turn])
        engine.advance([episode.reply for episode in episodes if episode.reply])
        call += 1
        for episode in episodes:
            if episode.reply and episode.reply.left <= 0:
                expected = _plain(model, episode.ids, episode.rooms[episode.turn])
                ties += _check(model, episode.ids, episode.reply.generated, expected)
                episode.ids += episode.reply.generated
                episode.reply, episode.turn = None, episode.turn + 1
    unique = sum(len(episode.ids) for episode in episodes)
    note(f"near ties: {ties}")
    assert engine.fed.rewritten == 0
    # The last token of a reply is fed with the next turn, so never where there is none.
    assert engine.fed.prefilled + engine.fed.decoded + engine.fed.copied <= unique


def _check(model: Any, prompt: list[int], found: list[int], expected: list[int]) -> int:
    """Asserts that two replies are equal, or first differ at a near tie; returns how many do."""
    if found == expected:
        return 0
    place = next(n for n, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b)
    assert _is_near_tie(model, [*prompt, *expected[:place]]), (found, expected)
    return 1


def test_a_token_is_fed_once_over_many_turns() -> None:
    engine = Engine(_model("qwen3"), frozenset(), 0.0, 4)
    histories = [[*range(1, 40), owner + 1] for owner in range(4)]
    for _ in range(5):
        replies = [_reply(owner, ids, 6) for owner, ids in enumerate(histories)]
        while any(reply.left > 0 for reply in replies):
            engine.advance([reply for reply in replies if reply.left > 0])
        for ids, reply in zip(histories, replies, strict=True):
            ids += [*reply.generated, 5, 6, 7]
    fed = engine.fed
    whole = sum(len(ids) - 3 for ids in histories)
    assert fed.copied == 3 * 39
    assert fed.prefilled + fed.decoded == whole - fed.copied - len(histories)
    assert fed.rewritten == 0


def test_a_history_that_was_rewritten_is_fed_again_from_there() -> None:
    model = _model("qwen3")
    engine = Engine(model, frozenset(), 0.0, 1)
    first = _reply(0, range(1, 31), 4)
    engine.advance([first])
    changed = [*range(1, 21), 40, 41, *first.generated]
    second = _reply(0, changed, 4)
    engine.advance([second])
    assert second.generated == _plain(model, changed, 4)
    assert engine.fed.rewritten == 30 + 3 - 20


def test_more_room_and_more_rows_are_taken_as_they_are_needed() -> None:
    model = _model("llama")
    engine = Engine(model, frozenset(), 0.0, 3)
    prompts = [[1 + n % 40 for n in range(length)] for length in (5, ROOM + 7, 3 * ROOM)]
    replies = [_reply(owner, prompt, 3) for owner, prompt in enumerate(prompts)]
    for count in (1, 2, 3):
        engine.advance(replies[:count])
    assert [reply.generated for reply in replies] == [_plain(model, p, 3) for p in prompts]


def test_a_failed_pass_gives_up_what_is_cached_and_goes_on_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = _model("qwen3")
    engine = Engine(model, frozenset(), 0.0, 2)
    replies = [_reply(owner, [owner + 1] * 9, 6) for owner in range(2)]
    calls = 0
    forward = engine._forward

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise RuntimeError("no memory")
        return forward(*arguments)

    monkeypatch.setattr(engine, "_forward", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        engine.advance(replies)
    engine.advance(replies)
    assert [reply.generated for reply in replies] == [_plain(model, [n + 1] * 9, 6) for n in (0, 1)]


def test_sampling_depends_on_no_neighbour() -> None:
    model = _model("qwen3")
    alone = _reply(0, [1, 2, 3], 9, seed=7)
    Engine(model, frozenset(), 1.0, 4).advance([alone])
    crowd = [_reply(owner, [owner, 9], 9, seed=owner) for owner in (1, 2)]
    again = _reply(0, [1, 2, 3], 9, seed=7)
    Engine(model, frozenset(), 1.0, 4).advance([*crowd, again])
    assert again.generated == alone.generated
    assert crowd[0].generated != alone.generated


def test_refeeding_says_the_same() -> None:
    model = _model("qwen3")
    prompts = [[3, 1, 4], [1, 5, 9, 2, 6], [5]]
    replies = [_reply(owner, prompt, 7) for owner, prompt in enumerate(prompts)]
    plain = Refeeding(model, frozenset({STOP}), 0.0, 2, padding=STOP)
    while any(reply.left > 0 for reply in replies):
        plain.advance(replies)
    assert [reply.generated for reply in replies] == [_plain(model, p, 7) for p in prompts]


def test_only_plain_caches_are_served() -> None:
    assert can_serve(_model("qwen3"))
    assert not can_serve(_model("sliding"))


# -- through LocalModel ----------------------------------------------------------------------------


def test_answers_come_as_they_end_and_the_others_go_on(checkpoint: Path) -> None:
    model = load(checkpoint, batch_size=2)
    asked = [
        Conversation(one.messages, seed=one.seed, episode_id=str(place))
        for place, one in enumerate(ask("go", "1234 " * 5, "x = [1, 2]", ""))
    ]
    whole = {one.episode_id: text for one, text in zip(asked, model.generate(asked), strict=True)}
    waiting = list(asked)
    calls = 0
    while waiting:
        calls += 1
        answers = model.answer_some(waiting)
        assert answers
        for place, completion in answers:
            assert completion == whole[waiting[place].episode_id]
        done = {place for place, _ in answers}
        waiting = [one for place, one in enumerate(waiting) if place not in done]
    assert calls > 1


def test_a_conversation_without_room_is_answered_beside_others(tmp_path: Path) -> None:
    model = load(make_checkpoint(tmp_path / "short", context=64))
    (fits,), (full,) = ask("go"), ask("word " * 200)
    ((place, completion),) = model.answer_some([fits, full])
    assert (place, completion.finish_reason) == (1, "context")
    ((place, completion),) = model.answer_some([fits])
    assert (place, completion.finish_reason) == (0, "length")


def test_what_fails_in_the_engine_is_a_failure_of_the_model(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint)

    def advance(replies: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model._decoder, "advance", advance)
    with pytest.raises(ModelFailure, match="out of memory with 16 conversations"):
        model.answer_some([Conversation((Message("user", "go"),))])
