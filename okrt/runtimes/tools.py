"""Tool calls of a block, served on the host: bound, capped, recorded, answered."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from typing import Any

from okrt.errors import FamilyError, ToolError
from okrt.runtimes.frames import LENGTH, not_json, pack, unpack
from okrt.runtimes.wire import Call, WireError
from okrt.runtimes.worker import PROVIDED
from okrt.types import ToolCall

Reply = dict[str, Any]

_PASSED_ON = (KeyError, IndexError, LookupError, TypeError, ValueError)
"""Builtin errors of a tool that are the block's business, the most special first."""


class Toolbox:
    """The tools of a session and their signatures.

    Raises:
        FamilyError: a name cannot stand in code, or a tool cannot be called by name and arguments.
    """

    def __init__(self, tools: Mapping[str, Callable[..., Any]]) -> None:
        self.names = list(tools)
        self._tools = dict(tools)
        self._signatures: dict[str, inspect.Signature] = {}
        for name, tool in tools.items():
            if not name.isidentifier() or keyword.iskeyword(name) or name in PROVIDED:
                raise FamilyError(f"environment.tools: {name!r} cannot be the name of a tool")
            try:
                self._signatures[name] = inspect.signature(tool)
            except (TypeError, ValueError) as error:
                raise FamilyError(f"environment.tools: {name!r} has no signature") from error

    def bind(self, call: Call) -> inspect.BoundArguments:
        """Raises TypeError where the arguments do not fit the tool."""
        return self._signatures[call.tool].bind(*call.args, **call.kwargs)

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._tools[name]


class BlockCalls:
    """The calls of one block."""

    def __init__(self, toolbox: Toolbox, cap: int) -> None:
        self._toolbox = toolbox
        self._cap = cap
        self.made: list[ToolCall] = []
        self.refused = 0

    def answer(self, call: Call) -> Reply:
        """Serves a call and returns the frame that answers it.

        Raises:
            WireError: no tool function of ours sends such a call.
            FamilyError: the tool raised what is none of the block's business, or returned what is
                not JSON data.
        """
        problem = not_json([call.args, call.kwargs])
        if call.tool not in self._toolbox or problem:
            raise WireError("it sent a forged tool call")
        if len(self.made) >= self._cap:
            self.refused += 1
            text = f"a block may make {self._cap} tool calls; make further calls in the next block"
            return _error(call, "ToolCapExceeded", [text])
        try:
            bound = self._toolbox.bind(call)
        except TypeError as error:
            text = f"{call.tool}() {error}"
            self._record(call, tuple(call.args), error=f"TypeError: {text}")
            return _error(call, "TypeError", [text])
        args = tuple(_copied(bound.args))  # the tool may keep or change what it is given
        try:
            result = self._toolbox[call.tool](*bound.args, **bound.kwargs)
        except (ToolError, *_PASSED_ON) as error:
            kind = _kind(error)
            self._record(call, args, error=f"{kind}: {error}")
            return _error(call, kind, _message(error))
        except (Exception, SystemExit) as error:
            text = f"tool {call.tool!r} raised {type(error).__name__}: {error}"
            raise FamilyError(text) from error
        if problem := not_json(result):
            raise FamilyError(f"tool {call.tool!r} returned what is not JSON data: {problem}")
        snapshot = _copied(result)
        self._record(call, args, result=snapshot)
        return {"type": "reply", "id": call.id, "result": snapshot}

    def _record(
        self, call: Call, args: tuple[Any, ...], result: Any = None, error: str | None = None
    ) -> None:
        self.made.append(ToolCall(call.tool, args, result, error))


def _copied(value: Any) -> Any:
    """Returns JSON data as it goes over the wire, with nothing in it that is shared."""
    return unpack(pack(value)[LENGTH:])


def _kind(error: Exception) -> str:
    if isinstance(error, ToolError):
        return ToolError.__name__
    return next(kind.__name__ for kind in _PASSED_ON if isinstance(error, kind))


def _message(error: Exception) -> list[Any]:
    """The single argument where there is one: `KeyError('a')` must not become `KeyError("'a'")`."""
    return list(error.args) if len(error.args) == 1 and not not_json(error.args) else [str(error)]


def _error(call: Call, kind: str, args: list[Any]) -> Reply:
    return {"type": "reply", "id": call.id, "error": kind, "args": args}
