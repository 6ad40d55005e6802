"""A checkpoint directory as files."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from okrt.errors import SpecError
from okrt.models.checkpoint import (
    CheckpointNote,
    base_path,
    check_checkpoint,
    checkpoint_digest,
    read_note,
    tokenizer_digest,
    weight_bytes,
)
from tests.checkpoints import make_adapter, make_checkpoint


def _edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_checkpoint_and_an_adapter_pass(copy: Path, tmp_path: Path) -> None:
    check_checkpoint(copy)
    check_checkpoint(make_adapter(tmp_path / "adapter", copy))


def test_a_path_that_is_no_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nowhere: no such directory; give a directory"):
        check_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "weights (model.safetensors)"),
        ("tokenizer.json", "a tokenizer (tokenizer.json)"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(copy: Path, lost: str, named: str) -> None:
    (copy / lost).unlink()
    with pytest.raises(SpecError, match=re.escape(f"no checkpoint: {named} missing; save")):
        check_checkpoint(copy)


def test_an_empty_directory_lacks_everything(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"config\.json, weights .*, a tokenizer .* missing"):
        check_checkpoint(tmp_path)


def test_weights_in_shards_pass(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    check_checkpoint(copy)


def test_an_adapter_without_weights_is_named(copy: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(SpecError, match=r"adapter: no adapter_model\.safetensors"):
        check_checkpoint(adapter)


def test_an_adapter_without_its_base_names_the_path_and_the_remedy(
    copy: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    shutil.rmtree(copy)
    with pytest.raises(SpecError, match=rf"base '{copy}' is not there; put .* base_model_name_or"):
        check_checkpoint(adapter)


def test_the_base_of_an_adapter_must_be_a_checkpoint(copy: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    (copy / "config.json").unlink()
    with pytest.raises(SpecError, match=rf"{copy}: no checkpoint: config\.json missing"):
        check_checkpoint(adapter)


def test_a_relative_base_is_found_from_here_and_from_the_adapter(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    _edit(adapter / "adapter_config.json", base_model_name_or_path="../copy")
    assert base_path(adapter).samefile(copy)
    _edit(adapter / "adapter_config.json", base_model_name_or_path="copy")
    monkeypatch.chdir(tmp_path)
    assert base_path(adapter).samefile(copy)


@pytest.mark.parametrize("content", ["{", "[]", '{"base_model_name_or_path": null}', "{}"])
def test_a_broken_adapter_configuration_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(SpecError, match="not the configuration of an adapter") as caught:
        base_path(tmp_path)
    assert "\n" not in str(caught.value)


def _changed_weight(path: Path) -> None:
    weights = path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


CHANGES: dict[str, Callable[[Path], None]] = {
    "a weight": _changed_weight,
    "the configuration": lambda path: _edit(path / "config.json", rope_theta=5.0),
    "the stop tokens": lambda path: _edit(path / "generation_config.json", eos_token_id=7),
    "the template": lambda path: _edit_text(path / "chat_template.jinja"),
    "the vocabulary": lambda path: _edit(path / "tokenizer.json", added_tokens=[]),
}


def _edit_text(file: Path) -> None:
    file.write_text(file.read_text() + " ")


@pytest.mark.parametrize("what", CHANGES)
def test_the_digest_changes_with(what: str, copy: Path) -> None:
    before = checkpoint_digest(copy)
    CHANGES[what](copy)
    assert checkpoint_digest(copy) != before


def test_the_digest_depends_neither_on_the_place_nor_on_the_note(
    checkpoint: Path, copy: Path
) -> None:
    (copy / "okrt.json").write_text("{}")
    (copy / "README.md").write_text("text")
    assert checkpoint_digest(copy) == checkpoint_digest(checkpoint)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", checkpoint_digest(copy))


def test_the_digest_of_an_adapter_covers_its_base_but_not_where_that_lies(
    copy: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    before = checkpoint_digest(adapter)
    assert before != checkpoint_digest(copy)
    assert before != checkpoint_digest(make_adapter(tmp_path / "other", copy, seed=1))
    copy.rename(tmp_path / "moved")
    _edit(adapter / "adapter_config.json", base_model_name_or_path="../moved")
    assert checkpoint_digest(adapter) == before
    _edit(adapter / "adapter_config.json", lora_alpha=1)
    assert checkpoint_digest(adapter) != before
    _edit(adapter / "adapter_config.json", lora_alpha=8)
    _changed_weight(tmp_path / "moved")
    assert checkpoint_digest(adapter) != before


def test_files_are_read_once_per_version(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = copy / "model.safetensors"
    before = checkpoint_digest(copy)
    stat = weights.stat()
    weights.write_bytes(bytes(stat.st_size))
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert checkpoint_digest(copy) == before
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert checkpoint_digest(copy) != before


def test_the_tokenizer_is_what_turns_text_into_ids(copy: Path, tmp_path: Path) -> None:
    before = tokenizer_digest(copy)
    _edit(copy / "tokenizer.json", truncation={"max_length": 8}, padding=None)
    _edit_text(copy / "chat_template.jinja")
    assert tokenizer_digest(copy) == before
    assert tokenizer_digest(make_adapter(tmp_path / "adapter", copy)) == before
    _edit(copy / "tokenizer.json", normalizer={"type": "NFC"})
    assert tokenizer_digest(copy) != before


def test_a_tokenizer_of_another_kind_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"one")
    before = tokenizer_digest(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"other")
    assert tokenizer_digest(tmp_path) != before


@pytest.mark.parametrize("content", [b'{"model": {"voc', b"", b"[]", b"\xff{}"])
def test_a_damaged_tokenizer_is_one_line_that_names_it(copy: Path, content: bytes) -> None:
    (copy / "tokenizer.json").write_bytes(content)
    with pytest.raises(SpecError, match=r"tokenizer\.json: no JSON object: .*copy it") as caught:
        checkpoint_digest(copy)
    assert "\n" not in str(caught.value)


def test_a_damaged_adapter_configuration_is_named_where_the_base_is_given(
    copy: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(SpecError, match=r"adapter_config\.json: no JSON object"):
        checkpoint_digest(adapter, copy)


def test_weights_are_sized_with_the_base(copy: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", copy)
    own = (adapter / "adapter_model.safetensors").stat().st_size
    base = (copy / "model.safetensors").stat().st_size
    assert weight_bytes(copy) == base
    assert weight_bytes(adapter) == own + base


def test_a_checkpoint_without_a_note_is_unknown(tmp_path: Path) -> None:
    assert read_note(tmp_path) == CheckpointNote("unknown", None)


def test_a_note_is_read_and_further_fields_are_let_be(tmp_path: Path) -> None:
    note = {"trained_under": "stateless", "tiers": ["micro"], "recipe": "x"}
    (tmp_path / "okrt.json").write_text(json.dumps(note))
    assert read_note(tmp_path) == CheckpointNote("stateless", ("micro",))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"trained_under": "sometimes"}', "'sometimes'"),
        ('{"tiers": "micro"}', "Expected `array | null`"),
        ("{", "truncated"),
        ("[]", "Expected `object`"),
    ],
)
def test_a_note_that_means_nothing_is_one_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "okrt.json").write_text(content)
    with pytest.raises(SpecError, match=r"okrt\.json: .*trained_under is persistent") as caught:
        read_note(tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_checkpoints_of_two_seeds_differ(checkpoint: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", seed=1)
    assert checkpoint_digest(other) != checkpoint_digest(checkpoint)
    assert tokenizer_digest(other) == tokenizer_digest(checkpoint)
