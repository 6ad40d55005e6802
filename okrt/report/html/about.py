"""How a run was made, and what its figures mean, as HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from okrt.analysis.brief import Brief
from okrt.analysis.cells import AXES
from okrt.report.html.gates import grid
from okrt.report.html.markup import Markup, element, join
from okrt.report.plain import one_line
from okrt.report.tables import MEANING
from okrt.report.texts import failures

_MODEL = ("model", "model_spec", "model_kind", "trained_under", "model_digest", "tokenizer")
_LONGEST = 2_000
"""Characters of a value."""
ISOLATION = {
    "T0": "T0: resource limits, Landlock and a seccomp allowlist",
    "T1": "T1: as T0, in namespaces of its own",
    "unsafe": "unsafe: no sandbox, with the user's own rights",
    "none": "none: no sandbox on this system",
}
COUNTED = (
    "Total tokens of an episode are the sum over its turns of what the model read and generated: "
    "the history counts again in each turn. Cells show means over tasks, repeats averaged first.",
    "Read for the first time: new tokens less the generated ones: the first prompt, and by how "
    "much each later prompt is longer than the prompt and reply before it.",
    "Written again (estimate): of each reply, the share of its characters that are statements of "
    "the block's outermost level binding anew a name that an earlier turn had bound, without "
    "reading it. Loops that fill such a name are not counted: a lower bound.",
    "Generated: all other tokens of replies.",
    "Read again: total tokens less new ones: the history, fed once more in every turn. A prefix "
    "cache makes it cheap; it counts in the published measure.",
    "Tool calls repeated: successful calls that had succeeded with the same arguments in an "
    "earlier turn of the episode.",
)
"""How the page counts where tokens went."""


def failed(rows: Sequence[Brief]) -> Markup:
    """Returns what infrastructure broke off, or nothing."""
    lines = failures(rows)
    if not lines:
        return Markup("")
    items = element("ul", *(element("li", line) for line in lines[1:]))
    return element("div", element("p", element("strong", lines[0])), items, class_="note")


def made(run: Mapping[str, Any], rows: Sequence[Brief]) -> Markup:
    """Returns models, settings, machine and versions; any part of `run` may lack."""
    found = sorted({tuple(_word(getattr(row, field)) for field in _MODEL) for row in rows})
    heads = [field.replace("_", " ") for field in _MODEL]
    return join(
        [
            element("h3", "Models"),
            grid("Models", heads, found) if found else element("p", "No episodes, no models."),
            element("h3", "Isolation of the code that ran"),
            element("ul", *(element("li", one) for one in _isolation(rows))),
            element("h3", "Settings"),
            _pairs(_settings(run, rows)),
            element("h3", "Where and with what"),
            _pairs(_circumstances(run)),
        ]
    )


def meaning() -> Markup:
    """Returns what the results do and do not say."""
    return element("ul", *(element("li", line) for line in MEANING))


def counted() -> Markup:
    """Returns how the page counts where tokens went."""
    return element("ul", *(element("li", line) for line in COUNTED))


def _isolation(rows: Sequence[Brief]) -> list[str]:
    tiers = sorted({row.isolation for row in rows})
    return [ISOLATION.get(tier, tier) for tier in tiers] or ["nothing ran"]


def _settings(run: Mapping[str, Any], rows: Sequence[Brief]) -> Iterable[tuple[str, str]]:
    given = run.get("settings")
    asked = given if isinstance(given, Mapping) else {}
    for axis in AXES:
        values = sorted({getattr(row, axis) for row in rows})
        if values:
            yield axis.replace("_", " "), ", ".join(map(_word, values))
    for name in sorted(asked):
        if name not in AXES:
            yield name.replace("_", " "), _word(asked[name])


def _circumstances(run: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "command", _word(run.get("arguments"))
    for name in ("created", "commit", "okrt", "machine", "sandbox"):
        yield name, _word(run.get(name))
    versions = run.get("versions")
    if isinstance(versions, Mapping):
        for name in sorted(versions):
            yield name, _word(versions[name])


def _pairs(pairs: Iterable[tuple[str, str]]) -> Markup:
    lines = ([element("dt", name), element("dd", value)] for name, value in pairs)
    return element("dl", *lines)


def _word(value: Any) -> str:
    """A value of `run.json` or of a row in words."""
    match value:
        case None:
            return "not recorded"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            parts = (f"{key} {_word(value[key])}" for key in sorted(value))
            return one_line(", ".join(parts), _LONGEST)
        case list() | tuple():
            return one_line(" ".join(map(str, value)), _LONGEST) or "none"
        case _:
            return one_line(str(value), _LONGEST)
