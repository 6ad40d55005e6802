"""What `python -m training.collect` understands."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from okrt.engines import far
from okrt.types import Settings
from training.filters import Filters

EXAMPLE = """example:
  python -m training.collect --tier micro --pairs 20 --out traces/
  python -m training.collect --stats traces/
"""
ARMS = {
    "none": "",
    "errors": ",slips=0.3,recovery=retry",
    "rebuild": ",slips=0.3,recovery=rebuild",
    "cut": ",slips=0.3,recovery=rebuild,batch=all",
}
"""What an arm adds to an expert's spec. A slip is a misspelt name in one block of an episode."""
BATCH = 16
"""Episodes that a model answers together unless told otherwise."""
TRIES = 4
"""Tasks that may be tried for each pair that is wanted, unless told otherwise."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.collect",
        description="Plays the same tasks under both contracts and keeps the pairs of traces that "
        "pass the filters. The same command goes on after an interruption.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="the traces folder to fill")
    what.add_argument("--stats", type=Path, metavar="DIR", help="print a folder's trace table")
    what.add_argument(
        "--export", nargs=2, metavar=("DIR", "DATASET"), help="write a folder as a `datasets` one"
    )
    _add_tasks(parser.add_argument_group("tasks"))
    _add_players(parser.add_argument_group("players"))
    far.configure(parser.add_argument_group("machines"))
    _add_filters(parser.add_argument_group("filters, the same for both traces of a pair"))
    return parser


def _add_tasks(group: Any) -> None:
    group.add_argument("--family", default="opaque_knapsack", help="default: %(default)s")
    group.add_argument("--tier", help="of the family, such as micro or easy")
    group.add_argument("--pairs", type=_count, metavar="N", help="accepted pairs wanted")
    group.add_argument("--split", default="train", help="train (the default) or val")
    group.add_argument("--first-seed", type=_natural, default=0, metavar="SEED", help="default: 0")
    group.add_argument(
        "--max-tries", type=_count, metavar="N",
        help=f"tasks that may be tried; default: {TRIES} for each pair",
    )  # fmt: skip


def _add_players(group: Any) -> None:
    group.add_argument(
        "--arm", choices=tuple(ARMS),
        help="whether an expert errs in some episodes, how it then goes on, and whether it runs "
        "into the tool cap; default: none",
    )  # fmt: skip
    group.add_argument(
        "--variety", type=_seed_or_none, metavar="SEED",
        help="seed of the experts' wording, names and batches; `none` for none; default: 0",
    )  # fmt: skip
    group.add_argument(
        "--model", metavar="SPEC",
        help="one model that plays under both contracts; default: each contract's expert",
    )  # fmt: skip
    group.add_argument(
        "--cue", choices=("none", "true"), default="none",
        help="whether the prompt says what survives a turn; a mixed set needs `true`",
    )  # fmt: skip
    defaults = Settings()
    group.add_argument("--temperature", type=_amount, default=defaults.temperature, metavar="T")
    group.add_argument(
        "--tool-cap", type=_count, metavar="N",
        help="tool calls that a block may make; default: the tier's",
    )  # fmt: skip
    group.add_argument("--max-turns", type=_count, default=defaults.max_turns, metavar="N")
    group.add_argument(
        "--max-new-tokens", type=_count, default=defaults.max_new_tokens, metavar="N"
    )
    group.add_argument(
        "--in-flight",
        type=_count,
        metavar="N",
        help=f"episodes at a time; default: 1, or {BATCH} of a model that is not scripted",
    )


def _add_filters(group: Any) -> None:
    defaults = Filters()
    group.add_argument(
        "--min-score", type=_share, default=defaults.min_score, metavar="S",
        help="default: %(default)s",
    )  # fmt: skip
    group.add_argument(
        "--max-error-share", type=_share, default=defaults.max_error_share, metavar="S",
        help="turns with an error, as a share of all; default: %(default)s",
    )  # fmt: skip
    group.add_argument(
        "--error-turns", type=_natural, metavar="N",
        help="turns with an error that always pass; default: 0, and 1 in an arm with errors",
    )  # fmt: skip
    group.add_argument(
        "--keep-loops", action="store_true",
        help="do not refuse what repeats itself: for lookup_control, whose right block is the same "
        "in each turn",
    )  # fmt: skip
    group.add_argument(
        "--max-tokens", type=_count, default=defaults.max_tokens, metavar="N",
        help="the training window; default: %(default)s",
    )  # fmt: skip
    group.add_argument(
        "--tokenizer", type=Path, metavar="DIR",
        help="counts the tokens of the window, and of --stats; default: a simple counter",
    )  # fmt: skip


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _count(text: str) -> int:
    if _natural(text) == 0:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return int(text)


def _share(text: str) -> float:
    value = _amount(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie in [0, 1]")
    return value


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 <= value < math.inf):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return value


def _seed_or_none(text: str) -> str:
    return text if text == "none" else str(_natural(text))
