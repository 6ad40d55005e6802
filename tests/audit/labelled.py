"""The hand-labelled corpus, and how well the audit finds what stands in it.

`python -m tests.audit.labelled` prints the confusion matrix and the per-turn precision and recall,
and every episode and turn on which audit and label differ.

A file of `corpus/` holds episodes of one idiom:

    === NAME VERDICT [@stateless]
    first block
    --- names that the second block reads and an earlier one bound
    second block

What the model was shown is what the block prints when it is run: under the contract that the label
speaks of, the persistent one where it speaks of both, unless `@stateless` says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from okrt.audit.traces import Trace, block
from okrt.audit.verdict import VERDICTS, EpisodeAudit, Verdict, audit_trace
from tests.audit.truth import PROVIDED, Ran, run

CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True, slots=True)
class Labelled:
    """An episode, and what a reader says of it."""

    name: str
    verdict: Verdict
    blocks: tuple[str, ...]
    reads: tuple[frozenset[str], ...]
    stateless: bool
    """It was recorded in an interpreter that keeps nothing."""


def episodes() -> list[Labelled]:
    return [one for file in sorted(CORPUS.glob("*.txt")) for one in _episodes(file.read_text())]


def _episodes(text: str) -> Iterator[Labelled]:
    for part in text.split("=== ")[1:]:
        head, _, rest = part.partition("\n")
        name, verdict, *flags = head.split()
        assert verdict in get_args(Verdict), name
        blocks: list[list[str]] = [[]]
        reads: list[frozenset[str]] = [frozenset()]
        for line in rest.splitlines():
            if line.startswith("---"):
                reads.append(frozenset(line[3:].split()))
                blocks.append([])
            else:
                blocks[-1].append(line)
        code = tuple("\n".join(lines) for lines in blocks)
        yield Labelled(name, verdict, code, tuple(reads), verdict == "stateless" or bool(flags))  # type: ignore[arg-type]  # asserted above


def audited(episode: Labelled, shown: tuple[Ran, ...]) -> EpisodeAudit:
    """Returns the audit of an episode as a file of chats would tell it."""
    blocks = zip(episode.blocks, shown, strict=True)
    trace = Trace(episode.name, "messages", tuple(block(code, ran.shown) for code, ran in blocks))
    return audit_trace(trace, PROVIDED)


@dataclass(frozen=True, slots=True)
class Score:
    matrix: Counter[tuple[str, str]]
    """By label and verdict."""
    hits: int
    found: int
    true: int
    differences: tuple[str, ...]

    @property
    def precision(self) -> float:
        return self.hits / self.found

    @property
    def recall(self) -> float:
        return self.hits / self.true


def score(folder: Path) -> Score:
    """Runs the corpus in a folder, audits it, and compares with the labels."""
    matrix: Counter[tuple[str, str]] = Counter()
    hits = found = true = 0
    differences = []
    for episode in episodes():
        audit = audited(episode, run(episode.blocks, folder, not episode.stateless))
        matrix[episode.verdict, audit.verdict] += 1
        if episode.verdict != audit.verdict:
            differences.append(f"{episode.name}: {episode.verdict}, found {audit.verdict}")
        for number, (label, reads) in enumerate(zip(episode.reads, audit.reads, strict=True), 1):
            hits, found, true = hits + len(label & reads), found + len(reads), true + len(label)
            if label != reads:
                both = f"reads {_listed(label)}, found {_listed(reads)}"
                differences.append(f"{episode.name}, block {number}: {both}")
    return Score(matrix, hits, found, true, tuple(differences))


def _listed(names: frozenset[str]) -> str:
    return " ".join(sorted(names)) or "nothing"


def report(score: Score) -> str:
    lines = [f"{'label':<12}" + "".join(f"{verdict:>12}" for verdict in VERDICTS)]
    for label in VERDICTS:
        counts = [score.matrix[label, verdict] for verdict in VERDICTS]
        lines.append(f"{label:<12}" + "".join(f"{count:>12}" for count in counts))
    right = sum(score.matrix[verdict, verdict] for verdict in VERDICTS)
    lines += [
        f"episodes: {score.matrix.total()}, verdicts as labelled: {right}",
        f"names read from earlier blocks: {score.true}; "
        f"precision {score.precision:.3f}, recall {score.recall:.3f}",
        *score.differences,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as temporary:
        sys.stdout.write(report(score(Path(temporary))) + "\n")
