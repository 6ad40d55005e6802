"""The fit card: one page for a model card that says what a runtime other than the declared one does
to a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from okrt.analysis.brief import Brief
from okrt.analysis.cells import Cell, Table, tables
from okrt.analysis.claims import Contrast, Finding, findings
from okrt.analysis.estimands import (
    any_lost,
    any_missing,
    difference,
    rate_contrast,
    relative_difference,
    token_ratio,
)
from okrt.analysis.pairing import identical_tasks
from okrt.errors import UsageError
from okrt.exports.escaping import markdown_text
from okrt.exports.reproducing import reproduced
from okrt.exports.table import COLUMNS, cells, figures, shown
from okrt.redact import without_secrets
from okrt.report.plain import one_line
from okrt.report.texts import notes

CONTRACTS = ("persistent", "stateless")
LISTED = 10
"""Labels that are named where several fit."""
_SETTINGS = (
    "prompt_set", "cue", "names", "format", "thinking", "temperature", "max_turns", "tool_cap",
    "packages",
)  # fmt: skip
"""Of the rows; what one model was given is not always what `run.json` asked for."""
_OF_THE_RUN = ("max_new_tokens", "observation_chars", "token_budget")


@dataclass(frozen=True, slots=True)
class Away:
    """What a model does in one runtime, beside its home or another, on one tier."""

    table: Table
    home: str
    other: str
    findings: tuple[Finding, ...]


def choose(rows: Sequence[Brief], label: str | None) -> str:
    """Returns the label of the model that a card is to be of: the one that was named, else the only
    one, scripted experts left out where there are others.

    Raises:
        okrt.errors.UsageError: there is none, or there are several.
    """
    labels = sorted({row.model for row in rows})
    models = sorted({row.model for row in rows if not _scripted(row)})
    if not labels:
        raise UsageError("no episodes: there is nothing to say")
    there = ", ".join([one_line(one, 80) for one in labels[:LISTED]])
    there += f" and {len(labels) - LISTED} more" if len(labels) > LISTED else ""
    if label is not None:
        if label not in labels:
            raise UsageError(f"no model {one_line(label, 80)!r} here: there is {there}")
        return label
    found = models or labels
    if len(found) > 1:
        raise UsageError(f"a card is of one model: choose by --model LABEL among {there}")
    return found[0]


def card(
    rows: Sequence[Brief],
    label: str,
    run: Mapping[str, Any],
    gates: Mapping[str, Any] | None = None,
) -> str:
    """Returns the card of a model as Markdown that ends in a newline.

    Args:
        rows: of a run; those of other models are passed over.
        label: of the model.
        run: its `run.json`, of which any part may lack.
        gates: its `gates.json`, if there is one.

    Raises:
        okrt.errors.UsageError: infrastructure broke off all of its episodes.
    """
    own = [row for row in rows if row.model == label]
    if not any(row.score is not None for row in own):
        raise UsageError(
            f"nothing to say of {one_line(label, 80)}: infrastructure broke off every episode "
            f"({len(own)})"
        )
    found = tables(own)
    away = _away(found)
    parts = [
        _head(own[0]),
        _contract(own, found, away),
        *(_measured(table, [one for one in away if one.table is table]) for table in found),
        ["## How to read the figures", "", *_bullets(_reading(found))],
        ["## How it was measured", "", *_bullets(_how(own, run, gates))],
        ["## To reproduce it", "", *reproduced(run)],
        ["## What this does not mean", "", *_bullets(_MEANING)],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


_MEANING = (
    "It speaks about these weights on tasks drawn like these, under these settings. Other "
    "families, tiers, caps and prompts may come out otherwise.",
    "Training the same way again may give another model: no interval here covers that.",
    "Undecided is not equal: no margin was stated here, so that nothing is said to be equivalent.",
    "The declared contract is what was declared for the model; nothing here checks it.",
    "Total tokens count the history again in each turn; a prefix cache saves most of that.",
    "Blind play reaches the floor, which may lie well above 0; relative scores are 0 there.",
)


def _head(one: Brief) -> list[str]:
    name = markdown_text(one_line(one.model))
    if _scripted(one):
        return [
            f"# Self-check of the harness: {name}",
            "",
            "**Not a fit card.** A scripted expert follows the idiom of a contract; nothing "
            "trained it, and what it does is no evidence about models.",
        ]
    return [f"# Runtime fit: {name}"]


def _contract(own: Sequence[Brief], found: Sequence[Table], away: Sequence[Away]) -> list[str]:
    one = own[0]
    measured = sorted({cell.contract for table in found for cell in table.cells.values() if cell.n})
    declared = {
        "unknown": "**Trained under:** not declared.",
        "mixed": "**Trained under:** both contracts, as declared.",
    }.get(one.trained_under, f"**Trained under:** {one.trained_under}, as declared.")
    lines = [declared, "", f"**Measured in:** {', '.join(map(markdown_text, measured))}."]
    if missing := [contract for contract in CONTRACTS if contract not in measured]:
        whose = "its own contract" if one.trained_under in missing else "the other contract"
        lines += [
            "",
            f"**Not measured:** what happens in the {' or '.join(missing)} runtime"
            f"{f', {whose}' if one.trained_under in CONTRACTS else ''}. Nothing is known of it.",
        ]
    if any(_identical(one) for one in away):
        lines += [
            "",
            "Where the transcripts are the same word by word, the runtime changed nothing.",
        ]
    return lines


def _identical(one: Away) -> bool:
    return any(finding.word == "identical" for finding in one.findings)


def _away(found: Sequence[Table]) -> list[Away]:
    """Compares each runtime with the one that the model was trained under, where that was measured,
    else with persistent. All tests of the card are corrected together."""
    pairs: list[tuple[Table, str, str]] = []
    contrasts: list[list[Contrast]] = []
    for table in found:
        members = {cell.contract: rows for cell, rows in cells(table) if cell.n}
        trained = table.rows[0].trained_under
        home = next((one for one in (trained, *CONTRACTS) if one in members), "")
        for other in sorted(members):
            if home and other != home:
                pairs.append((table, home, other))
                contrasts.append(_contrasts(members[other], members[home], other, home))
    said = iter(findings([one for some in contrasts for one in some]))
    return [
        Away(*pair, tuple(next(said) for _ in some))
        for pair, some in zip(pairs, contrasts, strict=True)
    ]


def _contrasts(
    there: Sequence[Brief], home: Sequence[Brief], other: str, own: str
) -> list[Contrast]:
    same = identical_tasks(there, home)
    if same[0] == same[1] > 0:
        return [Contrast(f"transcripts, {other} and {own}", difference(there, home), same=same)]
    less, over = f"{other} less {own}", f"{other} over {own}"
    return [
        Contrast(f"score, {less}", difference(there, home)),
        Contrast(f"relative score, {less}", relative_difference(there, home)),
        Contrast(f"total tokens, {over}", token_ratio(there, home), null=1),
        Contrast(f"share of lost-variable episodes, {less}", rate_contrast(there, home, any_lost)),
        Contrast(
            f"share of missing-variable episodes, {less}", rate_contrast(there, home, any_missing)
        ),
    ]


def _measured(table: Table, away: Sequence[Away]) -> list[str]:
    axes = [f"{axis}={value}" for axis, value in table.axes.items()]
    lines = [f"## {markdown_text(', '.join([f'{table.family}/{table.tier}', *axes]))}", ""]
    members = list(cells(table))
    heads = [_named(cell, rows) for cell, rows in members]
    lines += [f"{markdown_text(notes(table)[0])}.", ""]
    lines += [_pipe(["", *heads]), _pipe(["---", *["---:"] * len(heads)])]
    for name, texts in _figures(members):
        lines.append(_pipe([name, *texts]))
    if said := [finding.text for one in away for finding in one.findings]:
        lines += ["", "Compared task by task:", "", *_bullets(said)]
    return lines


def _reading(found: Sequence[Table]) -> list[str]:
    """The notes of all tables but the first of each, which says what its tasks are."""
    return list(dict.fromkeys(note for table in found for note in notes(table)[1:]))


def _named(cell: Cell, rows: Sequence[Brief]) -> str:
    return (
        f"{cell.contract} (declared)" if rows[0].trained_under == cell.contract else cell.contract
    )


def _figures(members: Sequence[tuple[Cell, Sequence[Brief]]]) -> Iterator[tuple[str, list[str]]]:
    """Yields each figure's name with its text in each runtime."""
    yield "episodes", [str(cell.n) for cell, _ in members]
    found = [(cell, figures(cell, rows)) for cell, rows in members]
    for place, column in enumerate(COLUMNS):
        texts = [" ".join(shown(column, some[place][1], cell)) for cell, some in found]
        yield column.head.replace("\n", " "), texts
    shares = [cell.censored_share for cell, _ in members]
    yield "ended by a limit", ["-" if share is None else f"{share:.1%}" for share in shares]
    if any(cell.failures for cell, _ in members):
        yield "infrastructure failures", [str(cell.failures) for cell, _ in members]


