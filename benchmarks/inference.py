"""Episodes of many turns: okrt's engine against three plain ways, in one run.

    python -m benchmarks.inference

The same small model with random weights, the same token ids, one thread, greedy. The ways take
turns; printed are medians of CPU seconds, their ratios to the engine's, and how many tokens went
through the model for each token that is not a repetition (a beginning that episodes share counts
once). Replies must be equal; where the two best logits lie within 1e-4 of each other, sums of
another order may choose the other one, which is counted as a near tie.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from random import Random
from statistics import median
from typing import Any

import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from okrt.models.engine import Engine, Reply

WORDS = 512
STOPS = frozenset(range(1, 17))
"""Any of them ends a reply, so that replies are of any length up to ROOM."""
PADDING = 0
ROOM = 64
SHARED, OWN, OBSERVED = 320, (40, 120), (8, 40)
"""Tokens of the beginning that all share, of an episode's own prompt, of an observation."""
NEAR = 1e-4


@dataclass
class Talk:
    """One episode: what it is told, and its history as it grows."""

    told: list[list[int]]
    """The prompt, then an observation for each turn but the last."""
    ids: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """Where the replies begin."""

    def prompt(self) -> list[int]:
        """Returns the history that the next reply is to follow."""
        self.ids += self.told[len(self.starts)]
        self.starts.append(len(self.ids))
        return list(self.ids)

    @property
    def done(self) -> bool:
        return len(self.starts) == len(self.told)


def make_talks(episodes: int, turns: int) -> list[Talk]:
    rng = Random("talks")

    def text(length: int) -> list[int]:
        return rng.choices(range(max(STOPS) + 1, WORDS), k=length)

    shared = text(SHARED)
    return [
        Talk(
            [[*shared, *text(rng.randint(*OWN))]]
            + [text(rng.randint(*OBSERVED)) for _ in range(turns - 1)]
        )
        for _ in range(episodes)
    ]


