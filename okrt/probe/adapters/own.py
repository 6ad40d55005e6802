"""A target of the user's own: `module:attribute`."""

from __future__ import annotations

from okrt import specs
from okrt.errors import SpecError
from okrt.probe.target import Target, TargetSpec


def make(spec: TargetSpec) -> Target:
    found = specs.attribute(spec.detail)
    target: Target = found() if callable(found) else found
    missing = [name for name in ("open", "close") if not callable(getattr(target, name, None))]
    if missing and callable(getattr(target, "keeps", None)):
        raise SpecError(
            f"target {spec.detail!r} is a contract: give it to okrt.testing.check_contract, which "
            "plays sessions under it"
        )
    if missing:
        raise SpecError(f"target {spec.detail!r} has no {', '.join(missing)}")
    return target
