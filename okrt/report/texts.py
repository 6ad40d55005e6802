"""What a table says in words and figures, before it is laid out.

Scores are shown in [0, 1] and rates in percent; a mean is shown as a lower bound (">=") where
limits cut more than 5% of the episodes; what was not measured is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from okrt.analysis.brief import Brief, briefs, is_expert
from okrt.analysis.cells import CENSORED_LIMIT, Cell, Table
from okrt.analysis.rows import Row
from okrt.analysis.settings import unusual
from okrt.analysis.stats import Estimate
from okrt.report.plain import one_line

SELF_CHECK = "self-check of the harness (scripted experts, not evidence about models)"
NOTHING = "-"
NOT_MEASURED = "not measured"
MOST_CALLS, BEYOND = "most calls of a block", "blocks beyond the cap"
"""Shown where several caps were run, or blocks tried to make more calls than the cap."""


def title(table: Table) -> str:
    """Returns the heading: what is crossed, where, and whether it says anything about models."""
    axes = [f"{axis}={value}" for axis, value in table.axes.items()]
    crossed = "train x runtime" if trainings(table) else "model x runtime"
    heading = ", ".join([f"{table.family}/{table.tier}", *axes, crossed])
    return f"{heading}: {SELF_CHECK}" if _scripted(table) else heading


def trainings(table: Table) -> dict[str, str]:
    """Returns what each model was trained under, if that is known of all and differs, else {}.

    Scripted experts are left out: they follow the idiom of a contract, nothing trained them.
    """
    under = _under(table)
    if "unknown" in under.values() or len(set(under.values())) < 2:
        return {}
    return under


def _under(table: Table) -> dict[str, str]:
    return {row.model: str(row.trained_under) for row in table.rows if not is_expert(row)}


def names(table: Table) -> dict[str, str]:
    """Returns, by label, how each model is named: with its training where that is known, or as a
    scripted expert."""
    named = {model: model for model in table.models}
    named |= {
        model: f"{model} (trained under {training})"
        for model, training in _under(table).items()
        if training != "unknown"
    }
    if not _scripted(table):
        experts = {row.model for row in table.rows if is_expert(row)}
        named |= {model: f"{model} (scripted expert, no evidence)" for model in experts}
    return named


def _scripted(table: Table) -> bool:
    return all(is_expert(row) for row in table.rows)


def notes(table: Table) -> list[str]:
    """Returns the lines beneath the heading: tasks, intervals, and what keeps figures apart."""
    cells = list(table.cells.values())
    lines = [_tasks(table), *_intervals(cells)]
    if any(cell.relative_score.value is not None for cell in cells):
        lines.append("relative score: 0 is blind play, 1 is the reference player")
    if any(cell.at_least for cell in cells):
        share = f"{CENSORED_LIMIT:.0%}"
        lines.append(f"means with >= are lower bounds: a limit ended over {share} of the episodes")
    if any(cell.flips for cell in cells):
        lines.append(
            "A/A: of the tasks played more than once, greedily, how many came out otherwise"
        )
    if strangers := sorted({row.model for row in table.rows if row.trained_on_tier is False}):
        lines.append(f"not trained on tier {table.tier}: {', '.join(strangers)}")
    if len(table.tokenizers) > 1:
        counted = ", ".join(one_line(tokenizer, 24) for tokenizer in table.tokenizers)
        lines.append(
            f"tokens do not compare between models here (counted by {counted}); characters do"
        )
    return lines


def figures(table: Table) -> dict[str, list[tuple[str, list[str]]]]:
    """Returns, for each model, its metrics with one text for each contract of the table.

    Left out are metrics that no cell has, and those that matter only in some tables.
    """
    metrics = [(name, show) for name, show in _METRICS if _applies(name, show, table)]
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for model in table.models:
        cells = [table.cells.get((model, contract)) for contract in table.contracts]
        found[model] = [
            (name, [(show(cell) if cell else "") or NOTHING for cell in cells])
            for name, show in metrics
        ]
    return found


def failures(rows: Iterable[Row | Brief]) -> list[str]:
    """Returns a heading and a line for each boundary at which infrastructure failed, or nothing."""
    ordered = sorted(briefs(rows), key=lambda row: row.episode_id)
    broken = [(row, row.failure) for row in ordered if row.failure is not None]
    lines = []
    for boundary in sorted({failure.boundary for _, failure in broken}):
        there = [(row, failure) for row, failure in broken if failure.boundary == boundary]
        row, failure = there[0]
        message = one_line(f"{failure.error_type}: {failure.message}")
        where = one_line(f"{row.model}, {row.contract}, {row.task_id}")
        lines.append(f"{boundary}: {len(there)}, the first: {message} ({where})")
    if lines:
        plural = "s" if len(broken) > 1 else ""
        lines.insert(0, f"Infrastructure failures: {len(broken)} episode{plural}, never scored")
    return lines


def time_spent(rows: Iterable[Row | Brief]) -> str:
    """Returns where the time of the episodes of models that were not scripted went, or nothing."""
    played = (row for row in briefs(rows) if row.model_kind != "scripted")
    spent = [row for row in played if row.harness_s is not None]
    if not spent:
        return ""
    model = sum(row.model_s or 0.0 for row in spent)
    sandbox = sum(row.sandbox_s or 0.0 for row in spent)
    harness = sum(row.harness_s or 0.0 for row in spent)
    line = f"time in model {model:.1f} s, sandbox {sandbox:.1f} s, harness {harness:.1f} s"
    if model > 0:
        line += f"; {sum(row.completion_tokens or 0 for row in spent) / model:,.0f} tokens/s"
    known = [row for row in spent if row.cached_tokens is not None and row.prompt_tokens]
    if known:
        cached = sum(row.cached_tokens or 0.0 for row in known)
        line += f"; {cached / sum(row.prompt_tokens or 0 for row in known):.0%} of prompts cached"
    return line


def _applies(name: str, show: Callable[[Cell], str], table: Table) -> bool:
    if name == "characters" and len(table.tokenizers) < 2:
        return False
    if name in (MOST_CALLS, BEYOND):
        return "tool_cap" in table.axes or any(
            cell.exposure is not None and cell.exposure.value for cell in table.cells.values()
        )
    if name == "infrastructure failures":
        return any(cell.failures for cell in table.cells.values())
    return any(show(cell) for cell in table.cells.values())


def _tasks(table: Table) -> str:
    scored = [row for row in table.rows if row.score is not None]
    seeds = _spans({row.seed for row in scored})
    splits = "/".join(sorted({row.split for row in table.rows}))
    count = len({row.task_id for row in scored})
    repeats = len({row.repeat for row in scored})
    salts = [f", private: salt {row.salt}" for row in table.rows[:1] if row.salt is not None]
    where = f"{splits}, seeds {seeds or NOTHING}{''.join(salts)}"
    line = f"{count} task{'' if count == 1 else 's'} ({where})"
    if repeats > 1:
        line += f", {repeats} repeats of each, averaged first"
    line += "".join(f", {setting}" for setting in unusual(table.rows, apart=table.axes))
    held = [cell.tasks for cell in table.cells.values()]
    if len({*held, count}) > 1:
        line += f"; not every cell holds all: {min(held)} to {max(held)}"
    return line


def _spans(seeds: Collection[int]) -> str:
    """Returns `0-9, 12` for these seeds; of many spans, the first and the last."""
    starts = [seed for seed in seeds if seed - 1 not in seeds]
    ends = [seed for seed in seeds if seed + 1 not in seeds]
    spans = [
        str(start) if start == end else f"{start}-{end}"
        for start, end in zip(sorted(starts), sorted(ends), strict=True)
    ]
    return ", ".join(spans if len(spans) <= 4 else [*spans[:2], "...", spans[-1]])


def _intervals(cells: Sequence[Cell]) -> list[str]:
    estimates = [
        estimate
        for cell in cells
        for estimate in (
            cell.score,
            cell.relative_score,
            cell.solved,
            cell.missing_variable_rate,
            cell.lost_rate,
            cell.score_per_1k,
            *([cell.exposure] if cell.exposure and cell.exposure.value else []),
            *((cell.flips.transcripts, cell.flips.scores) if cell.flips else ()),
        )
    ]
    claimed = [one for one in estimates if one.low is not None or one.high is not None]
    notes = []
    if claimed:
        methods = "; ".join(sorted({estimate.method for estimate in claimed}))
        levels = ", ".join(sorted({f"{100 * estimate.level:g}%" for estimate in claimed}))
        notes.append(f"[low, high]: {levels} interval over tasks ({methods})")
    unclaimed = [one for one in estimates if one.value is not None and one not in claimed]
    if unclaimed:
        reasons = "; ".join(sorted({one.method.removeprefix("none: ") for one in unclaimed}))
        notes.append(f"[{NOTHING}]: no interval is claimed ({reasons})")
    return notes


def shown(
    estimate: Estimate, scale: float = 1, decimals: int = 3, unit: str = "", sign: str = ""
) -> str:
    """Returns the value with its interval, "" where there is none; `sign` is "+" for differences.

    An end that is missing is "..."; the value is then "at least" or "at most" what stands there.
    """
    if estimate.value is None:
        return ""
    value = f"{scale * estimate.value:{sign}.{decimals}f}{unit}"
    if estimate.low is None and estimate.high is None:
        return f"{estimate.side and f'{estimate.side} '}{value} [{NOTHING}]"
    low, high = (
        "..." if end is None else f"{scale * end:{sign}.{decimals}f}"
        for end in (estimate.low, estimate.high)
    )
    side = "at least " if estimate.high is None else "at most " if estimate.low is None else ""
    return f"{side}{value} [{low}, {high}]"


def _estimate(estimate: Estimate, cell: Cell, scale: float, decimals: int, unit: str = "") -> str:
    text = shown(estimate, scale, decimals, unit)
    return text if not text or estimate.n == cell.tasks else f"{text} (n={estimate.n})"


def _flips(estimate: Estimate) -> str:
    """Of how many tasks, and the share: nothing else in a table is counted over them."""
    count = f"{round((estimate.value or 0.0) * estimate.n)} of {estimate.n}"
    return f"{count}: {shown(estimate, 100, 1, '%')}"


def _demand(cell: Cell) -> str:
    """A lower bound where the cap refused a call, as the block may have been ended there."""
    if cell.max_demand is None:
        return ""
    beyond = cell.exposure is not None and bool(cell.exposure.value)
    return f"{'>= ' if beyond else ''}{cell.max_demand}"


def _exposure(cell: Cell) -> str:
    return "" if cell.exposure is None else _estimate(cell.exposure, cell, 100, 1, "%")


def _mean(value: float | None, cell: Cell, decimals: int = 0) -> str:
    if value is None:
        return NOT_MEASURED if cell.n else ""
    return f"{'>= ' if cell.at_least else ''}{value:,.{decimals}f}"


_METRICS: tuple[tuple[str, Callable[[Cell], str]], ...] = (
    ("score", lambda cell: _estimate(cell.score, cell, 1, 3)),
    ("relative score", lambda cell: _estimate(cell.relative_score, cell, 1, 3)),
    ("solved", lambda cell: _estimate(cell.solved, cell, 100, 1, "%")),
    ("turns", lambda cell: _mean(cell.turns, cell, 1)),
    ("completion tokens", lambda cell: _mean(cell.completion_tokens, cell)),
    ("new tokens", lambda cell: _mean(cell.new_tokens, cell)),
    ("total tokens", lambda cell: _mean(cell.total_tokens, cell)),
    ("characters", lambda cell: _mean(cell.transcript_chars, cell)),
    (
        "missing-variable episodes",
        lambda cell: _estimate(cell.missing_variable_rate, cell, 100, 1, "%"),
    ),
    ("lost-variable episodes", lambda cell: _estimate(cell.lost_rate, cell, 100, 1, "%")),
    ("score x100 per 1k tokens", lambda cell: _estimate(cell.score_per_1k, cell, 100, 2)),
    (
        "ended by a limit",
        lambda cell: "" if cell.censored_share is None else f"{cell.censored_share:.1%}",
    ),
    (MOST_CALLS, lambda cell: _demand(cell)),
    (BEYOND, lambda cell: _exposure(cell)),
    ("A/A: transcripts differ", lambda cell: _flips(cell.flips.transcripts) if cell.flips else ""),
    ("A/A: scores differ", lambda cell: _flips(cell.flips.scores) if cell.flips else ""),
    ("infrastructure failures", lambda cell: str(cell.failures)),
)
