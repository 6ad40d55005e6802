"""Episodes of the study -> the tables of its page, seed by seed, and which findings they show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from okrt.analysis.cells import Cell, tables
from okrt.analysis.rows import row
from okrt.types import Episode
from training.tiny.play import bad_paste_rate

CELLS = (
    ("persistent", "persistent"),
    ("persistent", "stateless"),
    ("stateless", "stateless"),
    ("stateless", "persistent"),
)
"""Trained under, run under."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of means, of which limits may have made lower bounds."""

    value: float
    above: bool = False
    """Whether the numerator is a lower bound."""
    below: bool = False
    """Whether the denominator is."""

    @property
    def low(self) -> float:
        """What it is at least: nothing where the denominator is a lower bound."""
        return 0.0 if self.below else self.value

    def text(self, unit: str = "") -> str:
        """Returns it with `>=` or `<=` where it is a bound; where both means are, `-`."""
        if self.above and self.below:
            return "-"
        return f"{'>= ' * self.above}{'<= ' * self.below}{self.value:.2f}{unit}"


class Played:
    """The episodes of one set of models; a model's label is the contract it was trained under."""

    def __init__(self, episodes: Iterable[Episode]) -> None:
        self.episodes: dict[tuple[str, str], list[Episode]] = {}
        for episode in sorted(episodes, key=lambda episode: episode.task.seed):
            self.episodes.setdefault((episode.model.label, episode.contract), []).append(episode)

    @cached_property
    def cells(self) -> Mapping[tuple[str, str], Cell]:
        rows = [row(episode) for episodes in self.episodes.values() for episode in episodes]
        (table,) = tables(rows)
        return table.cells

    def score(self, trained: str, run: str) -> float:
        return known(self.cells[trained, run].score.value)

    def ratio(self, above: tuple[str, str], below: tuple[str, str], tokens: str) -> Ratio:
        """Returns a ratio of mean tokens; `tokens` is the cell's field."""
        one, other = self.cells[above], self.cells[below]
        value = known(getattr(one, tokens)) / known(getattr(other, tokens))
        return Ratio(value, one.at_least, other.at_least)

    @property
    def identical(self) -> tuple[int, int]:
        """In how many tasks, of how many, the stateless-trained model wrote and was shown the same
        in both runtimes."""
        pairs = zip(
            self.episodes["stateless", "stateless"],
            self.episodes["stateless", "persistent"],
            strict=True,
        )
        same = [_messages(one) == _messages(other) for one, other in pairs]
        return sum(same), len(same)

    @property
    def repeated(self) -> float:
        """Which share of the persistent-trained model's blocks in stateless, after the first that
        missed a name, repeats an earlier block of the episode word by word."""
        again: list[bool] = []
        for episode in self.episodes["persistent", "stateless"]:
            assert episode.trajectory is not None
            written: list[str | None] = []
            missed = False
            for turn in episode.trajectory.turns:
                if missed:
                    again.append(turn.code in written)
                written.append(turn.code)
                missed |= turn.execution is not None and turn.execution.missing_name is not None
        return fmean(again) if again else 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of the study, and when the tiny models show it."""

    text: str
    shown: Callable[[Played], bool]
    figure: Callable[[Played], str]


FINDINGS = (
    Finding(
        "A persistent-trained model in a stateless runtime misses variables in most episodes "
        "(published: about 80%; shown: at least 60%).",
        lambda played: _missing(played, CELLS[1]) >= 0.6,
        lambda played: f"{_missing(played, CELLS[1]):.0%}",
    ),
    Finding(
        "In the other three cells hardly any episode misses a variable (shown: at most 5%).",
        lambda played: max(_missing(played, cell) for cell in CELLS if cell != CELLS[1]) <= 0.05,
        lambda played: f"{max(_missing(played, cell) for cell in CELLS if cell != CELLS[1]):.0%}",
    ),
    Finding(
        "At home, a stateless-trained model generates more than a persistent-trained one (shown: "
        "at least 1.8 times the completion tokens).",
        lambda played: played.ratio(CELLS[2], CELLS[0], "completion_tokens").low >= 1.8,
        lambda played: played.ratio(CELLS[2], CELLS[0], "completion_tokens").text("x"),
    ),
    Finding(
        "It goes on doing so in a persistent runtime (shown: at least 1.6 times the completion "
        "tokens of the persistent-trained model there).",
        lambda played: played.ratio(CELLS[3], CELLS[0], "completion_tokens").low >= 1.6,
        lambda played: played.ratio(CELLS[3], CELLS[0], "completion_tokens").text("x"),
    ),
    Finding(
        "It costs more total tokens there, the history counted again each turn (published: about "
        "3.5 times; shown: above 1).",
        lambda played: played.ratio(CELLS[3], CELLS[0], "total_tokens").low > 1,
        lambda played: played.ratio(CELLS[3], CELLS[0], "total_tokens").text("x"),
    ),
    Finding(
        "The persistent-trained model's quality holds in a stateless runtime (published: no "
        "significant difference; shown: its mean score falls by less than 0.05).",
        lambda played: played.score(*CELLS[0]) - played.score(*CELLS[1]) < 0.05,
        lambda played: f"-{played.score(*CELLS[0]) - played.score(*CELLS[1]):.3f}",
    ),
)


def arm_table(played: Sequence[Played]) -> list[str]:
    """Returns a Markdown table of the four cells: means over the seeds, and each seed's value."""
    lines = [
        "| trained → run | finished | score | relative score | missing-variable episodes | lost "
        "| episodes with a bad paste | turns | completion tokens | total tokens |",
        f"| {' | '.join(['---'] * 10)} |",
    ]
    for trained, run in CELLS:
        cells = [one.cells[trained, run] for one in played]
        episodes = [one.episodes[trained, run] for one in played]
        ended = [1 - known(cell.censored_share) for cell in cells]
        figures = [
            mean_and_each(ended, "{:.0%}"),
            mean_and_each([known(cell.score.value) for cell in cells], "{:.3f}"),
            mean_and_each([known(cell.relative_score.value) for cell in cells], "{:.2f}"),
            mean_and_each([known(cell.missing_variable_rate.value) for cell in cells], "{:.0%}"),
            mean_and_each([known(cell.lost_rate.value) for cell in cells], "{:.0%}"),
            mean_and_each([bad_paste_rate(some) for some in episodes], "{:.0%}"),
            spent(cells, "turns", "{:.1f}"),
            spent(cells, "completion_tokens"),
            spent(cells, "total_tokens"),
        ]
        lines.append(f"| {trained} → {run} | {' | '.join(figures)} |")
    return lines


