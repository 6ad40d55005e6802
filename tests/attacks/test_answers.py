"""What only the host knows is nowhere in a block's process, and is not to be had from the host's.

The tools of these attacks hold a secret in every place where a harness that runs code in its own
process would give it away: in closures, attributes, globals, frames, exceptions.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from okrt.errors import ToolError
from okrt.types import Limits
from tests.attacks.conftest import SYSCALL, Attack

PREFIX = "private-"
"""The secret goes on after it; a block may know this much, and looks for the rest."""


@dataclass
class Private:
    """An environment with an answer."""

    secret: str = field(default_factory=lambda: PREFIX + os.urandom(16).hex())

    @property
    def tools(self) -> dict[str, Callable[..., Any]]:
        secret = self.secret

        def tool(kind: str = "") -> str:
            """Answers, or raises with the secret in its frame."""
            hidden = [secret]
            if kind == "tool":
                raise ToolError("no")
            if kind:
                try:
                    raise RuntimeError(hidden[0])
                except RuntimeError as cause:
                    raise ValueError("no") from cause
            return "nothing"

        tool.private = self  # type: ignore[attr-defined]
        return {"tool": tool, "method": self.method}

    def method(self) -> int:
        return len(self.secret)


WALK = f"""
import builtins, gc, sys
PREFIX = {PREFIX[:-1]!r} + '-'
def look(roots, most=200_000):
    seen, waiting = set(), list(roots)
    while waiting and len(seen) < most:
        item = waiting.pop()
        if id(item) in seen: continue
        seen.add(id(item))
        if type(item) is str and item.startswith(PREFIX) and item != PREFIX: print('FOUND', item)
        waiting.extend(gc.get_referents(item))
def tries(*texts):
    for text in texts:
        try: print(text.format(tool, method))
        except (AttributeError, KeyError, IndexError): pass
"""
SEARCHES = {
    "closures": "look([tool, method, tool.__closure__, method.__closure__])",
    "globals of a tool": "look([tool.__globals__, tool.__code__, tool.__dict__])",
    "attributes of a tool": "look([getattr(tool, n, None) for n in [*dir(tool), 'private']])",
    "what a method belongs to": "look([getattr(method, '__self__', None)])",
    "the garbage collector": "look(gc.get_objects())",
    "frozen objects too": "gc.unfreeze(); look(gc.get_objects())",
    "referrers": "look(gc.get_referrers(tool, method, type(tool)))",
    "frames": (
        "frame, found = sys._getframe(), []\nwhile frame:\n"
        "    found += [frame.f_locals, frame.f_globals, frame.f_code]; frame = frame.f_back\n"
        "look(found)"
    ),
    "frames of other threads": "look(sys._current_frames().values())",
    "__main__": "import __main__; look([vars(__main__), vars(builtins)])",
    "modules": "look([vars(m) for m in list(sys.modules.values()) if hasattr(m, '__dict__')])",
    "str.format chains": (
        "tries('{0.__globals__}', '{0.__closure__[0].cell_contents}', '{1.__self__}',\n"
        "      '{1.__self__.secret}', '{0.private.secret}', '{0.__code__.co_consts}',\n"
        "      '{0.__defaults__}', '{0.__kwdefaults__}', '{0.__wrapped__}')"
    ),
    "subclasses": "look(object.__subclasses__())",
    "the traceback of a tool's error": (
        "try: tool('tool')\nexcept ToolError as error:\n"
        "    frame, found = error.__traceback__, []\n"
        "    while frame:\n        found.append(frame.tb_frame.f_locals); frame = frame.tb_next\n"
        "    look([*found, error, error.__dict__, error.args])"
    ),
    "the cause of a tool's error": (
        "try: tool('value')\nexcept ValueError as error:\n"
        "    print(error.__cause__, error.__context__, error.args)\n"
        "    look([error.__cause__, error.__context__, error])"
    ),
    "the text of a tool's error": (
        "import traceback\ntry: tool('value')\nexcept ValueError: print(traceback.format_exc())"
    ),
    "an uncaught tool's error": "tool('value')",
    "the environment": "import os; print(dict(os.environ), sys.argv, sys.orig_argv)",
    "the last exception": "print(sys.exc_info(), getattr(sys, 'last_value', None))",
    "audit hooks and tracing": (
        "seen = []\nsys.setprofile(lambda frame, *_: seen.append(dict(frame.f_locals)))\n"
        "tool()\nsys.setprofile(None)\nlook(seen)"
    ),
    "what arrives on the wire": (
        "import json, socket\nseen = []\nloads = json.loads\n"
        "json.loads = lambda *a, **k: seen.append(a) or loads(*a, **k)\n"
        "tool(); look(seen); print(seen)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", SEARCHES.values(), ids=SEARCHES)
def test_the_private_answer_is_not_to_be_found(attack: Attack, code: str) -> None:
    private = Private()
    block = attack("a = 1", f"{WALK}{code}", tools=private.tools, limits=Limits(block_s=10))
    rest = private.secret.removeprefix(PREFIX)
    assert rest not in block.stdout
    assert rest not in (block.error or "")
    assert "FOUND" not in block.stdout
    assert block.status in ("ok", "raised")
    assert block.error_type in (None, "ValueError", "AttributeError")


def test_its_own_memory_does_not_hold_it(attack: Attack) -> None:
    """Reads what lies round its objects; `write` says which addresses there are."""
    private = Private()
    code = f"""{WALK}
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
r, w = os.pipe()
tool()
pages = 0
for near in (id(tool), id('x' * 100), ctypes.addressof(ctypes.create_string_buffer(1 << 20))):
    for at in range((near & ~4095) - (4 << 20), (near & ~4095) + (4 << 20), 4096):
        if libc.write(w, ctypes.c_void_p(at), 4096) == 4096:
            pages += 1
            text = os.read(r, 4096)
            if PREFIX.encode() + b'a' in text: pass
            for part in text.split(PREFIX.encode())[1:]: print('FOUND', part[:32])
