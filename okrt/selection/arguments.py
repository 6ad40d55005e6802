"""What the user asked for, read from options into one validated object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

from okrt import specs, types
from okrt.baselines import saved
from okrt.baselines.held import read_head
from okrt.errors import SpecError, UsageError
from okrt.gates.file import Asked, GateFile
from okrt.models.checkpoint import check_checkpoint, is_adapter
from okrt.models.repetition import SHORTEST
from okrt.prompts import PROMPT_SETS, instructions
from okrt.run import STOP_REPETITION
from okrt.salt import Salt, exposed, read_salt
from okrt.selection import gating, preset
from okrt.specs import ModelSpec, Serving
from okrt.store import RUN, check_new
from okrt.types import Contract, Model, ModelCard, Settings, TrainedUnder

_DIGITS = 18
"""Of a whole number: of thousands, Python makes none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, validated."""

    models: tuple[ModelSpec, ...]
    contracts: tuple[Contract, ...]
    tiers: tuple[str, ...] | None
    seeds: range | None
    repeats: int
    settings: Settings
    """Where a setting has several values, those with the first."""
    trained_under: Mapping[str, TrainedUnder]
    out: Path | None
    resume: Path | None
    estimate: bool
    unsafe_runtime: bool
    serving: Serving
    cell_minutes: float | None
    max_hours: float | None
    max_tokens: int | None
    own_cards: Mapping[str, ModelCard]
    """Of the models that plugins know by name, by label."""
    asked: Asked
    """What was named on the command line, or by the gates."""
    gates: GateFile | None
    baseline: Path | None
    """The directory of the run or saved baseline that this run is compared with."""
    salt: Salt | None = None
    """Draws the tasks; None: they are public."""
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Settings that have several values (of `okrt.plan.AXES`), which are crossed."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files that the user's own runtimes and models are in, by "runtime NAME" and
    "model LABEL"."""

    @property
    def variants(self) -> tuple[Settings, ...]:
        """The settings that episodes are run with, each with all cells."""
        crossed = (zip(self.axes, values, strict=True) for values in product(*self.axes.values()))
        return tuple(replace(self.settings, **dict(values)) for values in crossed)


@dataclass(frozen=True, slots=True)
class Given:
    """The options as text, and who else knows models and contracts by name."""

    value: Callable[[str], Any]
    """Of an option, None where it was not given; a list for one that may be repeated."""
    folder: Path
    """What relative paths start from."""
    writes: bool = True
    """Whether this process writes the run directory."""
    own_model: Callable[[str], Model | None] = lambda spec: None
    own_contract: Callable[[str], Contract | None] = lambda spec: None
    warn: Callable[[str], object] = lambda line: None
    """Is told what the user should see to, by the process that writes."""
    on_command_line: Callable[[str], Any] | None = None
    """Of an option there, and of no ini key; None: `value` is that."""

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(self.value(name) or ())

    def stated(self, name: str) -> Any:
        """Returns an option's value on the command line, or None."""
        return self.value(name) if self.on_command_line is None else self.on_command_line(name)


