"""What stands between a trainer and the terminal: progress, Ctrl-C, and quiet libraries."""

from __future__ import annotations

import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from datasets.utils import (  # type: ignore[import-untyped]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from okrt.errors import UsageError
from training import saving


class Progress(TrainerCallback):
    """One line on stderr: rewritten at a terminal, else one every half minute and the last."""

    EVERY_S = 30.0

    def __init__(self) -> None:
        self._told_s = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        now_s = time.monotonic()
        last = state.global_step == state.max_steps
        terminal = sys.stderr.isatty()
        if not (terminal or last or now_s - self._told_s >= self.EVERY_S):
            return
        self._told_s = now_s
        line = f"sft: step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}"
        end = "\n" if last or not terminal else ""
        sys.stderr.write(("\r\033[K" if terminal else "") + line + end)
        sys.stderr.flush()


class StopDiverged(TrainerCallback):
    """Ends training at the first loss or gradient that is no finite number, before it is saved."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Raises UsageError where training diverged."""
        if what := saving.not_finite(logs or {}):
            if state.global_step == 1:
                raise UsageError(
                    f"step 1: {what}, before any weight was changed; check that the base's weights "
                    "are whole and finite, or give another --base"
                )
            last = saving.last_step(self._out)
            raise UsageError(
                f"diverged at step {state.global_step}: {what}; lower learning_rate "
                f"({args.learning_rate:g}) and give another --out; "
                + (f"what was saved before is in {last}" if last else "nothing was saved before")
            )


class _StopAndSave(TrainerCallback):
    """Ends training after the step under way, and has it saved."""

    asked = False

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        if self.asked:
            control.should_save = control.should_training_stop = True


@contextmanager
def stopping(trainer: Trainer) -> Iterator[None]:
    """Has the first Ctrl-C, or a scheduler's SIGTERM, save and stop; a second Ctrl-C stops at once.

    Not where several processes train: a save needs them all at the same step.
    """
    if trainer.accelerator.num_processes > 1:
        yield
        return
    stop = _StopAndSave()
    trainer.add_callback(stop)

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        sys.stderr.write("\nsft: saving and stopping after this step; again: stop at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries' bars, remarks and deprecations off the terminal; their errors raise."""
    bars, verbosity = (
        transformers_logging.is_progress_bar_enabled(),
        transformers_logging.get_verbosity(),
    )
    dataset_bars = are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if not dataset_bars:
            enable_progress_bars()
