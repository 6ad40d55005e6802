"""What can be loaded, and how it is told what cannot be loaded or run."""

import json
import logging
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from okrt.errors import ModelFailure, UsageError
from okrt.models.checkpoint import checkpoint_digest, strange_base
from okrt.models.local import LocalModel
from okrt.models.weights import is_spread
from tests.checkpoints import make_adapter, make_checkpoint
from tests.models.local_models import ask, changed, load, texts

# -- adapters --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LocalModel:
    return load(checkpoint)


def test_an_adapter_answers_unlike_its_base(
    checkpoint: Path, tmp_path: Path, model: LocalModel
) -> None:
    adapted = load(make_adapter(tmp_path / "adapter", checkpoint))
    assert adapted.name == "adapter"
    prompts = ask("go", "1234")
    assert texts(adapted.generate(prompts)) != texts(model.generate(prompts))


def test_an_adapter_finds_a_base_beside_it(copy: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    expected = load(adapter).generate(ask("go"))
    changed(adapter / "adapter_config.json", base_model_name_or_path="../copy")
    assert load(adapter).generate(ask("go")) == expected


def test_adapters_of_one_base_share_its_weights_and_answer_as_alone(
    checkpoint: Path, tmp_path: Path
) -> None:
    paths = [make_adapter(tmp_path / f"adapter-{n}", checkpoint, seed=n) for n in range(2)]
    prompts = ask("go", "1234")
    alone = []
    for path in paths:
        alone.append(texts(load(path).generate(prompts)))  # given up before the next is loaded
    assert alone[0] != alone[1]
    one, other = map(load, paths)
    assert one._weights is other._weights
    for _ in range(2):  # in turns
        assert texts(one.generate(prompts)) == alone[0]
        assert texts(other.generate(prompts)) == alone[1]


def test_an_adapter_that_cannot_be_loaded_leaves_the_others_as_they_were(
    checkpoint: Path, tmp_path: Path
) -> None:
    good = load(make_adapter(tmp_path / "good", checkpoint))
    expected = good.generate(ask("go"))
    bad = make_adapter(tmp_path / "bad", checkpoint, seed=1)
    changed(bad / "adapter_config.json", r=2)
    with pytest.raises(UsageError, match="bad: the checkpoint cannot be loaded"):
        load(bad)
    assert texts(good.generate(ask("go"))) == texts(expected)


def test_another_base_may_be_given_for_an_adapter(copy: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    expected = texts(load(adapter).generate(ask("go")))
    digest = checkpoint_digest(adapter)
    moved = copy.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="name its directory: --okrt-base-model"):
        load(adapter)
    options: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 24, "thinking": "off"}
    assert texts(LocalModel(adapter, base=moved, **options).generate(ask("go"))) == expected
    assert checkpoint_digest(adapter, moved) == digest


def test_a_base_that_the_adapter_was_not_trained_on_is_told(
    checkpoint: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", checkpoint)
    other = make_checkpoint(tmp_path / "other", seed=1)
    own, found = checkpoint_digest(checkpoint), checkpoint_digest(other)
    (adapter / "okrt.json").write_text(json.dumps({"base": {"name": "one", "digest": own}}))
    options: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 24, "thinking": "off"}
    with pytest.warns(UserWarning, match=f"records {own[:19]}, that base is {found[:19]}$"):
        LocalModel(adapter, base=other, **options)


@pytest.mark.parametrize("base", [None, "name", {"name": "one"}, {"digest": "its own"}])
def test_of_the_base_that_is_recorded_nothing_is_told(
    copy: Path, tmp_path: Path, base: object
) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    if base == {"digest": "its own"}:
        base = {"digest": checkpoint_digest(copy)}
    (adapter / "okrt.json").write_text(json.dumps({"base": base}))
    assert strange_base(adapter) is None
    (copy / "okrt.json").write_text('{"base": {"digest": "sha256:0"}}')
    assert strange_base(copy) is None


@pytest.mark.parametrize(
    ("weights", "free", "spread"),
    [(10, [], False), (70, [100], False), (90, [100], False), (90, [100, 100], True),
     (70, [100, 100], False)],
)  # fmt: skip
def test_weights_are_spread_where_several_gpus_are_seen_and_one_is_too_small(
    weights: int, free: list[int], spread: bool
) -> None:
    assert is_spread(weights, free) == spread


def test_an_adapter_that_changes_nothing_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", checkpoint, zero=True)
    with pytest.raises(UsageError, match="adapter: the adapter changes nothing"):
        load(adapter)


def test_an_adapter_of_another_shape_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", checkpoint)
    changed(adapter / "adapter_config.json", r=2)
    with pytest.raises(UsageError, match="adapter: the checkpoint cannot be loaded") as caught:
        load(adapter)
    assert "\n" not in str(caught.value)


