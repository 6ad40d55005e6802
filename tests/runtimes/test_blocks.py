"""What a block prints, raises and binds, as the host is told of it."""

from __future__ import annotations

from random import Random

import pytest

from okrt.runtimes.contracts import STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Limits
from tests.runtimes.conftest import Play

# -- output ---------------------------------------------------------------------------------------


def test_standard_output_and_error_come_in_the_order_they_were_written(play: Play) -> None:
    (block,) = play(
        "import sys\nprint('a', end='')\nsys.stderr.write('b')\nprint('c')\n"
        "print('d', file=sys.stderr)\nsys.stdout.write('e')"
    )
    assert block.stdout == "abc\nd\ne"


def test_output_past_the_cap_is_cut_announced_and_counted(play: Play) -> None:
    (block,) = play("print('x' * 150)", limits=Limits(output_bytes=100))
    assert block.truncated_chars == 51
    assert block.stdout == "x" * 100 + (
        "\n[output cut at 100 bytes: 51 more characters were dropped]\n"
    )


def test_output_at_the_cap_is_not_cut(play: Play) -> None:
    (block,) = play("print('x' * 99)", limits=Limits(output_bytes=100))
    assert (block.stdout, block.truncated_chars) == ("x" * 99 + "\n", 0)


def test_a_flood_is_drained_and_counted(play: Play) -> None:
    (block,) = play("for _ in range(200): print('y' * 99_999)", limits=Limits(output_bytes=1000))
    assert block.status == "ok"
    assert block.truncated_chars == 200 * 100_000 - 1000
    assert len(block.stdout) < 1100


def test_output_that_is_no_text_is_replaced(play: Play) -> None:
    (block,) = play(r"import os; os.write(1, b'a\xff\xc3')")
    assert block.stdout == "a\ufffd\ufffd"


def test_a_lone_surrogate_can_be_printed_raised_and_bound(play: Play) -> None:
    printed, raised, bound = play(
        r"print('\ud800')", r"raise ValueError('\ud800')", r"globals()['\ud800'] = 1"
    )
    assert printed.stdout == "\\ud800\n"
    assert raised.error is not None
    assert raised.error.endswith("ValueError: \\ud800\n")
    assert bound.bound_names == ("\\ud800",)


def test_a_block_with_a_lone_surrogate_is_data(play: Play) -> None:
    (block,) = play("'\ud800'")
    assert block.error_type == "UnicodeEncodeError"


def test_writing_to_the_descriptors_is_output(play: Play) -> None:
    (block,) = play("import os; os.write(2, b'two '); os.write(1, b'three')")
    assert block.stdout == "two three"


def test_reading_input_is_the_end_of_the_file(play: Play) -> None:
    first, second = play("input()", "exit()")
    assert first.error_type == "EOFError"
    assert second.error_type == "SystemExit"


@pytest.mark.parametrize(
    "spoil",
    [
        "import sys; sys.stdout.close()",
        "import sys; sys.stderr = None",
        "import sys; del sys.stdout",
        "import sys, io; sys.stdout = io.StringIO()",
        "import sys; sys.stdout.detach()",
        "import os; os.close(1); os.close(2)",
        "import sys, io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'ascii')",
        "exit()",
    ],
)
def test_the_next_block_prints_again(play: Play, spoil: str) -> None:
    _, second, third = play(f"a = 1\n{spoil}", "print('é', a)", "input()")
    assert second.stdout == "é 1\n"
    assert third.error_type == "EOFError"


# -- errors ---------------------------------------------------------------------------------------


def test_a_traceback_shows_the_lines_of_the_block_and_nothing_else(play: Play) -> None:
    (block,) = play("import json\ndef read(text):\n    return json.loads(text)\nread('{')")
    assert block.status == "raised"
    assert block.error_type == "JSONDecodeError"
    assert block.error is not None
    lines = [line for line in block.error.splitlines() if "^" not in line]
    assert lines == [
        "Traceback (most recent call last):",
        '  File "<block 1>", line 4, in <module>',
        "    read('{')",
        '  File "<block 1>", line 3, in read',
        "    return json.loads(text)",
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
    ]


def test_a_traceback_points_at_the_place(play: Play) -> None:
    (block,) = play("x = 1\nprint(x, y)")
    assert block.error is not None
    assert block.error.splitlines()[2:4] == ["    print(x, y)", "             ^"]


def test_a_function_of_an_earlier_block_is_shown_with_its_lines(play: Play) -> None:
    _, second = play("def f():\n    return 1 / 0", "f()")
    assert second.error is not None
    assert '  File "<block 1>", line 2, in f\n    return 1 / 0\n' in second.error


def test_chained_and_grouped_errors_show_no_runner_either(play: Play) -> None:
    (block,) = play(
        "def f():\n    raise KeyError('k')\ntry:\n    f()\nexcept KeyError as e:\n"
        "    raise ExceptionGroup('g', [e, ValueError('v')]) from e"
    )
    assert block.error is not None
    assert "direct cause" in block.error
    files = [line for line in block.error.splitlines() if "File" in line]
    assert files
    assert all('File "<block 1>"' in line for line in files)