def read_options(given: Given) -> Options:
    """Returns the validated options.

    Raises:
        okrt.errors.UsageError: the message names the value and the remedy.
    """
    given = replace(
        given,
        value=preset.filled(given.value, given.folder),
        on_command_line=preset.filled(given.stated, given.folder),
    )
    given, gates = gating.filled(given)
    models = specs.model_specs(given.values("model") or specs.DEFAULT_MODELS)
    if gates is not None:
        gating.check_models(gates, (model.label for model in models))
    models = _with_base(given, models)
    trained = _trained_under(given, models)
    own_cards = {}
    for model in models:
        own = given.own_model(model.given)
        if own is not None:
            own_cards[model.label] = specs.own_card(model, own, trained.get(model.label))
        else:
            specs.check_model(model)
    names = given.values("runtime") or specs.DEFAULT_CONTRACTS
    contracts = tuple(specs.contract(name, given.own_contract(name)) for name in names)
    if len({contract.name for contract in contracts}) < len(contracts):
        raise SpecError(f"a runtime is given twice: {', '.join(names)}; give each its own name")
    axes = _axes(given)
    crossed = {name: values for name, values in axes.items() if len(values) > 1}
    gating.check_axes(given, crossed)
    settings = _settings(given, {name: values[0] for name, values in axes.items()})
    for contract in contracts:
        instructions(contract, settings, cap=1)  # raises where the prompt set has no text for it
    tiers = given.values("tier")
    seeds = given.value("seeds")
    out, resume = given.value("out"), given.value("resume")
    baseline = given.value("baseline")
    if out is not None and resume is not None:
        raise UsageError(
            f"--okrt-out {out!r} and --okrt-resume {resume!r}: a run goes on in its own directory; "
            "leave out --okrt-out"
        )
    return Options(
        models=models,
        contracts=contracts,
        tiers=tiers or None,
        seeds=specs.seeds(seeds) if seeds is not None else None,
        repeats=_whole(given, "repeats", 1) or 1,
        settings=settings,
        trained_under=trained,
        out=_checked_out(given, out) if out is not None else None,
        resume=_checked_run(given, resume) if resume is not None else None,
        estimate=bool(given.value("estimate")),
        unsafe_runtime=bool(given.value("unsafe-runtime")),
        serving=Serving(_whole(given, "concurrency", None), _whole(given, "kv-tokens", None)),
        cell_minutes=_positive(given, "cell-minutes", "minutes"),
        max_hours=_positive(given, "max-hours", "hours"),
        max_tokens=_whole(given, "max-tokens", None),
        own_cards=own_cards,
        asked=Asked(
            tuple(model.label for model in models) if given.stated("model") else (),
            tuple(one.name for one in contracts) if gates or given.stated("runtime") else (),
        ),
        gates=gates,
        baseline=saved.find(baseline, given.folder) if baseline is not None else None,
        salt=_salt(given, baseline),
        axes=crossed,
        sources=_sources(dict(zip(names, contracts, strict=True)), models),
    )


def _sources(contracts: Mapping[str, Contract], models: Sequence[ModelSpec]) -> dict[str, str]:
    given = {f"runtime {contract.name}": text for text, contract in contracts.items()}
    given |= {f"model {model.label}": model.spec for model in models}
    found = {name: specs.source_digest(text) for name, text in given.items()}
    return {name: digest for name, digest in found.items() if digest is not None}


def family_source(name: str, given: object) -> dict[str, str]:
    """Returns the digest of the file that a family given as `module:attribute` is in, by "family
    NAME"; nothing of another one. It stands beside `Options.sources`, which know of no family."""
    digest = specs.source_digest(given) if isinstance(given, str) else None
    return {} if digest is None else {f"family {name}": digest}


def _salt(given: Given, baseline: str | None) -> Salt | None:
    text = given.value("salt")
    found = None if text is None else read_salt(given.folder / text)
    if given.value("preset") == preset.RELEASE and baseline is not None:
        wanted = read_head(saved.find(baseline, given.folder)).get("salt")
        if wanted != (found.digest if found is not None else None):
            asked = "no --okrt-salt" if text is None else f"--okrt-salt {text}"
            drawn = f"drawn from the salt {wanted}" if wanted else "public"
            raise UsageError(
                f"{asked}: the tasks of --okrt-baseline {baseline} are {drawn}; "
                + ("give that file" if wanted else "leave it out")
            )
    if text is not None and given.writes and (warning := exposed(given.folder / text)):
        given.warn(warning)
    return found


def _with_base(given: Given, models: tuple[ModelSpec, ...]) -> tuple[ModelSpec, ...]:
    """Returns the models, the adapters among them with the base that was given."""
    text = given.value("base-model")
    if text is None:
        return models
    if not any(is_adapter(model.path) for model in models):
        raise UsageError(f"--okrt-base-model {text!r}: none of the models is an adapter")
    base = (given.folder / text).resolve()
    try:
        check_checkpoint(base)
    except SpecError as error:
        raise UsageError(f"--okrt-base-model {error}") from None
    return tuple(replace(model, base=base) if is_adapter(model.path) else model for model in models)


def _checked_out(given: Given, text: str) -> Path:
    if not text:
        raise UsageError("--okrt-out '' names no directory")
    path = given.folder / text
    if given.writes:
        check_new(path)
    return path