def findings(played: Sequence[Played]) -> list[str]:
    """Returns one Markdown bullet a finding."""
    lines = []
    for finding in FINDINGS:
        shown = sum(finding.shown(one) for one in played)
        verdict = "shown" if shown == len(played) else "not shown" if not shown else "undecided"
        values = ", ".join(finding.figure(one) for one in played)
        lines.append(
            f"- **{verdict}** in {shown} of {len(played)}: {finding.text} Found: {values}."
        )
    return lines


def at_home(played: Sequence[Played], experts: Played) -> list[str]:
    """Returns one Markdown bullet a contract: whether its model plays as the expert it learnt from,
    without which the other cells say little."""
    lines = []
    for contract in (CELLS[0][0], CELLS[2][0]):
        expert = experts.cells[f"expert:{contract}", contract]
        cells = [one.cells[contract, contract] for one in played]
        ended = [1 - known(cell.censored_share) for cell in cells]
        reached = [
            known(cell.relative_score.value) / known(expert.relative_score.value) for cell in cells
        ]
        good = [end >= 0.95 and share >= 0.85 for end, share in zip(ended, reached, strict=True)]
        lines.append(
            f"- **{sum(good)} of {len(good)}** {contract}-trained models play well at home "
            f"(at least 95% finished, 0.85 of the expert's relative score): "
            f"{_list(ended, '{:.0%}')}; {_list(reached, '{:.2f}')}."
        )
    return lines


