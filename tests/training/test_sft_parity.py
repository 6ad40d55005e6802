"""What a fine-tuned checkpoint is fed and generates is what training would see of that episode.

`test_dataset.py` holds this for templates as they are deployed; here it is held for what
`training.sft` makes, of every kind of model: two architectures, all weights and adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from okrt.models.local import LocalModel
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT
from okrt.specs import load_model, model_spec
from okrt.types import Episode, Settings
from tests.checkpoints import make_checkpoint
from tests.toys import FAMILY, FakeRuntime
from tests.training.sft_toys import examples, make_llama, train
from training.dataset import encode
from training.finetune import load_tokenizer
from training.recipe import Lora

TURNS = 3


@pytest.fixture(params=["qwen", "llama"], scope="module")
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "base"
    return make_checkpoint(folder) if request.param == "qwen" else make_llama(folder)


def _play(out: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Episode, dict[int, int]]:
    """Returns an episode, and the id that the model was last fed at each position."""
    settings = Settings(temperature=1.0, max_turns=TURNS, max_new_tokens=16)
    agent = load_model(model_spec(str(out)), settings, "counting")
    assert isinstance(agent.model, LocalModel)
    inner = agent.model._weights.model
    forward = inner.forward
    fed: dict[int, int] = {}

    def spy(*, input_ids: Any, position_ids: Any, **options: Any) -> Any:
        fed.update(zip(position_ids[0].tolist(), input_ids[0].tolist(), strict=True))
        return forward(input_ids=input_ids, position_ids=position_ids, **options)

    monkeypatch.setattr(inner, "forward", spy)
    case = Case(FAMILY, FAMILY.task(7, "low"), PERSISTENT, agent.card, agent.model, settings)
    (episode,) = run_cases([case], FakeRuntime())
    return episode, fed


@pytest.mark.parametrize("lora", [Lora(4, 8), None], ids=["adapter", "all weights"])
def test_training_sees_what_was_fed_and_generated(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: Lora | None
) -> None:
    out = tmp_path / "out"
    train(base, out, examples(base, 2), lora=lora, max_steps=1)
    episode, fed = _play(out, monkeypatch)
    trajectory = episode.trajectory
    assert trajectory is not None
    assert len(trajectory.turns) == TURNS
    example = encode(trajectory, load_tokenizer(out))
    last = trajectory.turns[-1].completion.usage.prompt_tokens
    assert last is not None
    assert [fed[position] for position in range(last)] == list(example.input_ids[:last])
    whole = 0
    for turn in trajectory.turns:
        start, generated = turn.completion.usage.prompt_tokens, turn.completion.token_ids
        assert start is not None
        assert generated is not None
        if turn.reply == turn.completion.text:  # nothing was cut from the history
            end = start + len(generated)
            assert example.input_ids[start:end] == generated
            assert example.labels[start:end] == generated
            whole += 1
    assert whole
