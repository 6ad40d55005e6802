"""The tiny 2x2, played by okrt's engine and by whole histories fed again, in one run.

    python -m benchmarks.cells

Both shipped tiny checkpoints under both contracts, greedy, one thread, the two ways in turns.
Printed are CPU seconds and their ratio, for each cell and for all, and in how many episodes the two
ways say the same. A sandbox's process counts its own time, so that is left out.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import torch

from okrt.models import local
from okrt.types import Episode
from training.tiny.play import play

CHECKPOINTS = Path(__file__).parents[1] / "training" / "checkpoints"
CONTRACTS = ("persistent", "stateless")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.cells --episodes 10",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--episodes", type=int, default=100, help="of each cell (default: 100)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    totals = [0.0, 0.0]
    print(f"{'trained -> run':<26}{'engine, CPU s':>15}{'fed again':>12}{'ratio':>8}{'same':>12}")
    for trained in CONTRACTS:
        for run in CONTRACTS:
            (engine, one), (again, other) = (
                _played(CHECKPOINTS / f"tiny-{trained}", run, options.episodes, whole)
                for whole in (False, True)
            )
            totals = [totals[0] + engine, totals[1] + again]
            same = sum(map(_alike, one, other))
            print(
                f"{f'{trained} -> {run}':<26}{engine:>15.1f}{again:>12.1f}{again / engine:>8.2f}"
                f"{f'{same} of {len(one)}':>12}",
                flush=True,
            )
    print(f"{'all':<26}{totals[0]:>15.1f}{totals[1]:>12.1f}{totals[1] / totals[0]:>8.2f}")
    return 0


def _played(checkpoint: Path, run: str, count: int, whole: bool) -> tuple[float, list[Episode]]:
    """Returns the CPU seconds of this process and the episodes."""
    with patch.object(local, "can_serve", lambda model: not whole), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that whole histories are fed
        began = time.process_time()
        episodes = play(checkpoint, run, "eval", range(count))
        return time.process_time() - began, episodes


def _alike(one: Episode, other: Episode) -> bool:
    assert one.trajectory is not None
    assert other.trajectory is not None
    return one.trajectory.messages() == other.trajectory.messages()


if __name__ == "__main__":
    sys.exit(main())
