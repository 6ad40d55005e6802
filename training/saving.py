"""Folders that are whole or not there: the steps of a run under way, and the checkpoint it ends in.

A run that writes `OUT` keeps what it can resume from in `OUT.steps` beside it. `OUT` itself appears
at the end, in one rename. A folder that a full disk or a crash left half written is never taken for
a whole one.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from okrt.errors import StoreError, UsageError
from okrt.models.checkpoint import ADAPTER_CONFIG, NOTE_FILE
from okrt.store import replace_file

WHOLE = "whole"
"""A file written into a step's folder when all else is in it."""
JOB_FILE = "job.json"
LOG_FILE = "log.jsonl"
LOGGED = ("step", "epoch", "loss", "grad_norm", "learning_rate", "num_tokens")
MODEL_CARD = "README.md"
TRAINER_STATE = "trainer_state.json"
CHECKPOINT_SUFFIXES = (".json", ".jinja", ".model", ".safetensors", ".txt")
"""Of what a step holds: weights, configuration and tokenizer; not what resuming needs."""

_STEP = re.compile(r"checkpoint-(\d+)")


class _TrainerState(msgspec.Struct):
    """What is read of transformers' own file; the rest is passed over."""

    global_step: int
    max_steps: int
    log_history: list[dict[str, Any]]


def steps_folder(out: Path) -> Path:
    return out.with_name(out.name + ".steps")


def check_free(out: Path, *, resume: bool) -> None:
    """Returns where a run may write `out`: nothing is there, or it is resumed.

    Raises:
        UsageError: something is there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: not empty; give a folder that does not exist, or remove this one")
    steps = steps_folder(out)
    if steps.exists() and any(steps.iterdir()) and not resume:
        raise UsageError(f"{steps}: a run was broken off; go on with --resume, or remove it")


def check_same(out: Path, job: Mapping[str, Any]) -> None:
    """Returns where the steps beside `out`, if any, are this job's.

    Raises:
        UsageError: another job left them; the message names what differs first.
    """
    file = steps_folder(out) / JOB_FILE
    if not file.parent.is_dir() or not any(file.parent.iterdir()):
        return
    try:
        begun = _flat(msgspec.json.decode(file.read_bytes(), type=dict[str, Any]))
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{file.parent}: cannot be resumed: {error}; remove it") from error
    now = _flat(msgspec.json.decode(msgspec.json.encode(job), type=dict[str, Any]))
    for key in sorted(now):
        if now.get(key) != begun.get(key) and not key.startswith("versions."):
            raise UsageError(
                f"{file.parent}: another run's: {key} was {begun.get(key)!r} and is now "
                f"{now.get(key)!r}; resume with what it was begun with, or give another --out"
            )


def _flat(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def make_steps(out: Path) -> None:
    """Makes the folder of the steps, if it is not there.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        steps_folder(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot be written: {error.strerror}; give another place"
        ) from error


def begin(out: Path, job: Mapping[str, Any]) -> None:
    """Makes the folder of the steps, and drops those that were never finished."""
    steps = steps_folder(out)
    make_steps(out)
    drop_partial(out)
    for folder in steps.glob("checkpoint-*"):
        if not (folder / WHOLE).is_file():
            shutil.rmtree(folder)
    replace_file(steps / JOB_FILE, msgspec.json.encode(job))


def last_step(out: Path) -> Path | None:
    """Returns the folder of the last step that was saved whole."""
    found = {
        int(match.group(1)): folder
        for folder in steps_folder(out).glob("checkpoint-*")
        if (match := _STEP.fullmatch(folder.name)) and (folder / WHOLE).is_file()
    }
    return found[max(found)] if found else None


def partial_folder(out: Path) -> Path:
    """Returns where the checkpoint is put together: beside `out`, so that a rename is enough."""
    return out.with_name(f".{out.name}.partial")


def finished(out: Path) -> bool:
    """Whether the last step that was saved whole is the last there is.

    Raises:
        UsageError: its state is damaged, or training had diverged.
    """
    last = last_step(out)
    if last is None:
        return False
    state = _state(last)
    return state.global_step >= state.max_steps


