"""The hand-labelled corpus: labels against Python itself, the audit against the labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.labelled import audited, episodes, score
from tests.audit.truth import run

UNWATCHED = {"classes-body-reads", "hard-vars-format", "hard-magic"}
"""Their reads pass a namespace by, see `tests.audit.truth`; or IPython alone would run them."""
UNSEEN = {"hard-star-hides", "hard-exec", "hard-globals-write", "hard-eval"}
"""Names that no static reading sees bound or read."""
NEVER_BOUND = {"recovery-typo", "recovery-typo-stateless"}
"""Missing under every contract: a slip, no loss."""


def test_the_corpus_is_large_and_of_several_idioms() -> None:
    found = episodes()
    assert len(found) >= 200
    assert len({one.name for one in found}) == len(found)
    assert len({one.name.partition("-")[0] for one in found}) >= 10
    assert not any("item_" in block and "inspect(" in block for e in found for block in e.blocks)


def test_labelled_reads_are_what_python_reads(tmp_path: Path) -> None:
    for episode in episodes():
        real = tuple(ran.reads for ran in run(episode.blocks, tmp_path, persistent=True))
        if episode.name not in UNWATCHED:
            assert real == episode.reads, episode.name


def test_predicted_misses_are_what_fresh_interpreters_miss(tmp_path: Path) -> None:
    """Episode by episode, but for what cannot be seen."""
    wrong = set()
    for episode in episodes():
        stateless = run(episode.blocks, tmp_path, persistent=False)
        shown = stateless if episode.stateless else run(episode.blocks, tmp_path, True)
        real = any(ran.missing_name for ran in stateless)
        if audited(episode, shown).misses != real:
            wrong.add(episode.name)
    assert wrong <= UNSEEN | NEVER_BOUND


def test_turns_are_read_as_labelled(tmp_path: Path) -> None:
    found = score(tmp_path)
    assert found.precision >= 0.95
    assert found.recall >= 0.95


def test_verdicts_are_as_labelled(tmp_path: Path) -> None:
    """What differs are the cases made to be hard, and no persistent set is taken for stateless."""
    found = score(tmp_path)
    right = sum(count for (label, verdict), count in found.matrix.items() if label == verdict)
    assert right / found.matrix.total() >= 0.95
    assert found.matrix["persistent", "stateless"] == 0
    assert found.matrix["stateless", "persistent"] == 0


@pytest.mark.parametrize("persistent", [True, False])
def test_the_watch_sees_a_read_of_an_earlier_block_alone(tmp_path: Path, persistent: bool) -> None:
    first, second = run(["a = 1\nb = a", "b = 2\nprint(b)\na"], tmp_path, persistent)
    assert not first.reads
    assert second.reads == ({"a"} if persistent else set())
    assert second.missing_name == (None if persistent else "a")
