"""`okrt probe`: words, exit statuses, output."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from mcp.types import Tool

from okrt.errors import SpecError, UsageError
from okrt.probe import command
from okrt.probe.adapters.mcp import find_tool
from okrt.probe.asking import Limits
from okrt.probe.report import Report
from okrt.probe.spec import target_spec
from okrt.probe.target import TargetSpec
from okrt.progress import Line
from tests.probe.interpreters import DIES
from tests.probe.test_table import PYTHON


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="okrt")
    one = parser.add_subparsers().add_parser("probe")
    command.configure(one)
    return command.run(parser.parse_args(["probe", *words]))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["jupyter"], TargetSpec("jupyter")),
        (["jupyter:ir"], TargetSpec("jupyter", "ir")),
        (["smolagents:os,json"], TargetSpec("smolagents", "os,json")),
        (["python", "--", "a", "--keep"], TargetSpec("python", command=("a", "--keep"))),
        (["mcp", "--", "a", "b"], TargetSpec("mcp", command=("a", "b"))),
        (["mcp", "http://h/mcp"], TargetSpec("mcp", "http://h/mcp")),
        (["stateless"], TargetSpec("contract", "stateless")),
        (["carryover-announced"], TargetSpec("contract", "carryover-announced")),
        (["reset-every-12"], TargetSpec("contract", "reset-every-12")),
        (["my.module:target"], TargetSpec("own", "my.module:target")),
    ],
)
def test_words_are_read(words: Sequence[str], wanted: TargetSpec) -> None:
    assert target_spec(words) == wanted
    assert target_spec(wanted.name) == wanted


KEPT = TargetSpec("python", command=("a", "--json"), keep=True)


@pytest.mark.parametrize(
    ("word", "wanted", "wait_s"),
    [
        ("stateless", TargetSpec("contract", "stateless"), Limits().wait_s),
        ("python --keep --wait 3 -- a --json", KEPT, 3),
        ("--keep python -- a --json", KEPT, Limits().wait_s),
        ("python --end '# %%' -- a --json", replace(KEPT, end="# %%"), Limits().wait_s),
        ("mcp --tool t http://h/mcp", TargetSpec("mcp", "http://h/mcp", tool="t"), Limits().wait_s),
    ],
)
def test_one_word_is_read_as_a_command_line_is(
    word: str, wanted: TargetSpec, wait_s: float
) -> None:
    spec, limits = command.in_one_word(word)
    assert (spec, limits.wait_s) == (wanted, wait_s)
    if wanted.tool is None:
        assert command.in_one_word(spec.name)[0] == spec


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "empty target"),
        ("--keep", "empty target"),
        ("python -- 'a", "cannot read the target .*No closing quotation"),
        ("python --kept -- a", "unknown option --kept"),
        ("jupyter --keep", "--keep and --end belong to"),
        ("jupyter --wait 0", "must be above 0"),
    ],
)
def test_one_word_that_names_nothing_is_a_mistake(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        command.in_one_word(word)


@pytest.mark.parametrize(
    "words",
    [
        [], ["python"], ["python", "a"], ["python:a", "--", "b"], ["mcp"], ["mcp", "--"],
        ["mcp", "a"], ["jupyter", "--", "a"], ["jupyter", "ir"], ["nothing"], ["stateless", "x"],
        ["reset-every-1"], ["reset-every-"], ["reset-every-two"],
    ],
)  # fmt: skip
def test_words_that_name_nothing_are_a_mistake(words: list[str]) -> None:
    with pytest.raises(SpecError):
        target_spec(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jupyter", "--keep"], "--keep and --end belong to"),
        (["jupyter", "--tool", "x"], "--tool and --argument belong to"),
        (["jupyter", "--hepl"], "unknown option --hepl"),
        (["jupyter", "--seconds=0"], "must be above 0"),
        (["jupyter", "--wait=nan"], "must be above 0"),
        (["python", "--", "no-such-command"], "no command 'no-such-command'"),
        (["mcp", "--", "no-such-command"], "no command 'no-such-command'"),
        (["jupyter:no-such-kernel"], "no kernel is named 'no-such-kernel'"),
        (["no.such:thing"], "cannot import"),
        (
            ["okrt.runtimes.contracts:FILES"],
            "is a contract: give it to okrt.testing.check_contract",
        ),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        run(*words)
    assert "\n" not in str(caught.value)


def test_a_missing_package_names_the_extra(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mine / "smolagents.py").write_text("raise ModuleNotFoundError(name='smolagents')")
    monkeypatch.syspath_prepend(str(mine))
    with pytest.raises(UsageError, match=r"package smolagents: pip install 'okrt\[probe\]'"):
        run("smolagents")


def test_a_target_that_cannot_be_probed_is_status_1(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "dies.py").write_text(DIES)
    assert run("python", "--step", "5", "--", *PYTHON, str(mine / "dies.py")) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("okrt: cannot probe python -- ")
    assert err.endswith("no licence\n")
    assert err.count("\n") == 1


def tool(name: str, **arguments: str) -> Tool:
    properties = {argument: {"type": kind} for argument, kind in arguments.items()}
    return Tool(name=name, input_schema={"type": "object", "properties": properties})


RUN = tool("run", code="string", note="string")


@pytest.mark.parametrize(
    ("tools", "name", "argument", "wanted"),
    [
        ([RUN], None, None, ("run", "code")),
        ([tool("add", a="number"), RUN], None, None, ("run", "code")),
        ([RUN, tool("bash", script="string")], "bash", None, ("bash", "script")),
        ([RUN], None, "note", ("run", "note")),
        ([tool("run", source="string", program="string")], None, None, ("run", "source")),
        ([RUN, tool("bash", script="string")], None, None, "more than one tool .* bash.script."),
        ([tool("add", code="number")], None, None, "no tool .* it has add.code."),
        ([RUN], "other", None, "no tool .* it has run.code, note."),
        ([RUN], None, "missing", "no tool"),
        ([], None, None, "it has none"),
    ],
)
def test_the_tool_of_an_mcp_server_is_found_or_all_are_listed(
    tools: list[Tool], name: str | None, argument: str | None, wanted: tuple[str, str] | str
) -> None:
    if isinstance(wanted, tuple):
        assert find_tool(tools, name, argument) == wanted
        return
    with pytest.raises(SpecError, match=wanted):
        find_tool(tools, name, argument)


def test_options_may_follow_the_target_and_json_is_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("tests.probe.fakes:keeps", "--json", "--wait=0.3", "--step=60") == 0
    out, err = capsys.readouterr()
    report = msgspec.json.decode(out, type=Report)
    assert (report.schema, report.verdict) == (1, "persistent")
    assert report.found("between sessions", "variables") == "leaked"  # they share a namespace
    assert err == ""


def test_help_is_given_before_and_after_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("jupyter", "--help") == 0
    assert "okrt probe python -- python -" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        run("--help")


def test_progress_names_each_law_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with closing(Line(stream, pause_s=0)) as line:
        tell = command.progress(line)
        tell("after an error", 3, 20)
        tell("past a time limit", 4, 20)
    assert stream.getvalue() == (
        "\rokrt probe: 3/20 after an error\x1b[K\rokrt probe: 4/20 past a time limit\x1b[K\r\x1b[K"
    )


def test_importing_the_probe_imports_none_of_its_packages() -> None:
    program = (
        "import sys, okrt.probe.command\n"
        "print({'jupyter_client', 'mcp', 'smolagents', 'anyio'} & set(sys.modules))"
    )
    assert os.popen(f'{sys.executable} -c "{program}"').read() == "set()\n"
