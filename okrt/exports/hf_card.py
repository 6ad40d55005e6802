"""The card of a `datasets` folder: what it holds, what each column is, what it does not mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from okrt.exports.columns import COLUMNS
from okrt.plan import AXES
from okrt.report.plain import one_line
from okrt.report.tables import MEANING

CARD = "README.md"
_MESSAGES = (
    "`messages` is the chat in the form of OpenAI's requests: `role`, `content`, and for agents "
    "that act by calling a function `tool_calls` and `tool_call_id`. The other columns are those "
    "of `rows`. Episodes that infrastructure broke off are left out."
)
_LICENCE = (
    "None is stated: whoever publishes this folder chooses one, and adds `license:` to the header. "
    "The messages are a model's words and a task's, whose terms may apply. Tasks that are "
    "published wear out: models may come to be trained on them."
)
_PRIVATE = (
    "**private tasks**: they were drawn from a secret, and the messages hold them. Who reads this "
    "folder knows them"
)


class Held(NamedTuple):
    """Whose episodes the folder holds, and where they ran."""

    family: str
    tier: str
    model: str
    trained_under: str
    runtime: str
    tool_cap: int
    cue: str
    names: bool


def card(
    name: str,
    run: Mapping[str, Any],
    held: Mapping[Held, int],
    splits: Mapping[str, Collection[str]],
) -> str:
    """Returns the card. `splits` are those of each configuration; `run` is `run.json`."""
    lines = [*_header(splits), "", f"# okrt run {_cell(name)}", ""]
    lines += ["Episodes of a code agent under runtime contracts, measured by okrt.", ""]
    several = [axis for axis in AXES if len({getattr(one, axis) for one in held}) > 1]
    heads = ["family/tier", "model", "trained under", "runtime", *several, "episodes"]
    lines += [_pipe(heads), _pipe(["---"] * len(heads))]
    for one, count in sorted(held.items()):
        cell = [f"{one.family}/{one.tier}", one.model, one.trained_under, one.runtime]
        axes = [str(getattr(one, axis)) for axis in several]
        lines.append(_pipe([*cell, *axes, f"{count:,}"]))
    lines += ["", *(f"- {field}: {_told(run, field)}" for field in ("okrt", "created", "commit"))]
    if run.get("complete") is False:
        lines += ["- incomplete: episodes that the run was to hold are missing or failed"]
    lines += [f"- {_PRIVATE}"] if run.get("salt") else []
    lines += ["", "## Columns of `rows`", "", _pipe(["column", "type", "meaning"])]
    lines += [_pipe(["---"] * 3)]
    lines += [_pipe([f"`{one.name}`", one.kind, one.meaning]) for one in COLUMNS]
    if "messages" in splits:
        lines += ["", "## Columns of `messages`", "", _MESSAGES]
    lines += ["", "## What this does and does not mean", "", *(f"- {line}" for line in MEANING)]
    return "\n".join([*lines, "", "## Licence", "", _LICENCE]) + "\n"


def _header(splits: Mapping[str, Collection[str]]) -> list[str]:
    """YAML; configurations and splits are words of okrt's own, so nothing needs quotes."""
    lines = ["---", "tags:", "- okrt", "- code-agents", "configs:"]
    for config in splits:
        lines += [f"- config_name: {config}"]
        lines += ["  default: true"] if config == "rows" else []
        lines += ["  data_files:"]
        for split in sorted(splits[config]):
            lines += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    return [*lines, "---"]


def _told(run: Mapping[str, Any], field: str) -> str:
    value = run.get(field)
    return "not recorded" if value is None else _cell(str(value))


def _pipe(cells: list[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Names come from outside and may hold marks, HTML and line ends."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