def _checked_run(given: Given, text: str) -> Path:
    path = given.folder / text
    if not text or not (path / RUN).is_file():
        raise UsageError(f"--okrt-resume {text!r}: no run directory, it has no {RUN}")
    return path


def _axes(given: Given) -> dict[str, tuple[Any, ...]]:
    """Returns the values of the settings that may have several, those that were given."""
    found: dict[str, tuple[Any, ...]] = {}
    if caps := _several(given, "tool-cap", lambda text: specs.tool_cap(text, "--okrt-tool-cap")):
        found["tool_cap"] = caps
    if cues := _several(given, "cue", lambda text: _among("cue", text, get_args(types.Cue))):
        found["cue"] = cues
    if names := _several(given, "names", lambda text: _among("names", text, ("on", "off"))):
        found["names"] = tuple(value == "on" for value in names)
    return found


def _several(given: Given, name: str, read: Callable[[str], Any]) -> tuple[Any, ...]:
    """Returns the values that stand between commas; nothing where the option was not given."""
    text = given.value(name)
    if text is None:
        return ()
    parts = [part.strip() for part in str(text).split(",")]
    if len(parts) > 1 and "" in parts:
        raise UsageError(f"--okrt-{name} {text!r}: a value is missing beside a comma")
    values = tuple(map(read, parts))
    if twice := next((value for value in values if values.count(value) > 1), None):
        raise UsageError(f"--okrt-{name} {text!r}: {twice} is there twice; give each value once")
    return values


def _settings(given: Given, axes: Mapping[str, Any]) -> Settings:
    default = types.Settings()
    temperature = given.value("temperature")
    return types.Settings(
        **axes,
        prompt_set=_one_of(given, "prompts", PROMPT_SETS, default.prompt_set),
        format=_one_of(given, "format", get_args(types.Format), default.format),
        thinking=_one_of(given, "thinking", get_args(types.Thinking), default.thinking),
        max_turns=_whole(given, "max-turns", default.max_turns) or default.max_turns,
        temperature=_temperature(temperature) if temperature is not None else default.temperature,
        max_new_tokens=_whole(given, "max-new-tokens", None) or default.max_new_tokens,
        observation_chars=_whole(given, "observation-chars", None) or default.observation_chars,
        packages=tuple(sorted(set(given.values("allow-package")))),
        stop_repetition=_repetition(given),
    )


def _trained_under(given: Given, models: tuple[ModelSpec, ...]) -> dict[str, TrainedUnder]:
    declared: dict[str, TrainedUnder] = {}
    for text in given.values("trained-under"):
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


def _one_of(given: Given, name: str, allowed: tuple[str, ...], default: str) -> Any:
    value = given.value(name)
    return default if value is None else _among(name, value, allowed)


def _among(name: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise UsageError(f"--okrt-{name} {value!r} is not one of {', '.join(allowed)}")
    return value


def _whole(given: Given, name: str, default: int | None) -> int | None:
    value = given.value(name)
    return default if value is None else _at_least_one(name, value)


def _at_least_one(name: str, value: Any) -> int:
    if not _is_whole(value) or int(value) < 1:
        raise UsageError(
            f"--okrt-{name} {value!r:.60}: give a whole number of at least 1 and at most "
            f"{_DIGITS} digits"
        )
    return int(value)


def _is_whole(value: Any) -> bool:
    text = str(value).strip()
    return text.isdecimal() and len(text) <= _DIGITS


def _temperature(value: str) -> float:
    try:
        temperature = float(value)
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"--okrt-temperature {value!r}: give 0 (greedy) or a positive number")
    return temperature


def _repetition(given: Given) -> int:
    value = given.value("stop-repetition")
    if value is None or value == "off":
        return STOP_REPETITION if value is None else 0
    if not _is_whole(value) or int(value) < SHORTEST:
        raise UsageError(
            f"--okrt-stop-repetition {value!r}: give off or a whole number of at least {SHORTEST}"
        )
    return int(value)


def _positive(given: Given, name: str, unit: str) -> float | None:
    value = given.value(name)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UsageError(f"--okrt-{name} {value!r}: give a positive number of {unit}")
    return number
