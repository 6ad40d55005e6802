from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.report.html.syntax import LONGEST, colours
from tests.analysis.build import law


def coloured(code: str, *tools: str) -> list[tuple[str, str]]:
    """The coloured pieces of a block, found as JavaScript finds them: by UTF-16 code units."""
    units = code.encode("utf-16-le", "surrogatepass")
    pieces, start = [], 0
    for length, kind in re.findall(r"(\d+)(\D)", colours(code, tools)):
        end = start + 2 * int(length)
        assert end <= len(units)
        pieces.append((kind, units[start:end].decode("utf-16-le", "surrogatepass")))
        start = end
    return [piece for piece in pieces if piece[0] != "-"]


def test_what_has_a_colour() -> None:
    code = 'def look(x):  # all\n    return inspect(x.print, 1.5, "é\N{SNAKE}") or len(b"""a\nb""")'
    assert coloured(code, "inspect") == [
        ("k", "def"), ("d", "look"), ("c", "# all"), ("k", "return"), ("t", "inspect"),
        ("n", "1.5"), ("s", '"é\N{SNAKE}"'), ("k", "or"), ("b", "len"), ("s", 'b"""a\nb"""'),
    ]  # fmt: skip


def test_runs_are_lengths_and_kinds() -> None:
    assert colours("x = 'a'\nimport b") == "4-3s1-6k"
    assert colours("") == colours("x + y") == ""


def test_an_f_string_is_one_string_on_every_version() -> None:
    assert coloured("print(f\"{a!r:>{len(b)}} {'x'}\", 1)") == [
        ("b", "print"), ("s", "f\"{a!r:>{len(b)}} {'x'}\""), ("n", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize("code", ["I try $ to \0 help", "'", '"""', "((((", "  x\n y", "\ud800"])
def test_broken_code_has_the_colours_up_to_where_it_breaks(code: str) -> None:
    coloured(code)
    assert coloured("import x\n" + code)[:1] in ([("k", "import")], [])


def test_a_very_long_block_stays_plain() -> None:
    assert colours("1\n" * LONGEST) == ""


@law
@given(st.text() | st.text("f'\"{}\\\r\n\f#x1 é\N{SNAKE}", max_size=30))
def test_any_text_has_runs_within_it(code: str) -> None:
    coloured(code)
