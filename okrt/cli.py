"""The `okrt` command: everything about a run that needs no test session."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import metadata, resources
from pathlib import Path

import msgspec

from okrt import fit, specs
from okrt.audit import command as audit
from okrt.baselines import command as baselines
from okrt.engines import command as evaluation
from okrt.errors import OkrtError, StoreError
from okrt.exports import card_command as carding
from okrt.exports import command as exports
from okrt.exports import table_command as tabling
from okrt.gates import command as gate
from okrt.gates.file import STARTER
from okrt.merge import merge
from okrt.planning import command as planning
from okrt.probe import command as probe
from okrt.progress import Line
from okrt.redact import without_secrets
from okrt.replay import command as replaying
from okrt.report import command as reporting
from okrt.runtimes.probe import assess, doctor, self_test
from okrt.salt import make_salt, read_salt

EXAMPLES = """examples:
  okrt run --model expert:stateless --seeds 20
  okrt report okrt-runs/20260101-120000-ab12cd
  okrt show okrt-runs/20260101-120000-ab12cd expert:persistent-stateless-easy-17
  okrt table okrt-runs/20260101-120000-ab12cd --format latex
  okrt card okrt-runs/20260101-120000-ab12cd --out FIT.md
  okrt merge shards/1 shards/2 shards/3 --out okrt-runs/whole
  okrt baseline save okrt-runs/20260101-120000-ab12cd release-1
  okrt compare okrt-runs/20260301-090000-cd34ef release-1
  okrt export okrt-runs/20260101-120000-ab12cd --to parquet --out run.parquet
  okrt gate okrt-runs/20260101-120000-ab12cd --gates release --baseline last
  okrt task opaque_knapsack/easy/eval/17
  okrt audit traces.jsonl --fail-unless persistent
  okrt probe python -- python -
  okrt replay okrt-runs/20260101-120000-ab12cd --runtime stateless
  okrt init evals/
  okrt doctor
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0, 1 (damaged data, or no closed sandbox) or 2 (a
    mistake of the user's, said in one line)."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    options.words = words
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except OkrtError as error:
        return _complain(str(error), 2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: nobody is left to tell
        return 0
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="okrt",
        description="Tells whether a code agent's model fits the runtime it will be deployed in. "
        "Evaluations are run by pytest: pytest evals/ --runtime=stateless --model=DIR, or by run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str, example: str):  # type: ignore[no-untyped-def]
        one = commands.add_parser(
            name, help=text, description=text, epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        one.set_defaults(command=command)
        return one

    evaluation.configure(add("run", evaluation.run, evaluation.HELP, evaluation.EXAMPLE))
    reporting.configure_report(
        add("report", reporting.report, reporting.REPORT_HELP, reporting.REPORT_EXAMPLE)
    )
    reporting.configure_show(
        add("show", reporting.show, reporting.SHOW_HELP, reporting.SHOW_EXAMPLE)
    )
    tabling.configure(add("table", tabling.run, tabling.HELP, tabling.EXAMPLE))
    carding.configure(add("card", carding.run, carding.HELP, carding.EXAMPLE))
    join = add(
        "merge", _merge, "join runs of one work, such as its shards; exit with 1 unless whole",
        "okrt merge shards/1 shards/2 shards/3 --out okrt-runs/whole",
    )  # fmt: skip
    join.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run directory")
    join.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the run directory to be written"
    )
    baselines.configure(add("baseline", baselines.run, baselines.HELP, baselines.EXAMPLE))
    baselines.configure_compare(
        add("compare", baselines.run_compare, baselines.COMPARE_HELP, baselines.COMPARE_EXAMPLE)
    )
    exports.configure(add("export", exports.run, exports.HELP, exports.EXAMPLE))
    gate.configure(add("gate", gate.run, gate.HELP, gate.EXAMPLE))
    task = add("task", _task, "print a task", "okrt task opaque_knapsack/easy/eval/17")
    task.add_argument("id", metavar="ID", help="family/tier/split/seed")
    task.add_argument("--json", action="store_true", help="with the answers, as JSON")
    task.add_argument("--salt", type=Path, metavar="FILE", help="the secret of a private task")
    salt = add("salt", _salt, "make a secret to draw private tasks from", "okrt salt team.salt")
    salt.add_argument("file", type=Path, metavar="FILE", help="where to write it")
    salt.add_argument(
        "--digest", action="store_true", help="print the digest of a file that is there"
    )
    audit.configure(add("audit", audit.run, audit.HELP, audit.EXAMPLE))
    probe.configure(
        add("probe", probe.run, "say what an interpreter keeps", "okrt probe python -- python -")
    )
    fit.configure(add("fit", fit.run, fit.HELP, fit.EXAMPLE))
    planning.configure(add("plan", planning.run, planning.HELP, planning.EXAMPLE))
    replaying.configure(add("replay", replaying.run, replaying.HELP, replaying.EXAMPLE))
    init = add("init", _init, "write an evaluation and gates to start from", "okrt init evals/")
    init.add_argument("folder", type=Path, metavar="DIR", help="where to write it")
    doctor = add(
        "doctor", _doctor, "say how closed the sandbox is on this machine, and try it",
        "okrt doctor",
    )  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="the same as JSON")
    add("version", _version, "print the version", "okrt version")
    return parser


def _merge(options: argparse.Namespace) -> int:
    with closing(Line(sys.stderr)) as line:
        merged = merge(options.runs, options.out, line.tell)
    for message in merged.left_out:
        print(f"okrt: {message}", file=sys.stderr)
    broken = f", {merged.failed} broken off by infrastructure" if merged.failed else ""
    print(
        f"{'complete' if merged.complete else 'incomplete'}: {merged.finished} of "
        f"{merged.planned} episodes{broken}"
    )
    if merged.missing_shards:
        print(f"shards that are missing: {', '.join(merged.missing_shards)}")
    print(f"run: {options.out}")
    return 0 if merged.complete else 1


def _task(options: argparse.Namespace) -> int:
    task = specs.task(options.id, None if options.salt is None else read_salt(options.salt))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode({"id": task.id, **_fields(task)})).decode())
    else:
        print(f"{task.id}\n\n{task.prompt}")
    return 0


def _salt(options: argparse.Namespace) -> int:
    file: Path = options.file
    if options.digest:
        print(read_salt(file).digest)
    else:
        print(f"wrote {file}, digest {make_salt(file).digest}; keep it out of version control")
    return 0


def _fields(task: object) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(task)
    return fields


def _init(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    file, gates = folder / "test_runtime_fit.py", folder / "gates.toml"
    for path in (file, gates):
        if path.exists():
            raise StoreError(f"{path} is there already: remove it or name another directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(resources.files("okrt").joinpath("starter.txt").read_text("utf-8"))
        gates.write_text(STARTER.read_text("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}; name another directory") from None
    print(f"wrote {file}; run it: pytest {file} --model=expert:persistent --okrt-seeds=5")
    print(f"wrote {gates}; to decide by it: pytest {file} --model=DIR --okrt-gates {gates}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    assessment = assess()
    test = self_test() if assessment.tier is not None else None
    if options.json:
        found = {"assessment": assessment, "self_test": test}
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(f"okrt       {metadata.version('okrt')}")
        print(doctor(assessment, test), end="")
    denied = test is not None and all(test.denied.values())
    return 0 if denied else 1


def _version(options: argparse.Namespace) -> int:
    print(f"okrt {metadata.version('okrt')}")
    return 0


def _complain(message: str, status: int) -> int:
    print(f"okrt: {without_secrets(message)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
