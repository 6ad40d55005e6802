from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.analysis.defuse import DEEPEST_BLOCK, LONGEST_BLOCK, Block, block
from tests.analysis.build import law


@pytest.mark.parametrize(
    ("code", "bound"),
    [
        ("a = b = 1", "a b"),
        ("a, (b, *c) = d", "a b c"),
        ("a: int = 1\nb: int", "a"),
        ("a += 1", "a"),
        ("a.b = c[0] = 1", ""),
        ("import os.path, json as j\nfrom m import x, y as z\nfrom n import *", "os j x z"),
        ("def f(a, b=1): c = 2", "f"),
        ("async def f(): pass", "f"),
        ("class C(B):\n    a = 1", "C"),
        ("for a, b in c: d = 1", "a b d"),
        ("with open(p) as f, g: h = 1", "f h"),
        ("try: a = 1\nexcept E as e: b = 1\nelse: c = 1\nfinally: d = 1", "abcde"),
        ("if (a := 1): b = 2", "a b"),
        ("[a for a in b if (c := a)]", "c"),
        ("{a: b for a, b in c}", ""),
        ("f = lambda a: (b := a)", "f"),
        ("match x:\n  case {'k': a, **b}: 1\n  case [c, *d]: 1\n  case E() as e: 1", "abcde"),
        ("globals()['a'] = 1; exec('b = 1')", ""),
    ],
)  # fmt: skip
def test_bound_names_are_those_of_the_blocks_own_scope(code: str, bound: str) -> None:
    expected = bound.split() if " " in bound or len(bound) < 4 else list(bound)
    assert block(code).bound == set(expected)


@pytest.mark.parametrize(
    ("code", "rebound"),
    [
        ("a = 1", {"a"}),
        ("a = a + 1", set()),
        ("a = [a for a in a]", set()),
        ("a, b = b, 1", {"a"}),
        ("a += 1", set()),
        ("a: int = 3\nb: int", {"a"}),
        ("def f(): return f()", {"f"}),
        ("class C: pass", {"C"}),
        ("import os.path\nfrom m import x as y\nfrom n import *", {"os", "y"}),
        ("if c:\n    a = 1", set()),
        ("for a in b: pass", set()),
        ("a.b = 1\nc[0] = 1", set()),
    ],
)
def test_rebound_names_are_bound_outermost_without_being_read(code: str, rebound: set[str]) -> None:
    assert block(code).rebound == rebound


@pytest.mark.parametrize(
    ("code", "guarded"),
    [
        ("try:\n    a\nexcept NameError:\n    a = {}", {"a"}),
        ("try:\n    f(a, b)\nexcept (KeyError, NameError) as e:\n    pass", {"f", "a", "b"}),
        ("try:\n    a\nexcept Exception:\n    pass", set()),
        ("try:\n    a\nexcept:\n    pass", set()),
        ("a = 1\ntry:\n    a\nexcept NameError:\n    pass", set()),
        ("try:\n    a = b\n    a\nexcept NameError:\n    pass", {"b"}),
        ("try:\n    a = a or b\nexcept NameError:\n    pass", {"a", "b"}),
        ("try:\n    for a in a: pass\nexcept NameError:\n    pass", {"a"}),
        ("try:\n    a += 1\nexcept NameError:\n    a = 0", {"a"}),
        ("a\ntry:\n    a\nexcept NameError:\n    pass", {"a"}),
        ("try:\n    [x for x in a]\nexcept NameError:\n    pass", {"a"}),
        ("try:\n    [x for x in x]\nexcept NameError:\n    pass", {"x"}),
        ("try:\n    [y for x in a if (y := f(x))]\nexcept NameError:\n    pass", {"a", "f"}),
        ("try:\n    pass\nexcept NameError:\n    a", set()),
        ("def g():\n    try:\n        a\n    except NameError:\n        pass", set()),
        ("if c:\n    try:\n        a\n    except NameError:\n        pass", {"a"}),
        ("try:\n    try: a\n    finally: b\nexcept NameError:\n    pass", {"a", "b"}),
        ("try:\n    del a\nexcept NameError:\n    pass", {"a"}),
    ],
)  # fmt: skip
def test_guarded_names_are_read_unbound_under_a_handler(code: str, guarded: set[str]) -> None:
    assert block(code).guarded == guarded


@pytest.mark.parametrize(
    "code",
    [
        "a = ",
        "a = 1\n\0",
        "a = '\ud800'",
        "(" * 100_000,
        "a = " + "-" * 100_000 + "1",
        "a = " + " + ".join("1" * 50_000),
        "a = " + "x." * 50_000 + "y",
        "a = " + "lambda:" * 5_000 + "1",
        "\n".join(" " * depth + "if 1:" for depth in range(150)),
        "a = 1\n" * (LONGEST_BLOCK // 6 + 1),
        "print 1; a = 1",
        "%matplotlib inline\na = 1",
    ],
)
def test_a_block_that_cannot_be_read_has_no_names(code: str) -> None:
    assert block(code) == Block()


def test_the_answer_does_not_depend_on_how_deep_the_caller_stands() -> None:
    # `not` nests one level each; module, statement and name are three more
    readable = "a = " + "not " * (DEEPEST_BLOCK - 3) + "b"
    assert block.__wrapped__(readable).bound == {"a"}
    assert block.__wrapped__(readable.replace("not", "not not", 1)) == Block()

    def deeper(levels: int, code: str) -> Block:
        return deeper(levels - 1, code) if levels else block.__wrapped__(code)

    assert deeper(250, readable).bound == {"a"}


def test_names_stand_where_they_are_first_bound_and_read() -> None:
    code = """\
import json, os.path as p

@cache
def look(batch):
    seen = batch

for item in items:
    total = total + item
print(state)
try:
    state, total
except NameError as gone:
    state = {}
class Box(
    object
): pass
state = [x for x in state]
match total:
    case [head, *rest]: pass
"""
    found = block(code)
    assert found.bound_at == {
        "json": 1, "p": 1, "look": 4, "item": 7, "total": 8, "gone": 12, "state": 13, "Box": 14,
        "head": 19, "rest": 19,
    }  # fmt: skip
    assert found.read_at == {
        "cache": 3, "items": 7, "total": 8, "print": 9, "state": 9, "NameError": 12, "object": 15,
    }  # fmt: skip
    assert found.guarded_at == {"state": 11}


def test_warnings_about_the_agents_code_stay_inside() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert block("a = '\\d'; b = 1 is 1").bound == {"a", "b"}


@law
@given(st.text("ab=:()[] \n", max_size=40))
def test_any_text_has_an_answer(code: str) -> None:
    names = block(code)
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        assert names == Block()
    assert names.rebound <= names.bound == names.bound_at.keys()
    assert names.guarded == names.guarded_at.keys() <= names.read_at.keys()
