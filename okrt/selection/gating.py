"""Gates fill in what a run must hold: `[run]` of a gate file in the place of options not given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from okrt import specs
from okrt.errors import UsageError
from okrt.gates.file import GateFile, find, read
from okrt.selection.preset import RELEASE

if TYPE_CHECKING:
    from okrt.selection.arguments import Given


def filled(given: Given) -> tuple[Given, GateFile | None]:
    """Returns the options as the gates fill them in, and the gates, if any are given.

    The gate file comes before ini keys: what must be there is written in it. More than it asks for
    may be run, less never.

    Raises:
        UsageError: there is no such file, something in it is wrong, no `--model` is on the command
            line, or an option there leaves out what the file states.
    """
    text = given.value("gates")
    if text is None:
        return given, None
    file = read(find(text, given.folder), given.own_contract, decidable=True)
    if not given.stated("model"):
        raise UsageError(
            f"--okrt-gates {text!r}: a verdict is on the model that is named with it: give --model "
            "on the command line (an ini key is not enough)"
        )
    if not file.runtimes and not given.stated("runtime"):
        raise UsageError(f"--okrt-gates {text!r} states no runtimes: give --runtime, the deployed")
    stated: dict[str, Any] = {
        "tier": list(file.tiers),
        "seeds": f"{file.seeds.start}:{file.seeds.stop}",
        "repeats": str(file.repeats),
    }
    if file.runtimes:
        stated["runtime"] = list(file.runtimes)
    if file.tool_cap is not None:
        stated["tool-cap"] = str(file.tool_cap)
    filled_from = given.value("baseline") if given.value("preset") == RELEASE else None
    for name, value in stated.items():
        own = given.stated(name)
        if own is not None:
            _check(name, own, value, text, filled_from)
            stated[name] = own
    return replace(given, value=lambda name: stated.get(name) or given.value(name)), file


def check_models(file: GateFile, labels: Iterable[str]) -> None:
    """Raises UsageError where a gate is about a model that was not given."""
    known = list(labels)
    for gate in file.gates:
        other = gate.against if gate.against is None else getattr(gate.against, "model", None)
        for label in (gate.model, other):
            if label is not None and label not in known:
                raise UsageError(
                    f"{file.name}: gate {gate.name!r}: model {label!r} is not among those given: "
                    f"{', '.join(known)}"
                )


def check_axes(given: Given, axes: Mapping[str, Any]) -> None:
    """Raises UsageError where a run of several values of a setting is to be judged, or compared
    with a baseline: both are about one."""
    judging = next((name for name in ("gates", "baseline") if given.value(name) is not None), None)
    if judging is None or not axes:
        return
    option = next(iter(axes)).replace("_", "-")
    raise UsageError(
        f"--okrt-{option} {given.value(option)} with --okrt-{judging} {given.value(judging)}: "
        f"{'gates judge' if judging == 'gates' else 'a baseline is compared with'} one value; "
        "make a run of each"
    )


def _check(name: str, own: Any, stated: Any, text: str, baseline: str | None) -> None:
    """Raises UsageError where an option leaves out what the gate file states. Options that were not
    given may have been taken from `baseline`."""
    if _leaves_out(name, own, stated):
        has = " ".join(own) if isinstance(own, list) else own
        asked = " ".join(stated) if isinstance(stated, list) else stated
        if baseline is not None:
            raise UsageError(
                f"--okrt-{name} {has}, given or taken from --okrt-baseline {baseline}, contradicts "
                f"the gates {text!r}, which state {asked}: give gates of your own (--okrt-gates "
                "FILE), or a baseline of that"
            )
        raise UsageError(
            f"--okrt-{name} {has} contradicts the gates {text!r}, which state {asked}: leave it out"
        )


def _leaves_out(name: str, own: Any, stated: Any) -> bool:
    """Whether an option lacks something of what the gate file states."""
    if name == "seeds":
        mine, theirs = specs.seeds(own), specs.seeds(stated)
        return theirs.start < mine.start or theirs.stop > mine.stop
    if name == "repeats":  # what is no number is refused where it is read
        number = own.strip().lstrip("0")
        return number.isdecimal() and len(number) <= len(stated) and int(number) < int(stated)
    if name == "tool-cap":
        return stated not in [cap.strip() for cap in own.split(",")]
    return not {*stated} <= {*own}