def tokens_of(step: Path) -> int:
    """Returns how many tokens had been trained on when a step was saved, `num_tokens` of the log.

    Raises:
        UsageError: its state is damaged, or training had diverged.
    """
    return int(max((entry.get("num_tokens", 0) for entry in _state(step).log_history), default=0))


def publish(out: Path) -> None:
    """Puts the last step's weights and tokenizer, `okrt.json` and the log into `out`, in one
    rename; then the steps go.

    Raises:
        OSError: it cannot be written; the steps are as they were.
    """
    last, partial, steps = last_step(out), partial_folder(out), steps_folder(out)
    if last is None:
        raise ValueError(f"{steps}: no step was saved whole")
    state = _state(last)
    drop_partial(out)
    try:
        partial.mkdir()
        for file in last.iterdir():
            if file.suffix in CHECKPOINT_SUFFIXES and file.name != TRAINER_STATE:
                shutil.copyfile(file, partial / file.name)
        _sort_targets(partial / ADAPTER_CONFIG)
        note = {**msgspec.json.decode((steps / JOB_FILE).read_bytes()), "steps": state.global_step}
        (partial / NOTE_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
        lines = [_line(entry) for entry in state.log_history if "loss" in entry]
        (partial / LOG_FILE).write_bytes(b"".join(lines))
        partial.replace(out)
    except BaseException:
        drop_partial(out)
        raise
    for folder in steps.glob("checkpoint-*"):
        shutil.rmtree(folder)
    for name in (JOB_FILE, MODEL_CARD):
        (steps / name).unlink(missing_ok=True)
    if not any(steps.iterdir()):  # a tracker's log may lie there
        steps.rmdir()


def _state(step: Path) -> _TrainerState:
    file = step / TRAINER_STATE
    try:  # transformers writes NaN, which is no JSON to msgspec
        state = msgspec.convert(json.loads(file.read_bytes()), _TrainerState)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{file}: cannot be read: {error}; remove {step}") from error
    for entry in state.log_history:
        if what := not_finite(entry):
            raise UsageError(
                f"{step}: diverged at step {entry.get('step')}: {what}; remove {step.parent}, "
                "lower learning_rate and begin anew"
            )
    return state


def not_finite(entry: Mapping[str, Any]) -> str | None:
    """Returns what a log's entry says of a step that diverged, `loss nan`; None if it did not."""
    for key in ("loss", "grad_norm"):
        if not math.isfinite(entry.get(key, 0.0)):
            return f"{key} {entry[key]}"
    return None


def _line(entry: Mapping[str, Any]) -> bytes:
    """Returns a line of the log: what a step came to, without what no two runs share."""
    return msgspec.json.encode({key: entry[key] for key in LOGGED if key in entry}) + b"\n"


def _sort_targets(config: Path) -> None:
    """PEFT writes the adapted layers in the order of a set: no two runs' files would be equal."""
    if config.is_file():
        content = json.loads(config.read_bytes())
        if isinstance(content["target_modules"], list):
            content["target_modules"].sort()
        config.write_text(json.dumps(content, indent=2, sort_keys=True), "utf-8")


def drop_partial(out: Path) -> None:
    shutil.rmtree(partial_folder(out), ignore_errors=True)


def mark_whole(out: Path, step: int) -> None:
    replace_file(steps_folder(out) / f"checkpoint-{step}" / WHOLE, b"")


@contextmanager
def one_line(what: str, out: Path) -> Iterator[None]:
    """Turns what a failed save raises into one line that names what is left.

    Not OSError alone: safetensors and torch wrap a full disk in errors of their own.

    Raises:
        StoreError: saving failed.
    """
    try:
        yield
    except Exception as error:
        last = last_step(out)
        remedy = "make room" if _is_full(error) else "mend this"
        left = f"{last} is whole: {remedy} and go on with --resume" if last else "nothing is saved"
        line = " ".join(str(error).split())[:300]
        raise StoreError(f"{out}: {what} failed: {type(error).__name__}: {line}; {left}") from error


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return os.strerror(errno.ENOSPC) in str(error)
