"""The laws: what is asked of an interpreter, in the order in which it is asked.

None of them ends a process, opens a connection or leaves a file: a target may be somebody's server.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from okrt.probe.asking import Asker, Left, Mark, reason, sleeps
from okrt.probe.report import RESETS, Found
from okrt.probe.traits import TRAITS, Trait

TOOL = "okrt_tool"
"""What a block may call a number of times, if there is anything."""
MANY = 12
"""Blocks that count, one after another."""
_LINES = 3000
_LINE_CHARS = 100
_HOLD = 2
"""So many times the wait is what the long block takes: it ends by itself, whatever happens."""
_INSTANT_S = 0.1
_NEARLY = 0.95
"""Of the wait: what comes later was not stopped before it."""


@dataclass(frozen=True, slots=True)
class Law:
    """One question, or a few that share blocks, and the findings that answer them."""

    group: str
    laws: tuple[str, ...]
    ask: Callable[[Asker, int], Iterator[tuple[Found, str]]]
    """Given a session; yields a finding and its detail for each name of `laws`."""


def seen(there: bool | str, yes: Found, no: Found) -> tuple[Found, str]:
    """Returns the finding of a look."""
    if isinstance(there, str):
        return "not observable", there
    return (yes if there else no), ""


def _survives(trait: Trait) -> Law:
    def ask(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
        left = asker.leave(session, trait)
        if isinstance(left, str):
            yield "not observable", left
            return
        there = asker.look(session, left)
        asker.remove(session, left)
        yield seen(there, "kept", "lost")

    return Law("between blocks", (trait.name,), ask)


_VARIABLE = TRAITS[0]


def _like_no_other(letters: str) -> str:
    """Returns a name: smolagents reads a missing one as the most similar that there is. So each
    law has letters of its own, for a session keeps the names of those before."""
    return "".join(secrets.choice(letters) for _ in range(12))


def _much_later(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    left, name = asker.leave(session, _VARIABLE), _like_no_other("jwyz")
    count = f"try:\n    {name} += 1\nexcept Exception:\n    {name} = 1"
    counts: list[int | str] = []
    for _ in range(MANY):
        mark = Mark()
        answer, _ = asker.ask(session, f"{count}\n{mark.prints(name)}")
        shown = mark.read(answer.text) or ""
        counts.append(int(shown) if shown.isdecimal() else reason(answer))
    yield seen(left if isinstance(left, str) else asker.look(session, left), "kept", "lost")
    yield resets(counts)


def resets(counts: Sequence[int | str]) -> tuple[Found, str]:
    """Returns whether a variable that each block adds 1 to lasted through some blocks and was then
    gone, and how many it lasted.

    Args:
        counts: what each block found itself to be, from 1; or why a block did not say.
    """
    for count in counts:
        if isinstance(count, str):
            return "not observable", count
    gone = [place for place, count in enumerate(counts) if place and count == 1]
    if not gone or set(counts) == {1}:
        return "none seen", f"within {len(counts)} blocks" if not gone else "each block starts anew"
    lasted = sorted({after - before for before, after in itertools.pairwise(gone)})
    if not lasted:
        return "yes", f"once within {len(counts)} blocks"
    if len(lasted) > 1:
        return "yes", f"after {lasted[0]} to {lasted[-1]} blocks"
    return "yes", f"after every {lasted[0]} blocks"


def _cut_short(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    number = asker.nonce
    asker.ask(session, f"okrt_c{number} = '{number}'\nwhile True:\n    {TOOL}()")
    left = Left(Trait("", "", f"okrt_got = okrt_c{number}"), {"n": "", "name": "", "said": number})
    for _ in range(2):
        yield seen(asker.look(session, left), "kept", "lost")


def _after_an_error(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    earlier = asker.leave(session, _VARIABLE)
    number = asker.nonce
    asker.ask(session, f"okrt_e{number} = '{number}'\nokrt_e{number} + 1\nokrt_e{number} = ''")
    there = earlier if isinstance(earlier, str) else asker.look(session, earlier)
    yield seen(there, "kept", "lost")
    same = Left(Trait("", "", f"okrt_got = okrt_e{number}"), {"n": "", "name": "", "said": number})
    yield seen(asker.look(session, same), "kept", "lost")


def _errors(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    before, name = Mark(), _like_no_other("gqvx")
    answer, _ = asker.ask(session, f"{before.prints('1')}\n{name}")
    yield ("shown" if before.read(answer.text) else "hidden"), ""
    yield ("shown" if "NameError" in answer.text else "hidden"), ""
    named = re.search(f"['`\"]{name}['`\"]", answer.text)  # in quotes: an echoed line shows it bare
    yield ("shown" if named else "hidden"), ""


def _standard_error(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    mark, ran = Mark(), Mark()
    aside = f"print({mark.code} + 'seen>', file=sys.stderr)"
    answer, _ = asker.ask(session, f"import sys\n{aside}\n{ran.prints('1')}")
    there = mark.read(answer.text) is not None
    yield seen(there if there or ran.read(answer.text) else reason(answer), "shown", "hidden")


def _misspelt(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    mark = Mark()
    answer, _ = asker.ask(session, f"okrt_spelling = 'wrong'\n{mark.prints('okrt_speling')}")
    read = mark.read(answer.text)
    yield ("no" if read else "yes"), ("it reads as the most similar name" if read else "")


def _last_expression(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    mark = Mark()
    answer, _ = asker.ask(session, f"{mark.code} + 'seen>'")
    yield ("shown" if mark.read(answer.text) else "hidden"), ""


def _output(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    mark = Mark()
    filler = "." * (_LINE_CHARS - len(f"<{'0' * 16}:0000>") - 1)
    line = f"{mark.code} + str(10000 + okrt_i)[1:] + '>{filler}'"
    answer, _ = asker.ask(session, f"for okrt_i in range({_LINES}):\n    print({line})")
    numbers = sorted({int(value) for value in mark.all(answer.text) if value.isdigit()})
    if not numbers:
        yield "not observable", reason(answer)
        return
    total, came = _LINES * _LINE_CHARS, len(numbers) * _LINE_CHARS
    if len(numbers) == _LINES:
        yield "whole", f"all of {total:,} characters came back"
        return
    ends = numbers[0] == 0, numbers[-1] == _LINES - 1
    where = {(True, False): "its end is missing", (False, True): "its start is missing"}
    yield (
        "cut",
        (
            f"about {came:,} of {total:,} characters came back; "
            f"{where.get(ends, 'its middle is missing')}"
        ),
    )


def _time(asker: Asker, session: int) -> Iterator[tuple[Found, str]]:
    earlier = asker.leave(session, _VARIABLE)
    wait_s, mark, how = asker.limits.wait_s, Mark(), ""
    code = f"{sleeps(_HOLD * wait_s)}\n{mark.prints('1')}"
    answer, took_s = asker.ask(session, code, wait_s)
    if took_s >= _NEARLY * wait_s:
        how = "the probe gave up on the block"
        yield "none seen", f"within {wait_s:g} s"
    elif mark.read(answer.text) or took_s < _INSTANT_S:
        why = f"a block that should take {_HOLD * wait_s:g} s took {took_s:.1f} s"
        yield "not observable", reason(answer) if answer.status == "error" else why
    else:
        yield "enforced", f"stopped after {took_s:.1f} s"
    after = Mark()
    answer, _ = asker.ask(session, after.prints("2"), asker.limits.step_s + _HOLD * wait_s)
    yield ("yes" if after.read(answer.text) else "no"), how
    there = earlier if isinstance(earlier, str) else asker.look(session, earlier)
    yield seen(there, "kept", "lost")


LAWS = (
    *(_survives(trait) for trait in TRAITS),
    Law("between blocks", ("variables, many blocks later", RESETS), _much_later),
    Law(
        "after an error",
        ("variables of earlier blocks", "variables bound before the error"),
        _after_an_error,
    ),
    Law(
        "in the answer",
        ("output before an error", "type of an error", "which name is missing"),
        _errors,
    ),
    Law("in the answer", ("a misspelt name is an error",), _misspelt),
    Law("in the answer", ("standard error",), _standard_error),
    Law("in the answer", ("value of a last expression",), _last_expression),
    Law("in the answer", ("long output",), _output),
)
"""Asked of one session, one after another."""

CAP = Law("past a tool-call cap", ("variables of that block", "one block later"), _cut_short)
"""Asked where a block has a tool to call: of okrt's own runtime."""

TIME = Law(
    "past a time limit",
    ("a limit of the target's own", "the session goes on", "variables of earlier blocks"),
    _time,
)
"""Asked last: it may cost the session."""

BETWEEN_SESSIONS = tuple(trait for trait in TRAITS if trait.sessions)
