"""Tokens that wrote state again: by the share of a reply's characters."""

from __future__ import annotations

import pytest

from okrt.analysis.rewritten import rewritten_tokens
from okrt.types import Turn
from tests.analysis.build import ran, turn


def said(code: str, tokens: int | None = 100, text: str | None = None) -> Turn:
    return turn(code, execution=ran(["x", "f"]), reply=text or code, tokens=(10, tokens))


@pytest.mark.parametrize(
    ("code", "tokens"),
    [
        ("x = 1\n", 100),  # all of it
        ("x = 1\r\ny = 2;;", 0),  # no Python
        ("x = 1\ny = 22", 50),
        ("y = 2\nz = x", 0),
        ("x = x + 1", 0),  # reads what it binds
        ("def f():\n  pass\nf(2222)\n", 67),
        ("if 1:\n    x = 2", 0),  # not of the outermost level
    ],
)
def test_statements_that_bind_an_earlier_name_anew(code: str, tokens: float) -> None:
    found = rewritten_tokens([said("x = 1\ndef f(): pass"), said(code)])
    assert found == pytest.approx(tokens, abs=1)


def test_the_rest_of_a_reply_was_not_written_again() -> None:
    again = said("x = 1\n", text="I set x again.\nx = 1\n")
    assert rewritten_tokens([said("x = 1"), again]) == pytest.approx(100 * 6 / 21)


def test_tokens_that_were_not_counted() -> None:
    assert rewritten_tokens([said("x = 1"), said("x = 1", tokens=None)]) is None
    assert rewritten_tokens([]) == 0
