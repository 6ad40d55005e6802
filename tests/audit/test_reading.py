"""Files -> traces: every format, and whatever else a file may hold."""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from okrt.audit import reading
from okrt.audit.reading import read
from okrt.audit.traces import Trace, Unread
from okrt.errors import UsageError
from tests.analysis.build import sample

CODE = "x = 1\nprint(x)"


def chat(*replies: Any, shown: str = "1") -> dict[str, Any]:
    messages: list[Any] = [{"role": "user", "content": "Do it."}]
    for reply in replies:
        message = reply if isinstance(reply, dict) else {"content": reply}
        messages += [{"role": "assistant", **message}, {"role": "user", "content": shown}]
    return {"messages": messages}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def traces(*paths: Path) -> list[Trace]:
    return [one for one in read(paths) if isinstance(one, Trace)]


def unread(*paths: Path) -> list[Unread]:
    return [one for one in read(paths) if isinstance(one, Unread)]


def only_code(path: Path, row: Any) -> Sequence[str]:
    (trace,) = traces(lines(path, row))
    return [block.code.strip() for block in trace.blocks]


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    "reply",
    [
        f"Look.\n```python\n{CODE}\n```",
        f"```py\n{CODE}\n```",
        f"```\n{CODE}\n```\nDone.",
        f"```python\n{CODE}",
        f"Thought: go\nCode:\n```py\n{CODE}\n```<end_code>",
        f"Thought: go\n<code>\n{CODE}\n</code>",
        f"Thought: go\n<code>\n{CODE}\n",
        f"<execute>\n{CODE}\n</execute>",
        f"<think>```python\nno()\n```</think>\n```python\n{CODE}\n```",
        f"```bash\nls\n```\n```python\n{CODE}\n```\n```\n1\n```",
        {"content": [{"type": "text", "text": "Look.\n"}, f"```python\n{CODE}\n```"]},
        call("python_interpreter", json.dumps({"code": CODE})),
        call("run", {"source": CODE, "timeout": 3}),
        call("execute_python", json.dumps({"text": CODE})),
        call("python", CODE),
        {"content": [{"type": "tool_use", "name": "py", "input": {"code": CODE}}]},
    ],
)
def test_a_block_is_found_however_it_is_written(tmp_path: Path, reply: Any) -> None:
    assert only_code(tmp_path / "t.jsonl", chat(reply)) == [CODE]


@pytest.mark.parametrize(
    "reply",
    ["No code.", "```bash\nls\n```", call("bash", {"command": "ls"}), call("search", '{"q": "a"}')],
)
def test_what_is_no_python_is_no_block(tmp_path: Path, reply: Any) -> None:
    assert only_code(tmp_path / "t.jsonl", chat(reply)) == []


def test_several_blocks_of_a_reply_are_one(tmp_path: Path) -> None:
    reply = "```python\na = 1\n```\nand\n```python\nb = a\n```"
    assert only_code(tmp_path / "t.jsonl", chat(reply)) == ["a = 1\n\n\nb = a"]


def test_what_was_shown_goes_with_its_block(tmp_path: Path) -> None:
    row = chat("```python\nx\n```", shown="NameError: name 'x' is not defined")
    (trace,) = traces(lines(tmp_path / "t.jsonl", row))
    assert trace.blocks[0].missing_name == "x"
    assert trace.blocks[0].raised


