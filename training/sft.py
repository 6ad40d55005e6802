"""The command that fine-tunes a checkpoint on the traces of one contract.

`python -m training.sft --help` shows it. What can be told without the weights is told before
any is loaded. What trains is in `training.finetune`, which imports torch and TRL, and is itself
imported when all that needs neither has been checked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from okrt.errors import OkrtError, UsageError
from okrt.models.checkpoint import check_checkpoint, checkpoint_digest, is_adapter
from training import saving
from training.dataset import Pairs, Regime, Selection, read_pairs, select
from training.recipe import NamedRecipe, load_recipe, settings_of

if TYPE_CHECKING:
    from training.finetune import Job

EXAMPLE = """examples:
  python -m training.collect --tier micro --pairs 20 --out traces/
  python -m training.sft recipes/toy.toml --contract persistent --traces traces/ \\
      --out checkpoints/toy-persistent
  python -m torch.distributed.run --nproc-per-node 2 -m training.sft recipes/toy.toml \\
      --contract stateless --traces traces/ --out checkpoints/toy-stateless
"""
_PACKAGES = ("okrt", "torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 2 (a mistake of the user's, or no room to save,
    said in one line) or 130 (interrupted)."""
    options = parser().parse_args(arguments)
    try:
        return _sft(options)
    except OkrtError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        last = saving.last_step(options.out)
        kept = f"{last} is kept, --resume goes on from there" if last else "nothing was saved yet"
        return _complain(f"interrupted; {kept}", 130)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.sft",
        description="Fine-tunes a checkpoint on the traces of one contract, by a recipe.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE", help="a TOML file, as it is or from training/"
    )
    parser.add_argument(
        "--traces", type=Path, required=True, metavar="DIR", help="what training.collect wrote"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="the checkpoint; DIR.steps beside it holds what --resume needs, until all is done",
    )  # fmt: skip
    parser.add_argument(
        "--contract", choices=get_args(Regime), help="of the traces; default: the recipe's"
    )
    parser.add_argument("--seed", type=_natural, metavar="N", help="default: the recipe's first")
    parser.add_argument(
        "--base", metavar="PATH_OR_ID",
        help="a checkpoint's directory or a model's id on the Hub; default: the recipe's",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="go on from the last step that a broken-off run saved, if there is one",
    )  # fmt: skip
    parser.add_argument(
        "--report-to", nargs="+", default=["none"], metavar="NAME",
        help="trackers: tensorboard, wandb, ...; default: none",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true",
        help="check what needs no weights (recipe, traces, tokenizer, packages), say what would be "
        "done, and stop",
    )  # fmt: skip
    return parser


def _sft(options: argparse.Namespace) -> int:
    named = load_recipe(
        options.recipe, contract=options.contract, seed=options.seed, base=options.base
    )
    recipe, out = named.recipe, options.out
    report_to = tuple(name for name in options.report_to if name != "none")
    if _first():
        saving.check_free(out, resume=options.resume)
    base = find_base(recipe.base, weights=False)
    pairs = read_pairs(options.traces)
    from training import finetune  # torch and TRL: loaded when all that needs neither is right

    finetune.check_machine(recipe, report_to)
    tokenizer = finetune.load_tokenizer(base)
    chosen = select(pairs, recipe.contract, recipe.match, tokenizer, recipe.max_length)
    _say(_plan(named, chosen, pairs))
    if options.dry_run:
        _say("dry run: nothing was trained")
        return 0
    base = find_base(recipe.base)
    job = finetune.Job(
        recipe=recipe,
        base=base,
        examples=chosen.encoded,
        note=note_of(named, pairs, chosen, base) if _first() else {},
        out=out,
        resume=options.resume,
        report_to=report_to,
    )
    if _first() and options.resume:
        saving.check_same(out, job.note)
    return _train(job)


def _train(job: Job) -> int:
    from training import finetune

    finetune.finetune(job)
    if not _first():
        return 0
    _say(f"saved {job.out}")
    finetune.check_trained(job.out)
    checked = "its adapter changes what the base answers" if job.recipe.lora else "it loads"
    _say(f"checked as evaluation loads it: {checked}")
    return 0


def find_base(text: str, *, weights: bool = True) -> Path:
    """Returns the directory of a base: a directory's own, or where the Hub's files are cached.

    Args:
        text: a directory, as it is or from `training/`, or a model's id on the Hugging Face Hub.
        weights: whether the weights of an id are fetched; else only what tokenises.

    Raises:
        UsageError: there is no such base, or it is an adapter.
    """
    for path in (Path(text), Path(__file__).parent / text):
        if path.is_dir():
            check_checkpoint(path)
            if is_adapter(path):
                raise UsageError(f"{path}: is an adapter; merge it into its base and give that")
            return path.resolve()
    small = ["*.json", "*.jinja", "*.txt", "*.model"]
    try:
        found = snapshot_download(
            text, allow_patterns=[*small, "*.safetensors"] if weights else small
        )
    except (OSError, HFValidationError, HfHubHTTPError) as error:
        raise UsageError(
            f"base {text!r} cannot be found: it is no directory, and the Hugging Face Hub gives "
            f"no such model ({type(error).__name__}); give --base DIR, or another id"
        ) from error
    return Path(found)


def note_of(named: NamedRecipe, pairs: Pairs, chosen: Selection, base: Path) -> dict[str, Any]:
    """Returns what `okrt.json` says of a checkpoint (docs/format.md)."""
    recipe, traces = named.recipe, pairs.settings
    return {
        "trained_under": recipe.contract,
        "tiers": [traces.tier],
        "recipe": {"name": named.name, "digest": named.digest},
        "settings": {**settings_of(recipe), "base": _name_of(recipe.base)},
        "seed": recipe.seed,
        "arm": traces.arm,
        "traces": {
            "digest": pairs.digest,
            "family": traces.family,
            "cue": traces.episode.cue,
            "variety": traces.variety,
            "pairs": len(pairs),
            "episodes": len(chosen.episodes),
            "refused": chosen.refused,
            "cut": chosen.cut,
            "loss_tokens": chosen.loss_tokens,
        },
        "base": {"name": _name_of(recipe.base), "digest": checkpoint_digest(base)},
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _plan(named: NamedRecipe, chosen: Selection, pairs: Pairs) -> str:
    recipe = named.recipe
    longest = max(len(example.input_ids) for example in chosen.encoded)
    total = sum(len(example.input_ids) for example in chosen.encoded)
    how = "all weights" if recipe.lora is None else f"LoRA r={recipe.lora.r}"
    if recipe.quantization != "none":
        how = f"{how} on {recipe.quantization}"
    left_out = f", {chosen.refused} tasks over-long" if chosen.refused else ""
    left_out += f", {chosen.cut} cut by matching" if chosen.cut else ""
    return (
        f"{named.name}: {how} of {recipe.base}, {recipe.contract}, seed {recipe.seed}; "
        f"{len(chosen.episodes)} episodes of {len(pairs)} pairs{left_out}; {total:,} tokens, "
        f"{chosen.loss_tokens:,} with loss, longest {longest:,}"
    )


def _name_of(base: str) -> str:
    """Returns a base's id, or its directory's name: where it lies is this machine's business."""
    return Path(base).resolve().name if Path(base).is_dir() else base


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _first() -> bool:
    """Whether this is the process, of those started together, that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def _say(text: str) -> None:
    if _first():
        sys.stderr.write(f"sft: {text}\n")


def _complain(text: str, status: int) -> int:
    _say(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
