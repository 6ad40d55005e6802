"""Presets: what options that were not given are.

`release`: does this model, in this runtime, hold up to the one before? They are filled from the
baseline, so that the run is of the same tasks under the same settings. What was given and says
something else is refused at once: episodes of it could not be compared.

`cue`: what do a note about the runtime, and a list of the names alive, do to a model?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from okrt import specs
from okrt.baselines.held import read_head, settings_of, several
from okrt.baselines.saved import find
from okrt.errors import UsageError
from okrt.index import plan_in
from okrt.plan import Planned

Value = Callable[[str], Any]
"""Of an option, None where it was not given; a list for one that may be repeated."""

RELEASE, CUE = PRESETS = ("release", "cue")
GATES = "release"
"""What `--okrt-gates` is where it is not given: the name of the gates that ship."""
_SETTINGS = {
    "prompts": "prompt_set",
    "cue": "cue",
    "names": "names",
    "format": "format",
    "thinking": "thinking",
    "tool-cap": "tool_cap",
    "max-turns": "max_turns",
    "temperature": "temperature",
    "max-new-tokens": "max_new_tokens",
    "observation-chars": "observation_chars",
    "allow-package": "packages",
    "stop-repetition": "stop_repetition",
}
"""Option -> field of `okrt.types.Settings`."""
_ABLATION = {"cue": "none,true,false", "names": "off,on"}
"""What the preset `cue` crosses."""
_NOT_GIVEN: tuple[Any, ...] = (None, [], ())


def filled(value: Value, folder: Path) -> Value:
    """Returns the options as the preset fills them; as they are where there is no preset.

    Raises:
        UsageError: the preset is unknown, lacks a model or a baseline, or an option contradicts the
            baseline.
    """
    preset, text = value("preset"), value("baseline")
    if preset is None:
        return value
    if preset not in PRESETS:
        raise UsageError(f"--okrt-preset {preset!r} is not one of {', '.join(PRESETS)}")
    if preset == CUE:
        return lambda name: _given_or(value(name), _ABLATION.get(name))
    if not value("model"):
        raise UsageError(f"--okrt-preset {preset} needs the model to be judged: give --model")
    if text is None:
        raise UsageError(
            f"--okrt-preset {preset} needs --okrt-baseline; to save a first one, run the model "
            "that is deployed now without the preset, then: okrt baseline save RUN NAME"
        )
    fill = _of_baseline(value, find(text, folder), f"--okrt-baseline {text}")

    return lambda name: _given_or(value(name), fill.get(name))


def _given_or(given: Any, fill: Any) -> Any:
    return fill if given in _NOT_GIVEN else given


def _of_baseline(value: Value, path: Path, named: str) -> dict[str, Any]:
    """Returns what the baseline says of each option, having seen that none contradicts it."""
    run = read_head(path)
    for line in several(run):
        raise UsageError(f"{named} holds {line}: a release is judged under one; give another")
    plan = plan_in(run) or ()
    chosen = _cells(value, plan, named)
    first, end = _seeds(chosen, named)
    repeats = 1 + max(one.repeat for one in chosen)
    if {one.repeat for one in chosen} != set(range(repeats)):
        raise UsageError(f"{named} does not hold the same repeats of every task; give another")
    settings = settings_of(run)
    fill: dict[str, Any] = {
        "runtime": sorted({one.contract for one in chosen}),
        "tier": sorted({one.tier for one in chosen}),
        "seeds": f"{first}:{end}",
        "repeats": str(repeats),
        **{option: _option(option, getattr(settings, f)) for option, f in _SETTINGS.items()},
    }
    for option in ("seeds", "repeats", *_SETTINGS):
        _refuse_other(option, value(option), fill[option], named)
    return {**fill, "gates": GATES}


def _cells(value: Value, plan: Sequence[Planned], named: str) -> list[Planned]:
    """The parts of the baseline's plan in the runtimes and tiers that were asked for, of which each
    is there. A runtime of the user's own, `module:attribute`, may bear any name."""
    for option, field in (("runtime", "contract"), ("tier", "tier")):
        there = sorted({str(getattr(one, field)) for one in plan})
        for text in value(option) or ():
            if ":" not in text and text not in there:
                held = ", ".join(there) or "nothing"
                raise UsageError(f"--okrt-{option} {text}: {named} holds {held}")
    runtimes = {text for text in value("runtime") or () if ":" not in text}
    tiers = set(value("tier") or ())
    found = [
        one
        for one in plan
        if (one.contract in runtimes or len(runtimes) < len(value("runtime") or ()) or not runtimes)
        and (not tiers or one.tier in tiers)
    ]
    if not found:
        raise UsageError(f"{named} does not say what it holds; save it anew")
    if any(one.split != "eval" for one in found):
        raise UsageError(f"{named} holds tasks that are not for evaluation; give another")
    return found


def _seeds(chosen: Sequence[Planned], named: str) -> tuple[int, int]:
    """The one range of seeds of all cells."""
    ranges = {one.seeds for one in chosen}
    if len(ranges) == 1 and len(next(iter(ranges))) == 1:
        return next(iter(ranges))[0]
    raise UsageError(
        f"{named} does not hold one range of seeds in every cell: name a tier (--okrt-tier) or a "
        "runtime, or give another baseline"
    )


def _refuse_other(option: str, given: Any, was: Any, named: str) -> None:
    if given not in _NOT_GIVEN and not _is_same(option, given, was):
        raise UsageError(
            f"--okrt-{option} {_said(given)} and {named}, which was run with {_said(was)}: leave "
            "the option out, or save a baseline with it"
        )


def _option(option: str, setting: Any) -> Any:
    """Returns a setting as an option has it."""
    match setting:
        case None:
            return None
        case bool():
            return "on" if setting else "off"
        case tuple():
            return list(setting)
    return "off" if option == "stop-repetition" and setting == 0 else str(setting)


def _is_same(option: str, given: Any, was: Any) -> bool:
    if option == "seeds":
        return specs.seeds(given) == specs.seeds(was)
    if isinstance(given, list | tuple):
        return sorted(set(given)) == sorted(was or ())
    try:
        return float(given) == float(was)
    except (TypeError, ValueError):
        return bool(given == was)


def _said(value: Any) -> str:
    if value in _NOT_GIVEN:
        return "the default"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
