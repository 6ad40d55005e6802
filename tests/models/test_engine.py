"""The engine says what plain decoding says, whatever joins and leaves beside it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
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
from okrt.models.engine import Engine, Reply, can_serve
from okrt.models.kv import ROOM
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


@dataclass
class _Seen:
    """Counts over the scenarios of one property."""

    replies: int = 0
    ties: int = 0


@pytest.mark.parametrize("scenarios", [40, pytest.param(200, marks=pytest.mark.thorough)])
def test_equals_plain_decoding(scenarios: int) -> None:
    """Episodes begin at any time, end at any time, and wait where the engine or its budget is full.

    A first difference is allowed where the two best logits are within NEAR.
    """
    seen = _Seen()

    @given(
        plan=st.lists(EPISODE, min_size=1, max_size=5),
        shared=TEXT,
        kind=st.sampled_from(["qwen3", "llama", "neox"]),
        seed=st.integers(0, 2),
        limit=st.integers(1, 4),
        budget=st.none() | st.integers(1, 300),
    )
    @settings(max_examples=scenarios, deadline=None)
    def scenario(
        plan: list[tuple[int, bool, list[tuple[list[int], int]]]],
        shared: list[int],
        kind: str,
        seed: int,
        limit: int,
        budget: int | None,
    ) -> None:
        _play(plan, shared, _model(kind, seed), limit, budget, seen)

    scenario()
    sys.stdout.write(f"{seen.replies} replies, {seen.ties} near ties\n")
    assert seen.replies > scenarios
    assert seen.ties <= seen.replies / 100


def _play(
    plan: list[tuple[int, bool, list[tuple[list[int], int]]]],
    shared: list[int],
    model: Any,
    limit: int,
    budget: int | None,
    seen: _Seen,
) -> None:
    engine = Engine(model, frozenset({STOP}), 0.0, limit, budget)
    episodes = [
        _Episode(start, [text for text, _ in turns], [room for _, room in turns])
        for start, _, turns in plan
    ]
    for episode, (_, begins_alike, _) in zip(episodes, plan, strict=True):
        episode.ids = list(shared) if begins_alike else []
    call = 0
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
                seen.replies += 1
                seen.ties += _check(model, episode.ids, episode.reply)
                episode.ids += episode.reply.generated
                episode.reply, episode.turn = None, episode.turn + 1
    unique = sum(len(episode.ids) for episode in episodes)
    fed = engine.fed
    assert fed.rewritten == 0
    # The last token of a reply is fed with the next turn, so never where there is none.
    assert fed.prefilled + fed.decoded + fed.copied <= unique + fed.evicted
    longest = max(len(episode.ids) for episode in episodes)
    assert budget is None or engine.held <= max(budget, longest, ROOM)


def _check(model: Any, prompt: list[int], reply: Reply) -> int:
    """Asserts that each token is the best after those before it, fed in one pass with no cache, and
    that the reply ends where it must; returns how many are not the best but nearly tie with it."""
    found = reply.generated
    assert len(found) == reply.room or found[-1] == STOP
    assert STOP not in found[:-1]
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *found]]), use_cache=False).logits[0]
    after = logits[len(prompt) - 1 : -1]
    behind = after.max(-1).values - after.gather(-1, torch.tensor(found)[:, None])[:, 0]
    assert (behind < NEAR).all(), (found, after.argmax(-1).tolist())
    return int((behind > 0).sum())


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


def test_beyond_the_budget_episodes_wait_and_say_the_same() -> None:
    """Two of three fit, then one, and who came first stays."""
    model = _model("qwen3")
    prompts = [[owner + 1, *range(2, 11)] for owner in range(3)]
    engine = Engine(model, frozenset(), 0.0, 3, budget=160)
    replies = [_reply(owner, prompt, 90) for owner, prompt in enumerate(prompts)]
    order: list[int] = []
    while len(order) < 3:
        engine.advance(replies)
        order += [n for n, reply in enumerate(replies) if reply.left <= 0 and n not in order]
        assert engine.held <= 160
    assert order == [0, 1, 2]
    assert [reply.generated for reply in replies] == [_plain(model, p, 90) for p in prompts]
    assert engine.fed.evicted > 0


def test_one_that_is_larger_than_the_budget_is_decoded_alone() -> None:
    model = _model("qwen3")
    engine = Engine(model, frozenset(), 0.0, 4, budget=10)
    replies = [_reply(owner, [owner + 1] * 20, 5) for owner in range(2)]
    while any(reply.left > 0 for reply in replies):
        engine.advance(replies)
        assert len(engine._rows) == 1
    assert [reply.generated for reply in replies] == [
        _plain(model, [n + 1] * 20, 5) for n in (0, 1)
    ]
    assert engine.fed.evicted == 0


def test_what_an_earlier_turn_fed_is_counted_as_cached() -> None:
    engine = Engine(_model("qwen3"), frozenset(), 0.0, 2)
    first, beside = _reply(0, [5] * 20, 4), _reply(1, [5] * 20, 6)
    engine.advance([first, beside])
    second = _reply(0, [*first.ids, 6, 7], 4)
    engine.advance([second, beside])
    # The neighbour's copy of the shared beginning is none of its own; a reply's last token is fed
    # with the next turn.
    assert (first.cached, beside.cached, second.cached) == (0, 0, 23)
    other = _reply(2, [5] * 20, 4)
    engine.advance([other])  # on a row that another has left
    assert other.cached == 0


class _Elevens(torch.nn.Module):
    """A head that says 11 for ever."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = hidden.new_zeros((*hidden.shape[:-1], WORDS))
        logits[..., 11] = 1.0
        return logits


@pytest.mark.parametrize("kind", ["qwen3", "sliding"])
def test_a_reply_that_goes_round_in_circles_is_stopped_and_says_so(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model(kind)
    monkeypatch.setitem(model._modules, "lm_head", _Elevens())
    stops = frozenset({STOP})
    served = (
        Engine(model, stops, 0.0, 2)
        if can_serve(model)
        else Refeeding(model, stops, 0.0, 2, padding=STOP)
    )
    stopped, not_asked = _reply(0, [1, 2], 200), _reply(1, [1, 2, 3], 200)
    stopped.window = 64
    while any(reply.left > 0 for reply in (stopped, not_asked)):
        served.advance([stopped, not_asked])
    assert (len(stopped.generated), stopped.looped, stopped.stopped) == (64, True, False)
    assert (len(not_asked.generated), not_asked.looped) == (200, False)


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
