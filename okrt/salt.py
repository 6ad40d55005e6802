"""Private tasks: a family's tasks, drawn by a secret from more seeds than anyone can go through.

What a user names, and what is written, stays the seed that was asked for; which seed the family is
given in its place is known to those who have the secret. The secret is recorded by a digest.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, Protocol

from okrt.errors import FamilyError, UsageError
from okrt.types import Environment, Outcome, Split, Task, TaskFamily

SHORTEST, LONGEST = 16, 65_536
"""Bytes of a secret, the newlines at its end left out."""
FIRST, SEEDS = 10**17, 9 * 10**17
"""The seeds that are drawn from: those of eighteen digits, the longest that a command line takes,
so that every family has met their like. No other number in a task looks so by accident."""
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 64}
"""Source: RFC 7914, whose memory-hardness is the point, with the cost of an interactive login of
Percival (2009), some 50 ms and 16 MiB. Digests are published and tasks may leak: whoever has either
can test guesses of the secret. Of 32 random bytes none is hit; of a sentence that someone thought
of, a plain hash would let billions be tried a second."""
_DOMAIN = b"okrt/private-tasks/1"


class Draw(Protocol):
    """What knows the seeds that are given to a family."""

    @property
    def digest(self) -> str: ...

    def seed(self, task: str) -> int:
        """Returns the seed of `family/tier/split/seed`."""
        ...


@dataclass(frozen=True, slots=True)
class Salt:
    """A secret, as far as it is kept: it draws tasks, and cannot be shown or sent anywhere."""

    digest: str
    """Eight hex digits that tell it from others."""
    _key: bytes = field(repr=False)

    def seed(self, task: str) -> int:
        """Returns the seed of `family/tier/split/seed`: by HMAC-SHA256, so that knowing some says
        nothing of the others."""
        drawn = hmac.digest(self._key, task.encode(), "sha256")
        return FIRST + int.from_bytes(drawn, "big") % SEEDS

    def __reduce__(self) -> NoReturn:
        raise TypeError("a salt stays in its process: send what it draws, PrivateFamily.alone")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a salt drew for some tasks, for those who may know these alone."""

    digest: str
    _seeds: Mapping[str, int] = field(repr=False)

    def seed(self, task: str) -> int:
        return self._seeds[task]


def salt(secret: bytes) -> Salt:
    """Returns the salt of a secret."""
    key = hashlib.scrypt(secret, salt=_DOMAIN, **_SCRYPT)
    return Salt(key[:4].hex(), key[32:])


def read_salt(file: Path) -> Salt:
    """Returns the salt of a file; newlines at its end are no part of it.

    Raises:
        UsageError: there is no such file, or it holds no secret.
    """
    if len(file.name) == 64 and not set(file.name.lower()) - set("0123456789abcdef"):
        raise UsageError("the salt was given as the secret itself: write it to a file, name that")
    try:
        if not file.is_file():
            what = "is no file" if file.exists() else "is not there: okrt salt FILE makes one"
            raise UsageError(f"the salt {file} {what}")
        with file.open("rb") as opened:
            secret = opened.read(LONGEST + 1).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"cannot read the salt {file}: {error.strerror}") from None
    if not SHORTEST <= len(secret) <= LONGEST:
        size = f"{len(secret)} bytes" if len(secret) <= LONGEST else f"over {LONGEST:,} bytes"
        raise UsageError(
            f"the salt {file} holds {size}: a secret has {SHORTEST} to {LONGEST:,}; "
            "okrt salt FILE makes one"
        )
    return salt(secret)


