"""Blocks that cannot be answered without running them, and what their answers say.

Each block prints its result between marks that it puts together from two halves, fresh for each
block: a target that echoes code, or talks, shows the halves but never the mark.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from string import Template

from okrt.probe.holder import CLOSE_S, Holder
from okrt.probe.target import Answer, ProbeError
from okrt.probe.traits import Trait
from okrt.report.plain import one_line

GONE = "gone"
_VALUE = r"([^<>\n]{0,200})>"
_DEATHS = 3
"""So many blocks in a row may end the interpreter before the probe gives up."""
_NAP_S = 0.05


class OutOfTime(Exception):
    """The time for the whole probe is up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a probe waits."""

    seconds: float = 120.0
    """For everything, start and close included."""
    step_s: float = 10.0
    """For the answer to an ordinary block."""
    wait_s: float = 3.0
    """For a time limit of the target's own to strike."""
    close_s: float = CLOSE_S
    """For the target to close."""


class Mark:
    """A result that only running code can show."""

    def __init__(self) -> None:
        self._halves = secrets.token_hex(4), secrets.token_hex(4)

    @property
    def code(self) -> str:
        """An expression for the mark's start."""
        first, second = self._halves
        return f"'<{first}' + '{second}:'"

    def prints(self, expression: str) -> str:
        """A line of code that shows the value of an expression."""
        return f"print({self.code} + str({expression}) + '>')"

    def read(self, text: str) -> str | None:
        """Returns the value shown in a text, or None."""
        found = re.search(re.escape("<" + "".join(self._halves) + ":") + _VALUE, text)
        return found.group(1) if found else None

    def all(self, text: str) -> list[str]:
        """Returns every value shown."""
        return re.findall(re.escape("<" + "".join(self._halves) + ":") + _VALUE, text)


@dataclass(frozen=True, slots=True)
class Left:
    """Something that a block has left behind: what must be seen, and what words stand for."""

    trait: Trait
    words: dict[str, str]

    def code(self, script: str) -> str:
        return Template(script).substitute(self.words)


class Asker:
    """Sends blocks to one target, counts them, and keeps to the limits."""

    def __init__(self, holder: Holder, limits: Limits, until: float) -> None:
        self._holder = holder
        self._until = until
        self._deaths = 0
        self.limits = limits
        self.blocks = 0
        self.nonce = secrets.token_hex(4)
        """In every name that a probe leaves on a disk."""

    def open(self) -> int:
        return self._holder.open(self._left())

    def ask(self, session: int, code: str, timeout_s: float | None = None) -> tuple[Answer, float]:
        """Returns the answer and how long it took.

        Raises:
            OutOfTime: the probe's time is up, or would be within `timeout_s`.
            ProbeError: the adapter broke, or the interpreter ends again and again.
        """
        left_s = self._left()
        if timeout_s is not None and timeout_s > left_s:
            raise OutOfTime
        wait_s = timeout_s or min(self.limits.step_s, left_s)
        self.blocks += 1
        began = time.monotonic()
        answer = self._holder.run(session, code, wait_s)
        self._deaths = self._deaths + 1 if answer.status == "died" else 0
        if self._deaths >= _DEATHS:
            raise ProbeError(f"the interpreter ended at {_DEATHS} blocks in a row")
        return answer, time.monotonic() - began

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise OutOfTime
        return left

    def leave(self, session: int, trait: Trait) -> Left | str:
        """Has a block leave something behind; returns why it could not, where it could not."""
        number = str(100_000_000 + secrets.randbelow(900_000_000))
        words = {"n": number, "name": f"okrt-probe-{self.nonce}-{number}", "said": number}
        left = Left(trait, words)
        mark = Mark()
        code = f"okrt_said = '{number}'\n{left.code(trait.leave)}\n{mark.prints('okrt_said')}"
        answer, _ = self.ask(session, code)
        said = mark.read(answer.text)
        if said is None:
            return reason(answer)
        words["said"] = said
        return left

    def look(self, session: int, left: Left) -> bool | str:
        """Returns whether it is there; a text where that cannot be said."""
        mark = Mark()
        lines = left.code(left.trait.look).replace("\n", "\n    ")
        code = (
            f"try:\n    {lines}\nexcept Exception:\n    okrt_got = '{GONE}'\n"
            f"{mark.prints('okrt_got')}"
        )
        answer, _ = self.ask(session, code)
        got = mark.read(answer.text)
        if got is None:
            return reason(answer)
        return got == left.words["said"]

    def remove(self, session: int, left: Left) -> None:
        if left.trait.remove:
            self.ask(session, left.code(left.trait.remove))


def reason(answer: Answer) -> str:
    """Returns why an answer shows nothing: its last line, which in a traceback is the error."""
    if answer.status == "timeout":
        return "no answer in time"
    lines = answer.text.strip().splitlines()
    said = one_line(lines[-1]) if lines else "nothing was shown"
    return f"the interpreter ended: {said}" if answer.status == "died" else said


def sleeps(seconds: float) -> str:
    """A block's lines that take this long, in naps, so that whatever may interrupt them can."""
    return f"import time\nfor okrt_nap in range({int(seconds / _NAP_S)}):\n    time.sleep({_NAP_S})"
