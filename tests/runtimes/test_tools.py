"""Tools are plain functions in the block and run on the host."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from okrt.errors import FamilyError, ToolError
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.runtimes.frames import MAX_DEPTH
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Limits, ToolCall
from tests.runtimes.conftest import Play


def echo(value: Any, other: Any = None) -> Any:
    return value


def test_a_call_is_served_by_the_thread_that_executes(play: Play) -> None:
    seen: list[threading.Thread] = []

    def where() -> None:
        seen.append(threading.current_thread())

    (block,) = play("print(where())", tools={"where": where})
    assert block.stdout == "None\n"
    assert seen == [threading.current_thread()]


def test_json_data_goes_through_unchanged(play: Play) -> None:
    data = "{'a': [1, -2**63, 2**64 - 1, 1.5, True, None, 'é😀\\x00\"'], 'b': {}}"
    (block,) = play(f"x = {data}\nprint(echo(x) == x)", tools={"echo": echo})
    assert block.stdout == "True\n"
    value = {"a": [1, -(2**63), 2**64 - 1, 1.5, True, None, 'é😀\x00"'], "b": {}}
    assert block.calls == (ToolCall("echo", (value,), value),)


def test_calls_are_recorded_by_position_after_binding(play: Play) -> None:
    (block,) = play("echo(other=2, value=1)\necho(*[3], **{'other': 4})", tools={"echo": echo})
    assert [call.args for call in block.calls] == [(1, 2), (3, 4)]


def test_arguments_that_do_not_fit_are_a_type_error_in_the_block(play: Play) -> None:
    first, second = play("echo()", "echo(1, wrong=2)", tools={"echo": echo})
    assert (first.status, first.error_type) == ("raised", "TypeError")
    assert first.calls[0].error == "TypeError: echo() missing a required argument: 'value'"
    assert second.error is not None
    assert "echo() got an unexpected keyword argument 'wrong'" in second.error


@pytest.mark.parametrize(
    ("error", "caught", "shown"),
    [
        (ToolError("budget spent"), "ToolError", "ToolError: budget spent"),
        (KeyError("k"), "KeyError", "KeyError: 'k'"),
        (IndexError("i"), "IndexError", "IndexError: i"),
        (LookupError("l"), "LookupError", "LookupError: l"),
        (TypeError("t"), "TypeError", "TypeError: t"),
        (ValueError("v", 2), "ValueError", "ValueError: ('v', 2)"),
        (UnicodeDecodeError("ascii", b"x", 0, 1, "r"), "ValueError", "ValueError: 'ascii'"),
    ],
)
def test_errors_meant_for_the_block_reach_it(
    play: Play, error: Exception, caught: str, shown: str
) -> None:
    def tool() -> None:
        raise error

    tools = {"tool": tool}
    (block,) = play(f"try:\n    tool()\nexcept {caught} as e:\n    print(type(e))", tools=tools)
    assert block.status == "ok"
    assert block.calls[0].error is not None
    (block,) = play("tool()", tools=tools)
    assert (block.status, block.error_type) == ("raised", caught)
    assert block.error is not None
    last = block.error.splitlines()[-1]
    assert last.startswith(shown)
    assert 'File "<block 1>"' in block.error
    assert block.error.count("File") == 1
    assert block.calls[0].error is not None
    assert block.calls[0].error.startswith(f"{caught}: ")


@pytest.mark.parametrize("error", [RuntimeError("bug"), SystemExit("bug")])
def test_any_other_error_of_a_tool_is_the_familys_fault(
    runtime: ZygoteRuntime, error: BaseException
) -> None:
    def tool() -> None:
        raise error

    with runtime.open(STATELESS, {"tool": tool, "echo": echo}, Limits()) as session:
        with pytest.raises(
            FamilyError, match=f"'tool' raised {type(error).__name__}: bug"
        ) as caught:
            session.execute("tool()")
        assert caught.value.__cause__ is error
        assert session.execute("print(echo(1))").stdout == "1\n"


@pytest.mark.parametrize("result", [{1, 2}, object(), float("nan"), {1: 2}, 2**70, b"x", "\ud800"])
def test_a_result_that_is_no_json_data_is_the_familys_fault(play: Play, result: Any) -> None:
    with pytest.raises(FamilyError, match="'tool' returned what is not JSON data"):
        play("tool()", tools={"tool": lambda: result})


def test_an_interrupt_in_a_tool_passes_through(runtime: ZygoteRuntime) -> None:
    def tool() -> None:
        raise KeyboardInterrupt

    with runtime.open(STATELESS, {"tool": tool}, Limits()) as session:
        with pytest.raises(KeyboardInterrupt):
            session.execute("tool()")
        assert session.execute("print(1)").stdout == "1\n"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{1}", "type set"),
        ("object()", "type object"),
        ("b'x'", "type bytes"),
        ("{1: 2}", "a dict with a key of type int"),
        ("float('nan')", "the float nan"),
        ("2**64", "an int beyond 64 bits"),
        (r"'\ud800'", "text with a lone surrogate"),
        ("loop", f"data nested deeper than {MAX_DEPTH} levels"),
        ("[0] * 600_000", "more than 500,000 values"),
    ],
)
def test_arguments_that_are_no_json_data_are_a_type_error(
    play: Play, value: str, problem: str
) -> None:
    code = f"loop = []\nloop.append(loop)\nprint(echo([1]))\necho({value})"
    (block,) = play(code, tools={"echo": echo})
    assert (block.status, block.stdout) == ("raised", "[1]\n")
    assert block.error is not None
    assert block.error.endswith(f"TypeError: echo() takes JSON data, not {problem}\n")
    assert len(block.calls) == 1


def test_arguments_that_fit_no_frame_are_a_value_error(play: Play) -> None:
    (block,) = play("echo('x' * 2_000_000)", tools={"echo": echo})
    assert block.error_type == "ValueError"


def test_a_large_result_arrives(play: Play) -> None:
    (block,) = play("print(len(big()))", tools={"big": lambda: "x" * 5_000_000})
    assert block.stdout == "5000000\n"


def test_a_record_does_not_follow_later_changes(play: Play) -> None:
    state = [1]

    def tool(value: list[int]) -> list[int]:
        value.append(9)
        state.append(2)
        return state

    (block,) = play("tool([0])\ntool([0])", tools={"tool": tool})
    assert [call.args for call in block.calls] == [([0],), ([0],)]
    assert [call.result for call in block.calls] == [[1, 2], [1, 2, 2]]


# -- the cap --------------------------------------------------------------------------------------


def test_the_cap_ends_a_block_that_does_not_catch_it(play: Play) -> None:
    first, second = play(
        "done = [echo(i) for i in range(9)]",
        "print(echo(1))",
        tools={"echo": echo},
        limits=Limits(tool_cap=3),
    )
    assert (first.status, first.error_type) == ("cap", "ToolCapExceeded")
    assert (len(first.calls), first.refused_calls) == (3, 1)
    assert first.error is not None
    assert "a block may make 3 tool calls" in first.error
    assert (second.status, second.stdout) == ("ok", "1\n")


def test_a_caught_cap_is_counted_but_ends_nothing(play: Play) -> None:
    (block,) = play(
        "for i in range(5):\n    try:\n        echo(i)\n    except ToolCapExceeded:\n        pass",
        tools={"echo": echo},
        limits=Limits(tool_cap=2),
    )
    assert (block.status, len(block.calls), block.refused_calls) == ("ok", 2, 3)


def test_the_cap_is_no_tool_error(play: Play) -> None:
    (block,) = play(
        "print(issubclass(ToolCapExceeded, ToolError), ToolCapExceeded.__mro__[1])\n"
        "try:\n    echo(1)\nexcept ToolError:\n    print('wrong')",
        tools={"echo": echo},
        limits=Limits(tool_cap=0),
    )
    assert (block.status, block.stdout) == ("cap", "False <class 'RuntimeError'>\n")


def test_the_cap_is_kept_on_the_host(play: Play) -> None:
    tampered = (
        "import gc\n"
        "for f in gc.get_objects():\n"
        "    if type(f).__name__ == 'Worker': f._call_id = -50\n"
        "for i in range(5): echo(i)"
    )
    (block,) = play(tampered, tools={"echo": echo}, limits=Limits(tool_cap=2))
    assert len(block.calls) == 2


def test_a_cap_that_the_block_made_up_is_an_ordinary_error(play: Play) -> None:
    (block,) = play("raise ToolCapExceeded('so I say')")
    assert (block.status, block.error_type) == ("raised", "ToolCapExceeded")


# -- tools as names -------------------------------------------------------------------------------


def test_tools_are_no_names_of_the_agents_until_it_rebinds_them(play: Play) -> None:
    first, untouched, second, third = play(
        "print(echo.__name__, ToolError.__name__)",
        "echo(1)",
        "echo = 5\nToolError = ValueError",
        "print(echo)",
        tools={"echo": echo},
    )
    assert first.stdout == "echo ToolError\n"
    assert first.bound_names == untouched.bound_names == ()
    assert second.bound_names == third.carried_names == ("ToolError", "echo")
    assert third.stdout == "5\n"


def test_a_deleted_tool_is_back_in_the_next_block(play: Play) -> None:
    first, second = play("del echo, ToolError\necho", "echo(1), ToolError", tools={"echo": echo})
    assert first.missing_name == "echo"
    assert second.status == "ok"


def test_an_alias_of_a_tool_survives_with_the_names(play: Play) -> None:
    first, second = play("e = echo", "print(e(3))", tools={"echo": echo})
    assert first.bound_names == ("e",)
    assert second.stdout == "3\n"


@pytest.mark.parametrize("name", ["no name", "class", "ToolError"])
def test_a_name_that_no_tool_can_have_is_the_familys_fault(play: Play, name: str) -> None:
    with pytest.raises(FamilyError, match=name):
        play("pass", tools={name: echo})


def test_a_tool_without_a_signature_is_the_familys_fault(play: Play) -> None:
    with pytest.raises(FamilyError, match="'t' has no signature"):
        play("pass", tools={"t": type})


# -- threads and signals --------------------------------------------------------------------------


def test_calls_from_threads_each_get_their_own_answer(play: Play) -> None:
    (block,) = play(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(list(pool.map(echo, range(200))) == list(range(200)))",
        tools={"echo": echo},
        limits=Limits(tool_cap=200),
    )
    assert block.stdout == "True\n"


def test_a_call_from_a_thread_that_outlives_the_block_is_refused(runtime: ZygoteRuntime) -> None:
    with runtime.open(PERSISTENT, {"echo": echo}, Limits()) as session:
        first = session.execute(
            "import gc, threading, time\nlog = []\n"
            "(runner,) = [o for o in gc.get_objects() if type(o).__name__ == 'Worker']\n"
            "def late():\n"
            "    while runner._step is not None: time.sleep(0.002)\n"
            "    try:\n        echo(1)\n"
            "    except RuntimeError as e:\n        log.append(str(e))\n"
            "threading.Thread(target=late).start()"
        )
        time.sleep(0.5)
        block = session.execute("print(log)")
    assert block.stdout == "['echo() can be called only by the block that is running']\n"
    assert first.calls == block.calls == ()


def test_a_copy_of_the_process_cannot_call_or_answer() -> None:
    with (
        ZygoteRuntime(unsafe=True) as unsafe,
        unsafe.open(PERSISTENT, {"echo": echo}, Limits()) as session,
    ):  # elsewhere, a block cannot fork
        first = session.execute(
            "import os\nif os.fork() == 0:\n    try:\n        echo(1)\n"
            "    except RuntimeError:\n        print('refused')\n"
            "else:\n    os.wait()\n    print('waited')"
        )
        second = session.execute("print(echo(2))")
    assert (first.stdout, first.calls) == ("refused\nwaited\n", ())
    assert second.stdout == "2\n"


def test_a_call_broken_off_by_a_signal_shifts_no_later_answer(play: Play) -> None:
    gate = threading.Event()

    def slow(value: int) -> int:
        gate.wait(0.5)
        return value

    (block,) = play(
        "import signal\n"
        "def stop(*_): raise TimeoutError\n"
        "signal.signal(signal.SIGALRM, stop)\n"
        "try:\n    signal.setitimer(signal.ITIMER_REAL, 0.05)\n    slow(1)\n"
        "except TimeoutError:\n    print('late')\nprint(echo(2))",
        tools={"slow": slow, "echo": echo},
    )
    assert block.stdout == "late\n2\n"
