"""What blocks really do: run in this process, their reads of names watched. Trusted code alone."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_TOOLS: dict[str, Any] = {
    "search": lambda query: f"result for {query}",
    "fetch": lambda url: f"content of {url}",
    "final_answer": print,
}
PROVIDED = frozenset(_TOOLS)
"""Tools that every block may call."""


@dataclass(frozen=True, slots=True)
class Ran:
    shown: str
    reads: frozenset[str]
    """Names that the block's own code read and an earlier block had bound."""
    missing_name: str | None
    """Of the NameError that ended it."""


class _Watched(dict[str, Any]):
    """A namespace that notes who reads what. CPython asks it, for it is no plain dict; only the
    body of a class, and what unpacks the whole namespace, pass it by."""

    block = ""
    before: dict[str, Any]
    bound: set[str]
    reads: set[str]

    def begin(self, block: str) -> None:
        self.block, self.before = block, dict(self)
        self.bound, self.reads = set(), set()

    def _note(self, name: str) -> None:
        frame = sys._getframe(2).f_code.co_filename
        earlier = frame.startswith("<block") and frame != self.block
        same = dict.get(self, name, self) is self.before.get(name)
        if name in self.before and name not in self.bound and same and not earlier:
            self.reads.add(name)

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return dict.__getitem__(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return dict.get(self, name, default)

    def __setitem__(self, name: str, value: Any) -> None:
        self.bound.add(name)
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: str) -> None:
        self._note(name)
        dict.__delitem__(self, name)


def run(blocks: Sequence[str], folder: Path, persistent: bool) -> tuple[Ran, ...]:
    """Runs the blocks one after another, in one namespace or each in a fresh one."""
    before, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    place = folder / f"{len(list(folder.iterdir()))}"
    place.mkdir()
    os.chdir(place)
    try:
        names = _fresh()
        ran = []
        for number, code in enumerate(blocks, 1):
            names = names if persistent else _fresh()
            ran.append(_run(code, f"<block {number}>", names))
        return tuple(ran)
    finally:
        os.chdir(before)
        sys.path[:] = path
        for module in set(sys.modules) - modules:
            if module.startswith("corpus_"):
                del sys.modules[module]


def _fresh() -> _Watched:
    return _Watched(_TOOLS, __name__="__main__", __builtins__=__builtins__)


def _run(code: str, block: str, names: _Watched) -> Ran:
    out = io.StringIO()
    names.begin(block)
    missing = None
    with redirect_stdout(out), redirect_stderr(out):
        try:
            compiled: CodeType = compile(code, block, "exec", dont_inherit=True)
            exec(compiled, names)
        except NameError as error:
            missing = None if isinstance(error, UnboundLocalError) else error.name
            out.write(traceback.format_exc(limit=-1))
        except Exception:
            out.write(traceback.format_exc(limit=-1))
    own = {name for name in names.reads if dict.get(_TOOLS, name) is not names.before[name]}
    return Ran(out.getvalue(), frozenset(n for n in own if not n.startswith("__")), missing)
