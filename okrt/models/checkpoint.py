"""A checkpoint directory as files: what is in it, what names it, what `okrt.json` says of it.

Nothing is loaded here, so that a mistyped path is told in an instant. A checkpoint is what
`save_pretrained` writes, of a model with its tokenizer or of a PEFT adapter.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from okrt.errors import SpecError
from okrt.types import TrainedUnder

NOTE_FILE = "okrt.json"
ADAPTER_CONFIG = "adapter_config.json"

_MODEL_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_BEHAVIOUR = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
"""Files beside the weights that decide what a checkpoint answers: stop tokens, template."""
_SHOWN = len("sha256:") + 12
"""Characters of a digest in a message."""
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt")
_TEXT_TO_IDS = ("added_tokens", "normalizer", "pre_tokenizer", "model")
"""Parts of tokenizer.json that decide which ids a text has."""


class TrainedOn(msgspec.Struct, frozen=True):
    """The base that an adapter was trained on."""

    digest: str | None = None


class CheckpointNote(msgspec.Struct, frozen=True):
    """What `okrt.json` says of the checkpoint beside it. Further fields are the trainer's."""

    trained_under: TrainedUnder = "unknown"
    tiers: tuple[str, ...] | None = None
    base: TrainedOn | str | None = None
    """Where it is text, or has no digest, it says nothing."""


class _AdapterConfig(msgspec.Struct):
    base_model_name_or_path: str


def shipped_checkpoint(name: str) -> Path:
    """Returns the directory of a tiny checkpoint that ships: in the wheel, or in a checkout.

    Raises:
        SpecError: none has that name.
    """
    package = Path(str(files("okrt")))
    home = package / "checkpoints"
    if not home.is_dir():
        home = package.parent / "training" / "checkpoints"
    known = sorted(path.name.removeprefix("tiny-") for path in home.glob("tiny-*"))
    if name not in known:
        raise SpecError(f"unknown model 'tiny:{name}'; known: {', '.join(known) or 'none'}")
    return home / f"tiny-{name}"


def is_adapter(path: Path) -> bool:
    return (path / ADAPTER_CONFIG).is_file()


def check_checkpoint(path: Path, base: Path | None = None) -> None:
    """Returns where `path` holds a model, its tokenizer, and the base of an adapter.

    Here and below, `base` stands in for the base that an adapter records.

    Raises:
        SpecError: it does not; the message names what is missing and the remedy.
    """
    if not path.is_dir():
        raise SpecError(f"{path}: no such directory; give a directory that save_pretrained wrote")
    if is_adapter(path):
        if not _matching(path, _ADAPTER_WEIGHTS):
            raise SpecError(f"{path}: no adapter_model.safetensors; save the adapter again")
        below = base_path(path, base)
        if is_adapter(below):
            raise SpecError(f"{path}: its base {below} is itself an adapter; merge that one first")
        check_checkpoint(below)
        return
    missing = [
        what
        for what, there in (
            ("config.json", (path / "config.json").is_file()),
            ("weights (model.safetensors)", bool(_matching(path, _MODEL_WEIGHTS))),
            ("a tokenizer (tokenizer.json)", bool(_matching(path, _VOCABULARIES))),
        )
        if not there
    ]
    if missing:
        raise SpecError(
            f"{path}: no checkpoint: {', '.join(missing)} missing; save the model and its "
            "tokenizer there with save_pretrained, or give the directory that holds them"
        )


def base_path(path: Path, base: Path | None = None) -> Path:
    """Returns the directory of the model that the adapter in `path` is put on: `base`, or else the
    one that it records.

    A relative path is tried from the working directory, then from the adapter's.

    Raises:
        SpecError: adapter_config.json is not one, or the base is not there.
    """
    if base is not None:
        return base
    config = path / ADAPTER_CONFIG
    try:
        recorded = msgspec.json.decode(config.read_bytes(), type=_AdapterConfig)
    except msgspec.MsgspecError as error:
        raise SpecError(f"{config}: not the configuration of an adapter: {error}") from error
    name = recorded.base_model_name_or_path
    for candidate in (Path(name), path / name):
        if candidate.is_dir():
            return candidate
    raise SpecError(
        f"{path}: the adapter's base {name!r} is not there; put the base model at that path, or "
        f"name its directory: --okrt-base-model, or base_model_name_or_path in {config}"
    )