def contrasts(played: Sequence[Played]) -> list[str]:
    """Returns a Markdown table of what is computed within each seed."""
    lines = ["| contrast | by seed |", "| --- | --- |"]
    ratios = (
        ("completion tokens, stateless-trained at home / persistent-trained at home", 2, 0),
        ("the same, the stateless-trained in persistent", 3, 0),
        ("the same, the persistent-trained in stateless", 1, 0),
    )
    for text, above, below in ratios:
        for tokens in ("completion_tokens", "total_tokens"):
            values = [one.ratio(CELLS[above], CELLS[below], tokens) for one in played]
            name = text.replace("completion tokens", tokens.replace("_", " "))
            if tokens == "total_tokens" and name == text:
                name += " (total tokens)"
            lines.append(f"| {name} | {', '.join(one.text() for one in values)} |")
    gaps = [one.score(*CELLS[0]) - one.score(*CELLS[1]) for one in played]
    other = [one.score(*CELLS[3]) - one.score(*CELLS[2]) for one in played]
    both = [gap - rest for gap, rest in zip(gaps, other, strict=True)]
    lines.append(f"| G_P = score P→P - P→S | {_list(gaps, '{:+.3f}')} |")
    lines.append(f"| D = G_P - (S→P - S→S) | {_list(both, '{:+.3f}')} |")
    again = _list([one.repeated for one in played], "{:.0%}")
    lines.append(f"| blocks of P→S after a first NameError that repeat an earlier one | {again} |")
    same = ", ".join(f"{n} of {of}" for n, of in (one.identical for one in played))
    lines.append(f"| tasks on which S→S and S→P are identical, word by word | {same} |")
    return lines


def plain_table(played: Played) -> list[str]:
    """Returns a Markdown table of whatever cells there are, with 95% intervals over tasks."""
    lines = [
        "| model → run | finished | score | relative score | missing-variable episodes "
        "| completion tokens |",
        f"| {' | '.join(['---'] * 6)} |",
    ]
    for (model, run), cell in played.cells.items():
        score = cell.score
        interval = "" if score.low is None else f" [{score.low:.3f}, {score.high:.3f}]"
        lines.append(
            f"| {model} → {run} | {1 - known(cell.censored_share):.0%} "
            f"| {known(score.value):.3f}{interval} | {known(cell.relative_score.value):.2f} "
            f"| {known(cell.missing_variable_rate.value):.0%} "
            f"| {spent([cell], 'completion_tokens')} |"
        )
    return lines


def curriculum_line(base: Path) -> str:
    """Returns how far the curriculum of a base came, from its log."""
    lines = [json.loads(line) for line in (base / "log.jsonl").read_text().splitlines()]
    last = [line["accuracy"] for line in lines[-5:]]
    return (
        f"level {lines[-1]['level'] + 1} of 6, accuracy {fmean(last):.2f} over the last "
        f"{len(last)} logged batches, {lines[-1]['cpu_s'] / 60:.0f} CPU minutes"
    )


def _messages(episode: Episode) -> list[tuple[str, str]]:
    assert episode.trajectory is not None
    return [(message.role, message.content) for message in episode.trajectory.messages()]


def _missing(played: Played, cell: tuple[str, str]) -> float:
    return known(played.cells[cell].missing_variable_rate.value)


def known(value: float | None) -> float:
    """Returns a figure that every episode of the study has.

    Raises:
        ValueError: it was not measured.
    """
    if value is None:
        raise ValueError("a figure was not measured: an episode was broken off")
    return value


def mean_and_each(values: Sequence[float], form: str, least: Sequence[bool] = ()) -> str:
    """Returns the mean over the training seeds and, if there are several, each one's value.

    Args:
        values: by seed.
        form: of a value.
        least: by seed, whether its value is a lower bound, marked `>=`; so is the mean of any such.
    """
    bounds = least or [False] * len(values)
    shown = [f"{'>= ' * low}{form.format(one)}" for one, low in zip(values, bounds, strict=True)]
    if len(shown) == 1:
        return shown[0]
    return f"{'>= ' * any(bounds)}{form.format(fmean(values))} ({', '.join(shown)})"


def spent(cells: Sequence[Cell], what: str, form: str = "{:.0f}") -> str:
    """Returns the mean turns or tokens of a cell by seed; `what` is its field."""
    values = [known(getattr(cell, what)) for cell in cells]
    return mean_and_each(values, form, [cell.at_least for cell in cells])


def _list(values: Sequence[float], form: str) -> str:
    return ", ".join(form.format(value) for value in values)
