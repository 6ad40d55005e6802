"""What the user asked for, read from command line and ini keys into one validated object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from okrt import specs, types
from okrt.errors import SpecError, UsageError
from okrt.models.checkpoint import check_checkpoint, is_adapter
from okrt.models.repetition import SHORTEST
from okrt.prompts import PROMPT_SETS, instructions
from okrt.run import STOP_REPETITION
from okrt.specs import ModelSpec, Serving
from okrt.store import check_new
from okrt.types import Contract, Settings, TrainedUnder
from pytest_okrt.options import value_of, values_of


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, validated."""

    models: tuple[ModelSpec, ...]
    contracts: tuple[Contract, ...]
    tiers: tuple[str, ...] | None
    seeds: range | None
    repeats: int
    settings: Settings
    trained_under: Mapping[str, TrainedUnder]
    out: Path | None
    estimate: bool
    unsafe_runtime: bool
    serving: Serving
    cell_minutes: float | None


def read_options(config: pytest.Config) -> Options:
    """Returns the validated options.

    Raises:
        okrt.errors.UsageError: the message names the value and the remedy.
    """
    models = specs.model_specs(tuple(values_of(config, "model")) or specs.DEFAULT_MODELS)
    models = _with_base(config, models)
    trained = _trained_under(config, models)
    for model in models:
        if config.hook.pytest_okrt_model(spec=model.given) is None:
            specs.check_model(model)
    names = tuple(values_of(config, "runtime")) or specs.DEFAULT_CONTRACTS
    contracts = tuple(
        config.hook.pytest_okrt_contract(spec=name) or specs.contract(name) for name in names
    )
    if len({contract.name for contract in contracts}) < len(contracts):
        raise SpecError(f"a runtime is given twice: {', '.join(names)}; give each its own name")
    settings = _settings(config)
    for contract in contracts:
        instructions(contract, settings, cap=1)  # raises where the prompt set has no text for it
    tiers = tuple(values_of(config, "tier"))
    seeds = value_of(config, "seeds")
    out = value_of(config, "out")
    return Options(
        models=models,
        contracts=contracts,
        tiers=tiers or None,
        seeds=specs.seeds(seeds) if seeds is not None else None,
        repeats=_whole(config, "repeats", 1) or 1,
        settings=settings,
        trained_under=trained,
        out=_checked_out(config, out) if out is not None else None,
        estimate=bool(value_of(config, "estimate")),
        unsafe_runtime=bool(value_of(config, "unsafe-runtime")),
        serving=Serving(_whole(config, "concurrency", None), _whole(config, "kv-tokens", None)),
        cell_minutes=_minutes(value_of(config, "cell-minutes")),
    )


def _with_base(config: pytest.Config, models: tuple[ModelSpec, ...]) -> tuple[ModelSpec, ...]:
    """Returns the models, the adapters among them with the base that was given."""
    text = value_of(config, "base-model")
    if text is None:
        return models
    if not any(is_adapter(model.path) for model in models):
        raise UsageError(f"--okrt-base-model {text!r}: none of the models is an adapter")
    base = (config.invocation_params.dir / text).resolve()
    try:
        check_checkpoint(base)
    except SpecError as error:
        raise UsageError(f"--okrt-base-model {error}") from None
    return tuple(replace(model, base=base) if is_adapter(model.path) else model for model in models)


def _checked_out(config: pytest.Config, text: str) -> Path:
    if not text:
        raise UsageError("--okrt-out '' names no directory")
    path = config.invocation_params.dir / text
    if not hasattr(config, "workerinput"):
        check_new(path)
    return path


def _settings(config: pytest.Config) -> Settings:
    default = types.Settings()
    temperature = value_of(config, "temperature")
    return types.Settings(
        prompt_set=_one_of(config, "prompts", PROMPT_SETS, default.prompt_set),
        cue=_one_of(config, "cue", get_args(types.Cue), default.cue),
        names=_one_of(config, "names", ("on", "off"), "off") == "on",
        format=_one_of(config, "format", get_args(types.Format), default.format),
        thinking=_one_of(config, "thinking", get_args(types.Thinking), default.thinking),
        tool_cap=_whole(config, "tool-cap", None),
        max_turns=_whole(config, "max-turns", default.max_turns) or default.max_turns,
        temperature=_temperature(temperature) if temperature is not None else default.temperature,
        max_new_tokens=_whole(config, "max-new-tokens", None) or default.max_new_tokens,
        observation_chars=_whole(config, "observation-chars", None) or default.observation_chars,
        packages=tuple(sorted(set(values_of(config, "allow-package")))),
        stop_repetition=_repetition(config),
    )


def _trained_under(config: pytest.Config, models: tuple[ModelSpec, ...]) -> dict[str, TrainedUnder]:
    declared: dict[str, TrainedUnder] = {}
    for text in values_of(config, "trained-under"):
        label, _, value = text.rpartition("=")
        found = next((known for known in specs.TRAINED_UNDER if known == value), None)
        if found is None:
            raise UsageError(
                f"--okrt-trained-under {text!r}: write LABEL=CONTRACT, "
                f"CONTRACT one of {', '.join(specs.TRAINED_UNDER)}"
            )
        if all(label != model.label for model in models):
            labels = ", ".join(model.label for model in models)
            raise UsageError(f"--okrt-trained-under {text!r}: no model {label!r}; have {labels}")
        declared[label] = found
    return declared


def _one_of(config: pytest.Config, name: str, allowed: tuple[str, ...], default: str) -> Any:
    value = value_of(config, name)
    if value is None:
        return default
    if value not in allowed:
        raise UsageError(f"--okrt-{name} {value!r} is not one of {', '.join(allowed)}")
    return value


def _whole(config: pytest.Config, name: str, default: int | None) -> int | None:
    value = value_of(config, name)
    if value is None:
        return default
    if not str(value).strip().isdecimal() or int(value) < 1:
        raise UsageError(f"--okrt-{name} {value!r}: give a whole number of at least 1")
    return int(value)


def _temperature(value: str) -> float:
    try:
        temperature = float(value)
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"--okrt-temperature {value!r}: give 0 (greedy) or a positive number")
    return temperature


def _repetition(config: pytest.Config) -> int:
    value = value_of(config, "stop-repetition")
    if value is None or value == "off":
        return STOP_REPETITION if value is None else 0
    if not str(value).strip().isdecimal() or int(value) < SHORTEST:
        raise UsageError(
            f"--okrt-stop-repetition {value!r}: give off or a whole number of at least {SHORTEST}"
        )
    return int(value)


def _minutes(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        minutes = float(value)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise UsageError(f"--okrt-cell-minutes {value!r}: give a positive number of minutes")
    return minutes
