"""What a comparison shows of two cells, figure by figure: differences, and ratios of tokens.

Everything is over the tasks that both cells hold, repeats averaged first, so that the figures of
the two sides and the contrast between them are of the same episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from okrt.analysis import estimands
from okrt.analysis.claims import Contrast, Finding
from okrt.analysis.measures import MEASURED
from okrt.analysis.metrics import METRICS
from okrt.analysis.noise import noise
from okrt.analysis.pairing import Cell, Paired
from okrt.analysis.stats import Inference
from okrt.errors import UsageError

TOKENS = ("total_tokens", "completion_tokens", "new_tokens")
RATIOS = (*TOKENS, "transcript_chars", "score_per_1k")
"""Metrics that are compared as ratios, new over base; the others as differences, new - base."""
CLAIMED = ("score", "solved_rate", "lost_rate", "total_tokens")
"""Metrics of which something is claimed. Each claim costs the others power, so those that say much
the same are shown with their intervals alone, unless a margin is stated for one."""
MARGINS: Mapping[str, float] = {"score": 0.05, "total_tokens": 1.10, "transcript_chars": 1.10}
"""What counts as equal where no margin is stated. Score: a quarter of what lies between blind play
(about 0.70) and the reference (0.87 to 0.92) on the shipped easy tasks. Tokens: a tenth of the
bill, less than the gap between the study's aligned cells and any other."""
MOST_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric in both cells, and the contrast between them."""

    metric: str
    ratio: bool
    """Whether the contrast is new / base; else it is new - base."""
    new: float | None
    base: float | None
    inference: Inference
    margin: float | None
    """An amount for a difference, a factor above 1 for a ratio; None: no equality is claimed."""
    noise: float | None
    """In the same terms as the margin: 95% of the contrasts that replaying alone makes are smaller.
    None: not known."""
    finding: Finding | None = None
    """None: nothing is claimed."""

    @property
    def below_noise(self) -> bool:
        """Whether the margin is smaller than what the same model differs by from itself."""
        return self.margin is not None and self.noise is not None and self.margin < self.noise


def checked_margins(texts: Sequence[str]) -> dict[str, float]:
    """Returns the margins of `METRIC=MARGIN` texts, by metric.

    Raises:
        UsageError: one names no metric, or its number is none or of the wrong unit.
    """
    margins: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in MEASURED:
            raise UsageError(
                f"--margin {text!r}: write METRIC=MARGIN, METRIC one of {', '.join(MEASURED)}"
            )
        if name in margins:
            raise UsageError(f"--margin {text!r}: {name} has a margin already")
        try:
            margins[name] = float(number)
        except ValueError:
            raise UsageError(f"--margin {text!r}: {number!r} is no number") from None
        low, high, like = _allowed(name)
        if not low < margins[name] < high:
            raise UsageError(f"--margin {text!r}: give a number between {low:g} and {high:g}{like}")
    return margins


def _allowed(metric: str) -> tuple[float, float, str]:
    if metric in RATIOS:
        return 1, MOST_FACTOR, "; 1.10 allows a tenth more"
    if metric == "turns":
        return 0, 1_000, " turns"
    return 0, 1, "; 0.03 is three points of a hundred"


def figures(found: Paired, new: Cell, base: Cell, margins: Mapping[str, float]) -> list[Figure]:
    """Returns the figures of two cells; `found` is what `paired` made of them.

    Characters stand in for tokens that were counted by different tokenizers.
    """
    usable = len(found.tokenizers()) <= 1
    names = [name for name in MEASURED if usable or name not in (*TOKENS, "score_per_1k")]
    if usable and "transcript_chars" not in margins:
        names.remove("transcript_chars")
    made = [_figure(name, found, new, base, margins.get(name)) for name in names]
    return [figure for figure in made if figure.new is not None or figure.base is not None]


def contrasts(found: Sequence[Figure], same: tuple[int, int], comparable: bool) -> list[Contrast]:
    """Returns the contrasts of which something is claimed. `same`: in how many tasks of how many
    the transcripts are identical; `comparable`: whether one tokenizer counted the tokens."""
    return [
        Contrast(
            name=figure.metric,
            inference=figure.inference,
            null=1.0 if figure.ratio else 0.0,
            margin=figure.margin,
            same=same if comparable or not figure.ratio else None,
        )
        for figure in found
        if is_claimed(figure)
    ]


def is_claimed(figure: Figure) -> bool:
    return figure.metric in CLAIMED or figure.margin is not None


def _figure(name: str, found: Paired, new: Cell, base: Cell, margin: float | None) -> Figure:
    one, other = found.cells
    ratio = name in RATIOS
    replayed = None
    if MEASURED[name].kind != "ratio" and (known := noise(one, other, MEASURED[name].measure)):
        replayed = known.ratio if ratio else known.difference
    return Figure(
        metric=name,
        ratio=ratio,
        new=_value(name, found, 0),
        base=_value(name, found, 1),
        inference=_contrast(name, new, base),
        margin=MARGINS.get(name) if margin is None else margin,
        noise=replayed,
    )


def _contrast(name: str, new: Cell, base: Cell) -> Inference:
    metric = METRICS[name]
    made = metric.ratio if name in RATIOS else metric.difference
    if made is None:
        raise ValueError(f"{name} cannot be compared so: a mistake in RATIOS")
    return made(new, base)


def _value(name: str, found: Paired, place: int) -> float | None:
    """Of one side; None where nothing was measured."""
    if name == "relative_score":
        return _relative(found, place)
    if name == "score_per_1k":
        scores, tokens = (found.means(m)[place] for m in (estimands.score, estimands.total_tokens))
        pairs = [(a, b) for a, b in zip(scores, tokens, strict=True) if a is not None and b]
        return 1_000 * sum(a for a, _ in pairs) / sum(b for _, b in pairs) if pairs else None
    values = found.means(MEASURED[name].measure)[place]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _relative(found: Paired, place: int) -> float | None:
    above = spread = 0.0
    for row in (row for task in found.cells[place] for row in task):
        score, floor, reference = row.score, row.floor_score, row.reference_score
        if row.relative_score is None or score is None or floor is None or reference is None:
            continue
        above, spread = above + score - floor, spread + reference - floor
    return above / spread if spread else None