def make_model(hidden: int, layers: int) -> Any:
    """Returns a model whose greedy texts vary. Its logits are scaled so that near ties are rare."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=WORDS, hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=4,
        head_dim=hidden // 2, max_position_embeddings=8192, initializer_range=0.3,
    )  # fmt: skip
    model: Any = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig()
    return model.eval()


# -- the ways: each plays the talks to their ends and returns how many tokens went through the model


def engine(model: Any, talks: Sequence[Talk], in_flight: int) -> int:
    served = Engine(model, STOPS, 0.0, in_flight)
    coming, live = iter(talks), dict[int, tuple[Talk, Reply]]()
    number = 0
    while True:
        while len(live) < in_flight and (talk := next(coming, None)):
            live[number] = talk, _reply(number, talk)
            number += 1
        if not live:
            return served.fed.prefilled + served.fed.decoded
        served.advance([reply for _, reply in live.values()])
        for owner, (talk, reply) in list(live.items()):
            if reply.left > 0:
                continue
            talk.ids += reply.generated
            del live[owner]
            if not talk.done:
                live[owner] = talk, _reply(owner, talk)


def _reply(owner: int, talk: Talk) -> Reply:
    return Reply(owner, tuple(talk.prompt()), ROOM, torch.Generator())


def one_by_one(model: Any, talks: Sequence[Talk], in_flight: int) -> int:
    return sum(_generate(model, [talk]) for talk in talks for _ in talk.told)


def batched(model: Any, talks: Sequence[Talk], in_flight: int) -> int:
    groups = [talks[start : start + in_flight] for start in range(0, len(talks), in_flight)]
    return sum(_generate(model, group) for group in groups for _ in group[0].told)


def _generate(model: Any, talks: Sequence[Talk]) -> int:
    """Adds one reply to each talk by `generate`; returns the tokens that were fed, padding too."""
    prompts = [talk.prompt() for talk in talks]
    width = max(map(len, prompts))
    ids = torch.tensor([[PADDING] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    output = model.generate(ids, attention_mask=mask, generation_config=_config())
    for talk, new in zip(talks, output[:, width:].tolist(), strict=True):
        talk.ids += _upto_stop(new)
    return len(talks) * (int(output.shape[1]) - 1)


def continuous(model: Any, talks: Sequence[Talk], in_flight: int) -> int:
    """Turns are sent as they come. How much of a prompt its cache held is not told, so that what
    was fed is not known: 0."""
    from transformers import ContinuousBatchingConfig  # not in every release

    blocks = in_flight * 8192 // 16
    sizes = ContinuousBatchingConfig(page_size=16, num_blocks=blocks, max_batch_tokens=512)
    attention = model.config._attn_implementation
    manager = model.init_continuous_batching(_config(), sizes)
    manager.start()
    try:
        coming, live = iter(talks), dict[str, Talk]()
        while True:
            while len(live) < in_flight and (talk := next(coming, None)):
                live[_ask(manager, talk)] = talk
            if not live:
                return 0
            answer = manager.get_result(timeout=60)
            if answer is None or answer.error is not None:
                raise RuntimeError(f"continuous batching failed: {answer and answer.error}")
            talk = live.pop(answer.request_id)
            talk.ids += _upto_stop(answer.generated_tokens)
            if not talk.done:
                live[_ask(manager, talk)] = talk
    finally:
        manager.stop(block=True)
        manager.destroy()
        model.set_attn_implementation(attention)


def _ask(manager: Any, talk: Talk) -> str:
    return str(manager.add_request(talk.prompt(), max_new_tokens=ROOM))


def _config() -> GenerationConfig:
    return GenerationConfig(
        do_sample=False, max_new_tokens=ROOM, eos_token_id=sorted(STOPS), pad_token_id=PADDING
    )


def _upto_stop(ids: Sequence[int]) -> list[int]:
    """Returns the ids up to and with the first that stops."""
    kept = list(takewhile(lambda token: token not in STOPS, ids))
    return list(ids[: len(kept) + 1])


# -- what is asked of them -------------------------------------------------------------------------


def unique_tokens(talks: Sequence[Talk]) -> int:
    """Returns the tokens of all histories, a beginning that several have counted once."""
    histories = sorted(talk.ids for talk in talks)
    count = len(histories[0]) if histories else 0
    for one, other in pairwise(histories):
        count += len(other) - _shared(one, other)
    return count


def near_ties(model: Any, expected: Sequence[Talk], found: Sequence[Talk]) -> int:
    """Returns how many histories first differ where the two best logits nearly tie.

    Raises:
        ValueError: one differs anywhere else.
    """
    count = 0
    for one, other in zip(expected, found, strict=True):
        if one.ids == other.ids:
            continue
        place = _shared(one.ids, other.ids)
        with torch.inference_mode():
            best = model(torch.tensor([one.ids[:place]]), logits_to_keep=1).logits[0, -1].topk(2)
        gap = float(best.values[0] - best.values[1])
        if gap >= NEAR:
            raise ValueError(
                f"outputs differ at token {place}, where the best logit leads by {gap}"
            )
        count += 1
    return count


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    pairs: Iterator[tuple[int, int]] = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


Way = Callable[[Any, Sequence[Talk], int], int]
WAYS: dict[str, Way] = {
    "okrt's engine": engine,
    "generate, one by one": one_by_one,
    "generate, batched": batched,
    "continuous batching": continuous,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.inference --episodes 8 --turns 4 --rounds 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--episodes", type=int, default=64, help="(default: 64)")
    parser.add_argument("--turns", type=int, default=12, help="of an episode (default: 12)")
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: 3)")
    parser.add_argument("--in-flight", type=int, default=16, help="episodes (default: 16)")
    parser.add_argument("--hidden", type=int, default=128, help="size of the model (default: 128)")
    parser.add_argument("--layers", type=int, default=3, help="of the model (default: 3)")
    parser.add_argument("--without", action="append", default=[], help="a way to leave out")
    options = parser.parse_args()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    model = make_model(options.hidden, options.layers)
    ways = {name: way for name, way in WAYS.items() if name not in options.without}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    fed: dict[str, int] = {}
    played: dict[str, list[Talk]] = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            talks = make_talks(options.episodes, options.turns)
            started = time.process_time()
            fed[name] = way(model, talks, options.in_flight)
            spent[name].append(time.process_time() - started)
            played[name] = talks
            print(f"{name}: {spent[name][-1]:.1f} s", file=sys.stderr)
    report(model, spent, fed, played, options)


def report(
    model: Any,
    spent: dict[str, list[float]],
    fed: dict[str, int],
    played: dict[str, list[Talk]],
    options: argparse.Namespace,
) -> None:
    first = next(iter(spent))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{options.episodes} episodes x {options.turns} turns, {options.in_flight} in flight, "
        f"{parameters / 1e6:.1f}M parameters; median of {options.rounds} rounds"
    )
    for name, times in spent.items():
        unique = unique_tokens(played[name])
        share = f"{fed[name] / unique:6.2f}" if fed[name] else "   n/a"
        ties = near_ties(model, played[first], played[name])
        print(
            f"  {name:<22}{median(times):8.1f} s CPU {median(times) / median(spent[first]):6.2f}x"
            f"  {share} fed per unique token  {ties} near ties"
        )


if __name__ == "__main__":
    main()