print(pages > 100)
"""
    block = attack(code, tools=private.tools, limits=Limits(block_s=10))
    assert block.status == "ok", block
    assert block.stdout.endswith("True\n")
    assert private.secret.removeprefix(PREFIX)[:31] not in block.stdout


HOST = {
    "its memory": "attempt(open, f'/proc/{pid}/mem', 'rb')",
    "its map": "attempt(open, f'/proc/{pid}/maps')",
    "its environment": "attempt(open, f'/proc/{pid}/environ', 'rb')",
    "its command line": "attempt(open, f'/proc/{pid}/cmdline', 'rb')",
    "its descriptors": "attempt(os.listdir, f'/proc/{pid}/fd')",
    "its working directory": "attempt(os.listdir, f'/proc/{pid}/cwd')",
    "its root": "attempt(os.listdir, f'/proc/{pid}/root')",
    "its stack": "attempt(open, f'/proc/{pid}/syscall')",
    "its descriptors by a handle": (
        "try: fd = os.pidfd_open(pid)\nexcept OSError as error: print('refused', error)\n"
        "else: attempt(syscall, 438, fd, 0, 0)"
    ),
    "ptrace": "attempt(syscall, 101 if x86 else 117, 0x4206, pid, 0, 0)",
    "process_vm_readv": (
        "here = ctypes.create_string_buffer(8)\n"
        "part = (ctypes.c_uint64 * 2)(ctypes.addressof(here), 8)\n"
        "attempt(syscall, 310 if x86 else 270, pid, ctypes.byref(part), 1, "
        "ctypes.byref(part), 1, 0)"
    ),
}


@pytest.mark.parametrize("code", HOST.values(), ids=HOST)
def test_the_host_gives_it_away_to_nobody(attack: Attack, code: str) -> None:
    """The host's process, and the block's parent as it sees it."""
    indented = "\n".join(f"    {line}" for line in code.splitlines())
    block = attack(f"{SYSCALL}for pid in ({os.getpid()}, os.getppid() or 1 << 30):\n{indented}")
    assert block.status == "ok", block
    assert [line.split()[0] for line in block.stdout.splitlines()] == ["refused"] * 2


def test_a_look_into_this_process_would_find_it() -> None:
    """Else the searches above would prove nothing."""
    private = Private()
    found: list[object] = list(private.tools.values())
    for _ in range(4):
        found = [below for item in found for below in gc.get_referents(item)]
        if any(item is private.secret for item in found):
            return
    pytest.fail("the secret is not reachable from the tools themselves")