def tokenizer_path(path: Path, base: Path | None = None) -> Path:
    """Returns the directory whose tokenizer is used: an adapter's own if it brings one."""
    own = _matching(path, _VOCABULARIES) or not is_adapter(path)
    return path if own else base_path(path, base)


def weight_bytes(path: Path, base: Path | None = None) -> int:
    """Returns the size on disk of the weights, an adapter's base included."""
    own = sum(file.stat().st_size for file in _weight_files(path))
    return own + (weight_bytes(base_path(path, base)) if is_adapter(path) else 0)


def checkpoint_digest(path: Path, base: Path | None = None) -> str:
    """Returns the digest of whatever decides the answers; an adapter's includes its base's.

    It depends neither on where the directories lie nor on `okrt.json`.

    Raises:
        SpecError: a file that is to be JSON is none.
    """
    files = _weight_files(path) + [path / name for name in _BEHAVIOUR if (path / name).is_file()]
    parts = {file.name: _file_digest(file) for file in files}
    parts["tokenizer"] = tokenizer_digest(path, base)
    if is_adapter(path):
        config = _read_object(path / ADAPTER_CONFIG)
        parts[ADAPTER_CONFIG] = _digest_of({**config, "base_model_name_or_path": None})
        parts["base"] = checkpoint_digest(base_path(path, base))
    return _digest_of(parts)


def tokenizer_digest(path: Path, base: Path | None = None) -> str:
    """Returns the digest of what turns text into ids: the same for two checkpoints that tokenise
    alike, however their padding, truncation or chat template differ.

    Raises:
        SpecError: tokenizer.json is no JSON.
    """
    home = tokenizer_path(path, base)
    fast = home / "tokenizer.json"
    if fast.is_file():
        content = _read_object(fast)
        return _digest_of({part: content.get(part) for part in _TEXT_TO_IDS})
    return _digest_of({file.name: _file_digest(file) for file in _matching(home, _VOCABULARIES)})


def read_note(path: Path) -> CheckpointNote:
    """Returns what `okrt.json` in `path` says; a checkpoint without one is `unknown`.

    Raises:
        SpecError: the file is no JSON, or holds a value that means nothing.
    """
    file = path / NOTE_FILE
    if not file.is_file():
        return CheckpointNote()
    try:
        return msgspec.json.decode(file.read_bytes(), type=CheckpointNote)
    except msgspec.MsgspecError as error:
        raise SpecError(
            f"{file}: {error}; trained_under is persistent, stateless, mixed or unknown, "
            "tiers a list of names, base an object with a digest"
        ) from error


def strange_base(path: Path, base: Path | None = None) -> str | None:
    """Returns one line where the note of an adapter records another base than it is put on.

    Raises:
        SpecError: see `read_note`, `base_path` and `checkpoint_digest`.
    """
    recorded = read_note(path).base
    if not is_adapter(path) or not isinstance(recorded, TrainedOn) or recorded.digest is None:
        return None
    below = base_path(path, base)
    digest = checkpoint_digest(below)
    if digest == recorded.digest:
        return None
    return (
        f"{path}: the adapter was trained on another base, or the files of {below} have "
        f"changed since: {NOTE_FILE} records {recorded.digest[:_SHOWN]}, that base is "
        f"{digest[:_SHOWN]}"
    )


def _matching(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(file for pattern in patterns for file in path.glob(pattern) if file.is_file())


def _weight_files(path: Path) -> list[Path]:
    return _matching(path, _ADAPTER_WEIGHTS if is_adapter(path) else _MODEL_WEIGHTS)


def _read_object(file: Path) -> dict[str, Any]:
    try:
        return msgspec.convert(json.loads(file.read_bytes()), dict[str, Any])
    except (ValueError, msgspec.MsgspecError) as error:
        raise SpecError(f"{file}: no JSON object: {error}; save or copy it again") from error


def _digest_of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _file_digest(file: Path) -> str:
    stat = file.stat()
    return _digest_of_version(file.resolve(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _digest_of_version(file: Path, mtime_ns: int, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
