"""Whatever breaks a fine-tune off, the last step that was saved whole stays and is gone on from."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from okrt.errors import StoreError
from tests.training.sft_toys import losses
from tests.training.toy_plans import collect
from training import callbacks, finetune, saving, sft

RECIPE = """\
base = "nowhere"
contract = "persistent"
seeds = [3407]
max_length = 4096
device = "cpu"
dtype = "float32"
[lora]
r = 4
lora_alpha = 8
lora_dropout = 0.1
[trainer]
learning_rate = 1e-2
max_steps = 5
save_steps = 2
per_device_train_batch_size = 4
"""

Sft = Callable[..., int]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "traces"
    collect(folder)
    return folder


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    file = tmp_path / "toy.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def run(checkpoint: Path, traces: Path, toy: Path, tmp_path: Path) -> Sft:
    def run(*more: str) -> int:
        given = [toy, "--traces", traces, "--base", checkpoint, "--out", tmp_path / "out", *more]
        return sft.main([str(part) for part in given])

    return run


@pytest.fixture(scope="module")
def straight(checkpoint: Path, traces: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("straight")
    (folder / "toy.toml").write_text(RECIPE)
    given = [folder / "toy.toml", "--traces", traces, "--base", checkpoint, "--out", folder / "out"]
    assert sft.main([str(part) for part in given]) == 0
    return pytest.approx(losses(folder / "out"), abs=1e-6)


def _full(*args: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _at(step: int, do: Callable[[], None]) -> type[callbacks.Progress]:
    """Returns a callback that does something once a step has ended, after its save."""

    class Hook(callbacks.Progress):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.global_step == step and logs and "loss" in logs:
                do()

    return Hook


def test_a_disk_that_fills_in_a_step_keeps_the_step_before(
    run: Sft,
    straight: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The adapter of step 4 is written, then the disk is full."""
    with monkeypatch.context() as patch:
        hook = _at(3, lambda: patch.setattr(torch, "save", _full))
        patch.setattr(finetune, "Progress", hook)
        assert run() == 2
    err = capfd.readouterr().err.splitlines()[-1]
    out = tmp_path / "out"
    kept = tmp_path / "out.steps" / "checkpoint-2"
    assert "saving a step failed: OSError: [Errno 28] No space left on device" in err
    assert f"{kept} is whole: make room" in err
    assert (tmp_path / "out.steps" / "checkpoint-4" / "adapter_model.safetensors").is_file()
    assert not out.exists()
    assert saving.last_step(out) == kept
    assert run("--resume") == 0
    assert losses(out) == straight


def test_a_disk_that_fills_at_the_end_keeps_the_last_step(
    run: Sft,
    straight: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(saving, "_sort_targets", _full)
        assert run() == 2
    assert "saving the checkpoint failed" in capfd.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.steps", "toy.toml"]
    assert run("--resume") == 0
    assert losses(tmp_path / "out") == straight


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_stops(
    run: Sft,
    straight: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "Progress", _at(2, lambda: os.kill(os.getpid(), number)))
        assert run() == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    kept = tmp_path / "out.steps" / "checkpoint-3"
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"sft: interrupted; {kept} is kept, --resume goes on from there"
    )
    assert run("--resume") == 0
    assert losses(tmp_path / "out") == straight
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    tokens = [entry["num_tokens"] for entry in log]
    assert tokens == sorted(set(tokens))


def test_another_recipe_does_not_go_on(
    run: Sft,
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "Progress", _at(3, stop))
        assert run() == 130
    assert run("--resume", "--seed", "777") == 2
    assert "another run's: seed was 3407 and is now 777" in capfd.readouterr().err.splitlines()[-1]
    assert saving.last_step(tmp_path / "out") is not None


def test_a_half_saved_step_is_passed_over_and_dropped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    saving.begin(out, {"seed": 1})
    for step in (2, 10, 12):
        (tmp_path / "out.steps" / f"checkpoint-{step}").mkdir()
    assert saving.last_step(out) is None
    saving.mark_whole(out, 2)
    saving.mark_whole(out, 10)
    last = saving.last_step(out)
    assert last is not None
    assert last.name == "checkpoint-10"
    saving.check_same(out, {"seed": 1, "versions": {"torch": "another"}})
    saving.begin(out, {"seed": 1})
    assert sorted(path.name for path in last.parent.iterdir()) == [
        "checkpoint-10",
        "checkpoint-2",
        "job.json",
    ]


def test_resuming_from_nothing_starts_anew(run: Sft, straight: Any, tmp_path: Path) -> None:
    assert run("--resume") == 0
    assert losses(tmp_path / "out") == straight


# -- training that diverges ------------------------------------------------------------------------


@pytest.mark.parametrize("save_steps", [1, 2])
def test_training_that_diverges_stops_there_and_publishes_nothing(
    run: Sft, toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], save_steps: int
) -> None:
    text = RECIPE.replace("1e-2", "1e30").replace("save_steps = 2", f"save_steps = {save_steps}")
    toy.write_text(text)
    assert run() == 2
    err = capfd.readouterr().err.splitlines()
    out, kept = tmp_path / "out", tmp_path / "out.steps" / "checkpoint-1"
    left = f"what was saved before is in {kept}" if save_steps == 1 else "nothing was saved before"
    assert err[1:] == [
        "sft: diverged at step 2: loss nan; lower learning_rate (1e+30) and give another --out; "
        + left
    ]
    assert not out.exists()
    assert saving.last_step(out) == (kept if save_steps == 1 else None)


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        (
            '{"global_step": 5, "max_steps": 5, "log_history": [{"step": 3, "loss": NaN}]}',
            "diverged at step 3: loss nan; remove ",
        ),
        ('{"global_step": 5, "max_', "trainer_state.json: cannot be read: "),
        ('{"global_step": 5}', "trainer_state.json: cannot be read: "),
    ],
)
def test_a_state_that_cannot_be_gone_on_with_is_one_line(
    run: Sft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    state: str,
    complaint: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(saving, "_sort_targets", _full)
        assert run() == 2
    (tmp_path / "out.steps" / "checkpoint-5" / "trainer_state.json").write_text(state)
    capfd.readouterr()
    assert run("--resume") == 2
    assert complaint in capfd.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "make room"),
        (RuntimeError(f"IoError: {os.strerror(errno.ENOSPC)}"), "make room"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "mend this"),
        (KeyError("target_modules"), "mend this"),
    ],
)
def test_room_is_asked_for_where_the_disk_is_full(
    tmp_path: Path, error: Exception, remedy: str
) -> None:
    out = tmp_path / "out"
    saving.begin(out, {})
    (tmp_path / "out.steps" / "checkpoint-2").mkdir()
    saving.mark_whole(out, 2)
    with (
        pytest.raises(StoreError, match=f"is whole: {remedy} and go on with --resume"),
        saving.one_line("saving", out),
    ):
        raise error