def test_sharegpt_and_prompt_with_completion_are_chats(tmp_path: Path) -> None:
    reply = f"```python\n{CODE}\n```"
    sharegpt = {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": reply}]}
    completed = {"prompt": [], "completion": [{"role": "assistant", "content": reply}]}
    for row in (sharegpt, completed, {"messages": json.dumps(chat(reply)["messages"])}):
        assert only_code(tmp_path / "t.jsonl", row) == [CODE]


def test_our_own_episodes_are_read_as_they_were_run(tmp_path: Path) -> None:
    row = {"schema": 1, **msgspec.to_builtins(sample())}
    lines(tmp_path / "episodes.jsonl", row)
    (trace,) = traces(tmp_path)
    assert (trace.format, trace.id, len(trace.blocks)) == ("okrt", "0f3a", 4)
    assert trace.blocks[1].missing_name == "seen"


def test_a_trace_file_of_the_published_harness_is_read(tmp_path: Path) -> None:
    step = {
        "turn": 1,
        "assistant_text": "...",
        "code": CODE,
        "interpreter_result": {"success": False, "output": "1\n", "error": "ValueError: no"},
    }
    events = [
        {"type": "StartEvent", "data": {"task": "t"}},
        {"type": "StepEvent", "data": step, "timestamp": "2026-01-01T00:00:00"},
        {"type": "StepEvent", "data": {**step, "code": None, "interpreter_result": None}},
    ]
    document = {"started_at": None, "summary": {"task": "t"}, "events": events}
    (tmp_path / "a.trace.json").write_text(json.dumps(document, indent=2))
    (trace,) = traces(tmp_path)
    assert (trace.format, len(trace.blocks)) == ("harness", 1)
    assert trace.blocks[0].raised
    assert "json" in trace.provided


@pytest.mark.parametrize("indent", [None, 1])
def test_a_document_that_is_a_list_holds_several(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps([chat("hi"), chat("ho")], indent=indent))
    assert [one.id for one in traces(path)] == ["all.json:1", "all.json:2"]
    path.write_text("[]\n")
    assert list(read([path])) == []


def test_a_first_line_that_is_a_list_leaves_lines_what_they_are(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", [chat("hi")], chat("ho"))
    assert [one.id for one in traces(path)] == ["t.jsonl:2"]
    assert [one.where for one in unread(path)] == ["t.jsonl:1"]


def test_several_formats_in_one_file_are_told_line_by_line(tmp_path: Path) -> None:
    ours = {"schema": 1, **msgspec.to_builtins(sample())}
    path = lines(tmp_path / "t.jsonl", chat(f"```python\n{CODE}\n```"), ours, {"events": []})
    assert [trace.format for trace in traces(path)] == ["messages", "okrt", "harness"]


def test_broken_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    good = json.dumps(chat("hi"))
    deep = "[" * 100_000
    broken = ["{", "7", deep, '{"a": 1}', '{"messages": [3]}', '{"messages": "no"}', "\ud800"]
    path.write_bytes("\n".join([good, *broken, "", good]).encode("utf-8", "surrogatepass"))
    assert len(traces(path)) == 2
    assert [one.where for one in unread(path)] == [f"t.jsonl:{n}" for n in range(2, 9)]
    assert all(one.reason for one in unread(path))


def test_a_line_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 2_000)
    path = lines(tmp_path / "t.jsonl", chat("hi"), chat("x" * 9_000), chat("ho"))
    assert len(traces(path)) == 2
    assert [one.where for one in unread(path)] == ["t.jsonl:2"]


def test_parquet_is_read_row_by_row(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # type: ignore[import-untyped]

    rows = [chat(f"```python\nx = {n}\n```") for n in range(100)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert len(traces(tmp_path / "t.parquet")) == 100
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 no more")
    assert "damaged" in unread(damaged)[0].reason


def test_without_pyarrow_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="pip install"):
        traces(tmp_path / "t.parquet")


def test_of_a_folder_every_kind_of_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "empty.jsonl").mkdir()
    lines(tmp_path / "b.jsonl", chat("hi"))
    lines(tmp_path / "a.jsonl", chat("hi"), chat("ho"))
    lines(tmp_path / "deep" / "one.trace.json", {"events": []})
    lines(tmp_path / "notes.json", {"lr": 1})
    assert [one.id for one in traces(tmp_path)] == [
        "a.jsonl:1", "a.jsonl:2", "b.jsonl:1", "one.trace.json:1"
    ]  # fmt: skip
    assert not unread(tmp_path)


def test_of_run_directories_the_episodes_alone_are_read(tmp_path: Path) -> None:
    row = {"schema": 1, **msgspec.to_builtins(sample())}
    run = tmp_path / "runs" / "one"
    (run / "exported").mkdir(parents=True)
    lines(run / "episodes.jsonl", row)
    lines(run / "rows.jsonl", {"schema": 1})
    lines(run / "exported" / "episodes.jsonl", row)
    lines(run / "exported" / "messages.jsonl", chat("hi"))
    lines(tmp_path / "more.jsonl", chat("hi"))
    for folder, formats in ((run, ["okrt"]), (tmp_path, ["messages", "okrt"])):
        assert [one.format for one in traces(folder)] == formats
        assert not unread(folder)


def test_what_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        traces(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="holds no"):
        traces(tmp_path)