def exposed(file: Path) -> str:
    """Returns a warning where any user of this machine may read the file, or nothing."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if not mode & stat.S_IROTH:
        return ""
    return f"everyone on this machine may read the salt {file} (mode {mode:04o}): chmod 600 {file}"


def make_salt(file: Path) -> Salt:
    """Writes a new secret, 32 random bytes as a line of hex digits, which a secret store takes too.

    Raises:
        UsageError: the file is there already, or cannot be written.
    """
    secret = secrets.token_hex(32).encode()
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(secret + b"\n")
    except FileExistsError:
        raise UsageError(
            f"{file} is there already: name another file; what was drawn from it could not be "
            "drawn again"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    return salt(secret)


@dataclass(frozen=True, slots=True)
class PrivateFamily:
    """A family whose tasks have the seeds that were asked for and are those of other seeds.

    The family itself knows nothing of it: it is asked for the task of the drawn seed, and its
    environment is given that very task.
    """

    inner: TaskFamily
    draw: Draw

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def tiers(self) -> tuple[str, ...]:
        return self.inner.tiers

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        """Returns the task as it is shown and written: where the drawn seed stands in it, the seed
        that was asked for.

        Raises:
            FamilyError: the family raised, or returned another task; the drawn seed is not said.
        """
        drawn = self.draw.seed(self._place(seed, tier, split))
        made = self._drawn(drawn, tier, split)
        shown = {
            "prompt": _without(made.prompt, drawn, seed),
            "private": _without(made.private, drawn, seed),
        }
        return replace(made, seed=seed, salt=self.draw.digest, **shown)

    def environment(self, task: Task) -> Environment:
        """Returns the environment of the task that the family made.

        Raises:
            FamilyError: the task was drawn by another salt or none; or the family raised.
        """
        if task.salt != self.draw.digest:
            raise FamilyError(f"{task.id} is no task of the salt {self.draw.digest}")
        drawn = self.draw.seed(self._place(task.seed, task.tier, task.split))
        made = self._drawn(drawn, task.tier, task.split)
        try:
            return _Quiet(self.inner.environment(made), drawn, task.seed)
        except (Exception, SystemExit) as error:
            raise _hidden("environment", error, drawn) from None

    def alone(self, seed: int, tier: str, split: Split = "eval") -> PrivateFamily:
        """Returns the same of this one task, which can be sent: it knows no other."""
        place = self._place(seed, tier, split)
        return replace(self, draw=Drawn(self.draw.digest, {place: self.draw.seed(place)}))

    def _drawn(self, drawn: int, tier: str, split: Split) -> Task:
        try:
            made = self.inner.task(drawn, tier, split)
        except (Exception, SystemExit) as error:
            raise _hidden("task", error, drawn) from None
        if not isinstance(made, Task):
            raise FamilyError(f"TaskFamily.task must return a Task, got a {type(made).__name__}")
        if (made.family, made.tier, made.split, made.seed) != (self.name, tier, split, drawn):
            raise FamilyError("TaskFamily.task returned a task that it was not asked for")
        return made

    def _place(self, seed: int, tier: str, split: Split) -> str:
        return f"{self.name}/{tier}/{split}/{seed}"


@dataclass(frozen=True, slots=True)
class _Quiet:
    """The environment of a private task: what it says has the seed that was asked for."""

    inner: Environment
    _drawn: int = field(repr=False)
    _seed: int = field(repr=False)

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        with self._told():
            return {name: self._tool(tool) for name, tool in self.inner.tools.items()}

    @property
    def finished(self) -> bool:
        with self._told():
            return self.inner.finished

    def outcome(self) -> Outcome:
        with self._told():
            made = self.inner.outcome()
        if not isinstance(made, Outcome):
            return made
        return replace(made, metrics=_without(made.metrics, self._drawn, self._seed))

    def _tool(self, tool: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(tool)
        def quiet(*args: Any, **kwargs: Any) -> Any:
            with self._told():
                return _without(tool(*args, **kwargs), self._drawn, self._seed)

        return quiet

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            error.args = tuple(_without(error.args, self._drawn, self._seed))
            raise


def _hidden(member: str, error: BaseException, drawn: int) -> FamilyError:
    """Returns what a family raised, without the seed."""
    text = " ".join(str(error).split()).replace(str(drawn), "SEED")[:500]
    return FamilyError(
        f"TaskFamily.{member} raised {type(error).__name__} for the seed of a private task, of "
        f"{len(str(drawn))} digits: {text}"
    )


def _without(value: Any, drawn: int, seed: int) -> Any:
    """Returns text or JSON data in which the drawn seed reads as the one asked for."""
    if isinstance(value, Mapping):
        return {
            _without(key, drawn, seed): _without(one, drawn, seed) for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without(one, drawn, seed) for one in value]
    if isinstance(value, str):
        return value.replace(str(drawn), str(seed))
    return seed if type(value) is int and value == drawn else value