# -- what cannot be loaded or run ------------------------------------------------------------------


def test_a_missing_checkpoint_is_told_before_loading(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint: config"):
        load(tmp_path)


def test_truncated_weights_are_one_line(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UsageError, match="copy: the checkpoint cannot be loaded") as caught:
        load(copy)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_a_tensor_are_refused(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lack 1 tensors, model\.norm\.weight first"):
        load(copy)


def test_one_weight_of_nan_is_refused(copy: Path) -> None:
    _damage(copy / "model.safetensors", "model.norm.weight")
    with pytest.raises(UsageError, match="copy: answers with NaN: its weights are damaged, or"):
        load(copy)


def test_an_adapter_of_nan_is_refused_and_its_base_blamed_for_its_own(
    copy: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    whole = (adapter / "adapter_model.safetensors").read_bytes()
    _damage(adapter / "adapter_model.safetensors", "lora_B")
    with pytest.raises(UsageError, match="adapter: answers with NaN"):
        load(adapter)
    (adapter / "adapter_model.safetensors").write_bytes(whole)
    _damage(copy / "model.safetensors", "model.norm.weight")
    with pytest.raises(UsageError, match="copy: answers with NaN"):
        load(adapter)


def _damage(file: Path, part: str) -> None:
    """Makes one number NaN of the first tensor with `part` in its name."""
    tensors = load_file(file)
    tensors[next(name for name in tensors if part in name)].view(-1)[0] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})


def test_tokens_that_are_never_said_are_no_damage(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Qwen3ForCausalLM.forward

    def masking(*args: Any, **options: Any) -> Any:
        output = forward(*args, **options)
        output.logits[..., 300:] = -torch.inf
        return output

    monkeypatch.setattr(Qwen3ForCausalLM, "forward", masking)
    load(checkpoint)


def test_an_unknown_architecture_is_one_line(copy: Path) -> None:
    changed(copy / "config.json", model_type="no-such-architecture")
    with pytest.raises(UsageError, match="knows the architecture") as caught:
        load(copy)
    assert "\n" not in str(caught.value)


def test_code_in_a_checkpoint_is_not_run(copy: Path, tmp_path: Path) -> None:
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: ...\n")
    changed(
        copy / "config.json",
        model_type="unheard-of",
        auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"},
    )
    with pytest.raises(UsageError, match="cannot be loaded"):
        load(copy)
    assert not (tmp_path / "ran").exists()


def test_a_template_that_cannot_be_rendered_is_one_line(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "bad", template="{{ raise_exception('only\ntools') }}")
    with pytest.raises(UsageError, match=r"bad: its chat template cannot .*: only tools$"):
        load(path)


def test_the_reason_of_a_wrong_configuration_is_told(copy: Path) -> None:
    changed(copy / "config.json", hidden_size="wide")
    with pytest.raises(UsageError, match=r"'hidden_size': TypeError: .*expected int") as caught:
        load(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_what_to_lower(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    monkeypatch.setattr(Qwen3ForCausalLM, "forward", _raising(error))
    with pytest.raises(ModelFailure, match=r"out of memory .* lower --okrt-max-new-tokens"):
        model.generate(ask("go"))


def test_a_model_that_fails_is_one_line(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Qwen3ForCausalLM, "forward", _raising(IndexError("index 9\ndetails")))
    with pytest.raises(ModelFailure, match=r"^random: IndexError: index 9$"):
        model.generate(ask("go"))


def _raising(error: Exception) -> Any:
    def forward(*args: object, **options: object) -> None:
        raise error

    return forward


def test_no_network_is_asked(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def connect(address: object, *args: object, **options: object) -> None:
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    load(make_adapter(tmp_path / "adapter", checkpoint)).generate(ask("go"))
    assert asked == []


def test_workers_use_one_thread_each(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    torch.set_num_threads(2)
    load(checkpoint)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert threads == 1


def test_loading_shows_nothing(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(checkpoint)
    assert capfd.readouterr() == ("", "")


class _Loud(ModuleType):
    """peft, as it is imported where bitsandbytes misses something."""

    __spec__ = peft.__spec__

    def __getattr__(self, name: str) -> Any:
        logging.getLogger("bitsandbytes.backends.cpu.ops").warning("pip install kernels")
        return getattr(peft, name)


def test_what_bitsandbytes_misses_is_not_shown_when_peft_is_imported(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    adapter = make_adapter(tmp_path / "adapter", checkpoint)
    loud = _Loud("peft")
    monkeypatch.setitem(sys.modules, "peft", loud)
    load(adapter)
    assert "kernels" not in caplog.text
    assert loud.PeftModel is peft.PeftModel
    assert "kernels" in caplog.text