def _how(
    own: Sequence[Brief], run: Mapping[str, Any], gates: Mapping[str, Any] | None
) -> Iterator[str]:
    """Yields a line for each circumstance."""
    one = own[0]
    digest = f", digest {one.model_digest}" if one.model_digest else ""
    yield f"model: {without_secrets(one.model_spec)} ({one.model_kind}{digest})"
    yield f"tokens counted by: {', '.join(sorted({row.tokenizer for row in own}))}"
    for setting in _SETTINGS:
        values = sorted({_value(getattr(row, setting)) for row in own})
        yield f"{setting}: {', '.join(values)}"
    asked = run.get("settings") or {}
    for setting in _OF_THE_RUN:
        if setting in asked:
            yield f"{setting}: {_value(asked[setting])}"
    yield f"isolation of the code that ran: {', '.join(sorted({row.isolation for row in own}))}"
    yield f"run: {run.get('created') or 'time not recorded'}, commit {run.get('commit') or 'none'}"
    versions = run.get("versions") or {}
    yield f"versions: {', '.join(f'{name} {versions[name]}' for name in sorted(versions)) or '-'}"
    if run.get("complete") is False:
        yield "the run is incomplete: episodes that it was to hold are missing or failed"
    if gates is not None:
        words, verdict = str(gates.get("words") or "no reason is given"), str(gates.get("verdict"))
        said = words if words.startswith(verdict) else f"{verdict}: {words}"
        yield f"gates ({gates.get('file')}): {said}"


def _scripted(row: Brief) -> bool:
    return row.model_spec.startswith("expert:")


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case list() | tuple():
            return " ".join(map(str, value)) or "none"
        case _:
            return str(value)


def _bullets(lines: Iterator[str] | Sequence[str]) -> list[str]:
    return [f"- {markdown_text(one_line(line, 1_000))}" for line in lines]


def _pipe(texts: Sequence[str]) -> str:
    return f"| {' | '.join(markdown_text(one_line(text)) for text in texts)} |"