def test_a_syntax_error_shows_its_line_and_no_traceback(play: Play) -> None:
    (block,) = play("x = 1\ndef f(:\n    pass")
    assert (block.status, block.error_type) == ("raised", "SyntaxError")
    assert block.error is not None
    assert block.error.startswith('  File "<block 1>", line 2\n    def f(:\n')
    assert block.error.endswith("SyntaxError: invalid syntax\n")
    assert block.bound_names == ()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Stop(BaseException): pass\nraise Stop", "Stop"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def f(): f()\nf()", "RecursionError"),
        ("x = bytearray(10**10)", "MemoryError"),
        ("open('f', 'wb').write(b'x' * (100 << 20))", "OSError"),
        ("(" * 300 + ")" * 300, "SyntaxError"),
    ],
)
def test_any_exception_is_data_and_the_session_goes_on(play: Play, code: str, kind: str) -> None:
    first, second = play(f"a = 1\n{code}" if kind != "SyntaxError" else code, "print('on')")
    assert (first.status, first.error_type) == ("raised", kind)
    assert second.stdout == "on\n"
    assert kind == "SyntaxError" or second.carried_names is not None
    assert not first.restarted


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("class E(Exception):\n    def __str__(self): raise SystemExit\nraise E", "E"),
        ("class E(Exception):\n    __module__ = property(lambda self: 1 / 0)\nraise E", "E"),
        ("class E(NameError):\n    name = property(lambda self: 1 / 0)\nraise E", "E"),
        (
            "class M(type):\n    __name__ = property(lambda self: 1 / 0)\n"
            "class E(Exception, metaclass=M): pass\nraise E",
            "BaseException",
        ),
    ],
)
def test_an_error_that_cannot_be_shown_is_still_told(play: Play, code: str, kind: str) -> None:
    (block,) = play(code)
    assert (block.status, block.error_type, block.missing_name) == ("raised", kind, None)


def test_a_long_error_is_cut_in_the_middle(play: Play) -> None:
    (block,) = play("raise ValueError('x' * 10**6 + 'end')")
    assert block.error is not None
    assert "characters cut]" in block.error
    assert block.error.endswith("xend\n")
    assert len(block.error) < 21_000


def test_future_statements_do_not_leak_into_blocks(play: Play) -> None:
    (block,) = play("def f(x: 1 + 1): pass\nprint(f.__annotations__)")
    assert block.stdout == "{'x': 2}\n"


# -- missing names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("print(gone)", "gone"),
        ("del gone", "gone"),
        ("def f():\n    return gone\nf()", "gone"),
        ("raise NameError(\"name 'gone' is not defined\")", "gone"),
        ("raise NameError('no idea')", None),
        ("raise NameError", None),
        ("class Mine(NameError): pass\nraise Mine(name='gone')", "gone"),
        ("def f():\n    x += 1\nf()", None),
        ("try:\n    gone\nexcept NameError:\n    raise KeyError('gone') from None", None),
        ("import math\nmath.gone", None),
    ],
)
def test_an_uncaught_name_error_tells_its_name(play: Play, code: str, missing: str | None) -> None:
    (block,) = play(code)
    assert block.status == "raised"
    assert block.missing_name == missing


def test_an_unbound_local_is_no_missing_name(play: Play) -> None:
    (block,) = play("def f():\n    x += 1\nf()")
    assert (block.error_type, block.missing_name) == ("UnboundLocalError", None)


def test_a_caught_name_error_is_no_error(play: Play) -> None:
    (block,) = play("try:\n    gone\nexcept NameError:\n    pass")
    assert (block.status, block.missing_name) == ("ok", None)


# -- names ----------------------------------------------------------------------------------------


def test_names_are_those_the_agent_bound(play: Play) -> None:
    first, second = play(
        "import os\n_p = b = 1\n__hidden = 2\nglobals()[3] = 4\nz: int = 1",
        "del b",
        tools={"t": lambda: None},
    )
    assert first.bound_names == second.carried_names == ("_p", "b", "os", "z")
    assert second.bound_names == ("_p", "os", "z")


def test_names_are_told_after_an_error_as_well(play: Play) -> None:
    (block,) = play("a = 1\n1 / 0\nb = 2")
    assert block.bound_names == ("a",)


def test_a_block_is_the_main_module(play: Play) -> None:
    (block,) = play(
        "import dataclasses, pickle, sys\n@dataclasses.dataclass\nclass P:\n    x: 'int'\n"
        "print(__name__, pickle.loads(pickle.dumps(P(1))), sys.modules['__main__'].P is P)"
    )
    assert block.stdout == "__main__ P(x=1) True\n"


def test_patched_builtins_stay_patched_and_harm_nobody_else(play: Play) -> None:
    names = ["print", "open", "sorted", "min", "len", "isinstance", "int", "type", "__import__"]
    patch = f"import builtins\nfor n in {names}: builtins.__dict__[n] = None\nbuiltins.extra = 1"
    _, second, third = play(patch, "x = extra\nmin", "min([])")
    assert (second.status, second.bound_names) == ("ok", ("builtins", "n", "x"))
    assert third.error_type == "TypeError"


# -- determinism ----------------------------------------------------------------------------------


def test_random_is_seeded_by_session_and_turn(play: Play) -> None:
    draw = "import random; print(random.random())"
    again = [block.stdout for block in play(draw, draw, seed="a")]
    assert [block.stdout for block in play(draw, draw, seed="a", contract=STATELESS)] == again
    assert again[0] != again[1]
    assert play(draw, seed="b")[0].stdout != again[0]


@pytest.mark.parametrize("patch", ["", "import builtins; builtins.isinstance = None"])
def test_random_is_seeded_as_the_library_would(play: Play, patch: str) -> None:
    _, block = play(patch, "import random; print(random.random())", seed="a")
    assert block.stdout == f"{Random('a/1').random()}\n"


def test_hashes_are_the_same_in_every_zygote(play: Play) -> None:
    code = "print([hash(name) for name in ('apple', 'pear', 'plum')])"
    with ZygoteRuntime() as other, other.open(STATELESS, {}, Limits()) as session:
        assert session.execute(code) == play(code)[0]
