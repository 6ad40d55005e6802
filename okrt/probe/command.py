"""`okrt probe TARGET`."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec

from okrt.errors import UsageError
from okrt.probe.asking import Limits
from okrt.probe.probing import probe
from okrt.probe.spec import target_spec
from okrt.probe.table import table
from okrt.probe.target import ProbeError, TargetSpec
from okrt.progress import Line
from okrt.report.plain import one_line

TARGETS = """targets:
  jupyter[:KERNEL]       a kernel for each session, through jupyter_client
  python -- CMD          a command that reads Python from its standard input: a process for each
                         block, or one that is fed all blocks (--keep)
  mcp -- CMD, mcp URL    a tool of an MCP server, over pipes or streamable HTTP
  smolagents[:IMPORTS]   smolagents' LocalPythonExecutor, with more modules that it may import
  persistent, files, ... okrt's own runtime under one of its contracts
  module:attribute       your own; okrt.probe.target says what it must have

example:
  okrt probe python -- python -
"""
DESCRIPTION = """\
Sends an interpreter small blocks of Python and says what it keeps: from block to block, after
an error, past a time limit, between sessions. Exit status: 0 probed, 1 the target cannot be
probed, 2 a mistake.
"""
LINE_S = 10.0
"""Seconds between two messages of progress that are not at a terminal."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments; `run` expects them parsed."""
    parser.usage = "%(prog)s [options] TARGET [-- CMD]"
    parser.description = DESCRIPTION
    parser.epilog = TARGETS
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    _add_options(parser)
    parser.add_argument(
        "target", nargs=argparse.REMAINDER, metavar="TARGET", help="see below; options may follow"
    )
    parser.set_defaults(show_help=parser.print_help)


def _add_options(parser: argparse.ArgumentParser, default: object = None) -> None:
    usual = Limits()
    for name, text in (
        ("--json", "print the report as JSON"),
        ("--keep", "python: feed all blocks of a session to one process, as a REPL is fed"),
    ):
        parser.add_argument(name, action="store_true", default=default or False, help=text)
    for name, text in (
        ("--seconds", f"for the whole probe (default {usual.seconds:g})"),
        ("--step", f"to wait for an ordinary block (default {usual.step_s:g})"),
        ("--wait", f"to wait for a time limit to strike (default {usual.wait_s:g})"),
    ):
        parser.add_argument(name, type=float, default=default, metavar="SECONDS", help=text)
    for name, what, text in (
        ("--end", "LINE", "python: keep the process, and end each block by this line"),
        ("--tool", "NAME", "mcp: the tool that runs code"),
        ("--argument", "NAME", "mcp: its argument that takes the code"),
    ):
        parser.add_argument(name, default=default, metavar=what, help=text)


def run(options: argparse.Namespace) -> int:
    """Probes a target and prints the report; returns the exit status 0 or 1.

    Raises:
        okrt.errors.UsageError: a mistake of the user's.
    """
    if {"-h", "--help"} & set(_split(options.target)[0]):
        options.show_help()
        return 0
    spec, limits = _asked(options)
    try:
        with closing(Line(sys.stderr, pause_s=0, piped_s=LINE_S)) as line:
            found = probe(spec, limits, progress(line))
    except ProbeError as error:
        sys.stderr.write(f"okrt: cannot probe {spec.name}: {one_line(str(error))}\n")
        return 1
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        sys.stdout.write(table(found, shutil.get_terminal_size((100, 24)).columns))
    return 0


def in_one_word(word: str) -> tuple[TargetSpec, Limits]:
    """Returns the target that a word names as a command line of `okrt probe` would, and its limits.

    Raises:
        UsageError: it names none, or has an option that there is not.
    """
    try:
        words = shlex.split(word)
    except ValueError as error:
        raise UsageError(f"cannot read the target {word!r}: {error}") from None
    parser = argparse.ArgumentParser(prog="okrt probe", add_help=False)
    _add_options(parser)
    return _asked(parser.parse_args([], argparse.Namespace(target=words)))


def _asked(options: argparse.Namespace) -> tuple[TargetSpec, Limits]:
    """Returns what is to be probed; options that stand among the words of the target count."""
    before, command = _split(options.target)
    late = argparse.ArgumentParser(prog="okrt probe", add_help=False)
    _add_options(late, default=argparse.SUPPRESS)
    _, rest = late.parse_known_args(before, options)
    unknown = [word for word in rest if word.startswith("-")]
    if unknown:
        raise UsageError(f"unknown option {unknown[0]}: see okrt probe --help")
    words = [*rest, *command]
    spec = target_spec(words, options.keep, options.end, options.tool, options.argument)
    return spec, _limits(options)


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Returns the words before `--`, and the rest."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at:]


def _limits(options: argparse.Namespace) -> Limits:
    usual = Limits()
    limits = Limits(
        usual.seconds if options.seconds is None else options.seconds,
        usual.step_s if options.step is None else options.step,
        usual.wait_s if options.wait is None else options.wait,
    )
    if not all(seconds > 0 for seconds in (limits.seconds, limits.step_s, limits.wait_s)):
        raise UsageError("--seconds, --step and --wait must be above 0")
    return limits


def progress(line: Line) -> Callable[[str, int, int], None]:
    """Returns what says which law is being asked, and how many there are."""
    return lambda name, at, of: line.tell(f"okrt probe: {at}/{of} {name}")
