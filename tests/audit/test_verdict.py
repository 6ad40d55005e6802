"""Blocks -> findings and verdicts; many episodes -> the set's."""

from __future__ import annotations

import pytest

from okrt.audit.totals import audit_traces
from okrt.audit.traces import Trace, TraceBlock, Unread, block
from okrt.audit.verdict import EpisodeAudit, audit_trace


def audit(*blocks: str | tuple[str, str], provided: frozenset[str] = frozenset()) -> EpisodeAudit:
    """Blocks of code, or of code and what was shown."""
    pairs = [one if isinstance(one, tuple) else (one, None) for one in blocks]
    return audit_trace(Trace("e", "messages", tuple(block(*pair) for pair in pairs)), provided)


FUNCTION = "def f(x):\n    return x + 1\nprint(f(1))"
LOST = "NameError: name 'a' is not defined"


@pytest.mark.parametrize(
    ("verdict", "blocks"),
    [
        ("persistent", ["a = f()", "print(a)"]),
        ("persistent", ["import json", "json.dumps(1)"]),
        ("persistent", ["a = f()", "import re\nprint(a)", "import re\nre.sub('a', '', 'b')"]),
        ("persistent", ["a = [1]\nb = f()", "a = [1]\nprint(a, b)"]),
        ("stateless", [FUNCTION, FUNCTION]),
        ("stateless", ["import json", "import json"]),
        ("stateless", ["def f(): return 1", "def f(): return 2"]),
        ("stateless", [("a = f()", "[17, 25]"), "a = [17, 25]"]),
        ("stateless", ["a = g('x')", "a = g('x')\nprint(a)"]),
        ("stateless", ["rate = 0.19", "rate = 0.19"]),
        ("mixed", [FUNCTION, "print(f(2))", FUNCTION]),
        ("mixed", ["a = f()", ("print(a)", LOST)]),
        ("undecided", ["a = f()"]),
        ("undecided", []),
        ("undecided", ["print(1)", "print(2)"]),
        ("undecided", ["total = 0", "total = 0"]),
        ("undecided", ["a = [1, 2]", "a = [3, 4]"]),
        ("undecided", [("a = f()", "?"), "a = [17, 25]"]),
        ("undecided", ["u = 'p'\na = g(u)", "u = 'q'\na = g(u)"]),
        ("undecided", [("a = [1]\nb = 1 / 0", "ZeroDivisionError: x"), "a = [1]\nb = 1"]),
        ("undecided", ["a = f()", "try:\n    a\nexcept NameError:\n    a = 1"]),
        ("undecided", ["a = f()", "from m import *\nprint(a)"]),
        ("undecided", ["exec(s)", "print(a)"]),
        ("undecided", ["print 1", "print 2"]),
        ("undecided", ["a = 1\ndel a", "print(a)"]),
    ],
)  # fmt: skip
def test_verdicts(verdict: str, blocks: list[str | tuple[str, str]]) -> None:
    assert audit(*blocks).verdict == verdict


def test_a_finding_has_its_place() -> None:
    (finding,) = audit("x = 1", "a = f()", "y = 2\nprint(a)").findings
    assert str(finding) == "block 3, line 2: reads a, bound in block 2"


def test_what_the_runtime_provides_is_no_need() -> None:
    assert audit("import json", "json.dumps(1)", provided=frozenset({"json"})).verdict != (
        "persistent"
    )
    assert not audit("sum = 1", "print(sum)").misses


def test_contradictions_of_a_mixed_episode_are_in_order_and_of_both_sides() -> None:
    found = audit(FUNCTION, "print(f(2))", FUNCTION).contradictions
    assert [(finding.kind, finding.block) for finding in found] == [("reads", 2), ("repeats", 3)]
    assert not audit(FUNCTION, "print(f(2))").contradictions


def test_only_a_read_that_ends_its_block_is_a_miss() -> None:
    assert audit("a = f()", "print(a)").misses
    assert not audit("a = f()", "try:\n    a\nexcept Exception:\n    pass").misses
    assert not audit("a = f()", "if 'a' in globals():\n    print(a)").misses


def test_names_that_nobody_binds_are_told() -> None:
    assert audit("tool(1)", "x = tool(2)\nprint(typo)").never_bound == {"tool", "typo"}


def trace(*blocks: str) -> Trace:
    return Trace("e", "messages", tuple(TraceBlock(code) for code in blocks))


PERSISTENT, STATELESS = trace("a = f()", "print(a)"), trace(FUNCTION, FUNCTION)
MIXED, UNDECIDED = trace(FUNCTION, "print(f(2))", FUNCTION), trace("print(1)")


@pytest.mark.parametrize(
    ("verdict", "traces"),
    [
        ("persistent", [PERSISTENT] * 20),
        ("persistent", [PERSISTENT] * 19 + [STATELESS]),
        ("mixed", [PERSISTENT] * 18 + [STATELESS] * 2),
        ("stateless", [STATELESS] * 20 + [UNDECIDED] * 20),
        ("undecided", [STATELESS] * 20 + [UNDECIDED] * 21),
        ("undecided", [PERSISTENT] * 5),
        ("persistent", [PERSISTENT] * 6),
        ("mixed", [MIXED] * 20),
        ("undecided", []),
        ("undecided", [trace()]),
    ],
)
def test_the_verdict_of_a_set(verdict: str, traces: list[Trace]) -> None:
    assert audit_traces(traces).verdict == verdict


@pytest.mark.parametrize("stateless", [0, 10, 37, 100])
def test_the_share_of_a_mixture_is_found(stateless: int) -> None:
    found = audit_traces([STATELESS] * stateless + [PERSISTENT] * (100 - stateless))
    assert found.shares["stateless"].value == pytest.approx(stateless / 100, abs=0.02)
    low, high = found.shares["stateless"].low, found.shares["stateless"].high
    assert low is not None
    assert high is not None
    assert low <= stateless / 100 <= high
    assert found.missing_rate.value == pytest.approx(1 - stateless / 100)


def test_what_a_set_holds_is_counted() -> None:
    odd = trace("print 1", "from m import *")
    traces: list[Trace | Unread] = [PERSISTENT, MIXED, trace(), odd, Unread("f:1", "no")]
    found = audit_traces(traces)
    assert (found.episodes, found.without_code, found.unread, found.blocks) == (3, 1, 1, 7)
    assert (dict(found.unreadable), dict(found.hidden)) == ({"Python 2": 1}, {"star import": 1})
    assert found.reading_blocks.value == pytest.approx(2 / 4)
    assert len(found.kept["mixed"]) == 1
