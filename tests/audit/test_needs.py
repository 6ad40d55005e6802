"""What one block wants, leaves and hides."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.analysis.defuse import LONGEST_BLOCK, block
from okrt.audit.needs import needs
from tests.analysis.build import law


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("a = b", {"b": "none"}),
        ("a += 1", {"a": "none"}),
        ("del a", {"a": "none"}),
        ("a = 1\ndel a\na", {"a": "none"}),
        ("for a in b: c\nelse: d", {"b": "none", "c": "none", "d": "none"}),
        ("[x for x in y if z]", {"y": "none", "z": "none"}),
        ("if c: a = 1\nelse: a", {"c": "none", "a": "none"}),
        ("if c: a = 1\na", {"c": "none"}),
        ("match m:\n  case {'k': v, **w}: v, w", {"m": "none"}),
        ("try: 1\nexcept E as e: e", {"E": "none"}),
        ("def f(): return a", {}),
        ("def f(): return a\nf()", {"a": "none"}),
        ("def f(): return a\na = 1\nf()", {}),
        ("def f(): return g()\ndef g(): return a\nf()", {"a": "none"}),
        ("def f(a=b): return a\nf()", {"b": "none"}),
        ("def f(x: A) -> B: y: C = 1", {"A": "none", "B": "none"}),
        ("from __future__ import annotations\ndef f(x: A) -> B: pass", {}),
        ("def f():\n  a = 1\n  def g():\n    nonlocal a\n    a += b\n  g()\nf()", {"b": "none"}),
        ("def f():\n  global a\n  a += 1\nf()", {"a": "none"}),
        ("def f():\n  global a\n  a = 1\nf()\na", {}),
        ("@d\nclass C(B, metaclass=M): x = y", dict.fromkeys("dBMy", "none")),
        ("class C:\n  def m(self): return a", {}),
        ("class C:\n  def m(self): return a\nC().m()", {"a": "none"}),
        ("class C:\n  a = 1\n  def m(self): return a\nC().m()", {"a": "none"}),
        ("f = lambda x: x + a", {}),
        ("f = lambda x: x + a\nf(1)", {"a": "none"}),
        ("m(key=lambda x: x + a)", {"m": "none", "a": "none"}),
        ("try: a\nexcept NameError: a = 1\na", {"a": "guarded"}),
        ("try: a\nexcept Exception: pass", {"a": "swallowed"}),
        ("try: a\nexcept: pass", {"a": "swallowed"}),
        ("try: a\nexcept (KeyError, OSError): pass", {"a": "none"}),
        ("try: a\nexcept NameError: pass\na", {"a": "none"}),
        ("def f(): return a\ntry: f()\nexcept NameError: pass", {"a": "guarded"}),
        ("with suppress(NameError): a", {"suppress": "none", "a": "guarded"}),
        ("if 'a' in globals(): a", {"a": "guarded"}),
        ("a = a if 'a' in dir() else 1", {"a": "guarded"}),
        ("a = globals().get('a', 1)", {"a": "guarded"}),
        ("globals()['a']", {"a": "none"}),
        ("globals()['a'] = 1\na", {}),
    ],
)  # fmt: skip
def test_reads_of_a_block(code: str, reads: dict[str, str]) -> None:
    plumbing = {"NameError", "Exception", "KeyError", "OSError"}
    found = {read.name: read.shield for read in needs(code).reads}
    assert {name: shield for name, shield in found.items() if name not in plumbing} == reads


def test_a_read_has_the_line_it_stands_on() -> None:
    (read,) = needs("def f():\n    x = 1\n    return a\n\nf()").reads
    assert read.line == 3


def test_what_is_left_and_what_is_taken_away() -> None:
    found = needs("a = 1\ndel b\ntry: 1\nexcept E as e: pass\ndef f():\n  global g\n  g = 1")
    assert found.bound == {"a", "f", "g"}
    assert found.deleted == {"b"}
    assert needs("del a\na = 1").deleted == set()


@pytest.mark.parametrize(
    ("code", "hidden"),
    [
        ("from m import *", ("star import",)),
        ("exec(s)", ("exec",)),
        ("def f(): exec(s)", ("exec",)),
        ("globals().update(d)", ("globals()",)),
        ("%run other.py\nx = 1", ("magic",)),
        ("%%bash\nls", ("magic",)),
        ("%matplotlib inline\n!pip install x\nx = 1", ()),
        ("files = !ls\nx = files", ()),
        ("s = '''\n%run\n'''", ()),
        ("globals()['a'] = 1", ()),
    ],
)
def test_what_hides_names_is_said(code: str, hidden: tuple[str, ...]) -> None:
    assert needs(code).hidden == hidden


def test_ipython_lines_leave_the_rest_readable() -> None:
    found = needs("%matplotlib inline\nfiles = !ls\nprint(a)")
    assert found.bound == {"files"}
    assert [read.name for read in found.reads] == ["print", "a"]
    assert found.reads[1].line == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("a = ", "syntax error"),
        ("print 'a'", "Python 2"),
        ("try:\n  f()\nexcept E, e:\n  pass", "Python 2"),
        ("a = 1\n\0", "syntax error"),
        ("a" * (LONGEST_BLOCK + 1), "longer"),
        ("(" * 100_000, "syntax error"),
        ("a = " + "-" * 100_000 + "1", "nested"),
        ("a = " + " + ".join("1" * 40_000), "nested"),
        ("a = " + "x." * 50_000 + "y", "nested"),
        ("a = " + "lambda:" * 5_000 + "1", "nested"),
        ("a = " + "lambda:" * 160 + "1", "nested"),
        ("\n".join(" " * d + f"def f{d}():" for d in range(99)) + "\n" + " " * 99 + "1", ""),
        ("x = 1; " * 30_000, "longer"),
    ],
)
def test_a_block_that_cannot_be_read_says_why(code: str, reason: str) -> None:
    found = needs(code)
    if reason:
        assert reason in (found.unreadable or "")
        assert not found.reads
    else:
        assert found.unreadable is None


def test_nothing_is_run(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'ran')!r}, 'w')"
    needs(code + "\nimport antigravity_that_is_not_there\nraise SystemExit")
    assert not (tmp_path / "ran").exists()


@law
@given(st.text("ab=:()[] \n%!", max_size=40))
def test_any_text_has_an_answer(code: str) -> None:
    found = needs(code)
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return
    assert found.unreadable is None
    assert found.bound <= block(code).bound
