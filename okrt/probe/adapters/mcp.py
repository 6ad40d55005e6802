"""A tool of an MCP server that runs Python: over the pipes of a command, or over HTTP."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT, CallToolResult, TextContent, Tool

from okrt.errors import SpecError
from okrt.probe.target import Answer, TargetSpec

ARGUMENTS = ("code", "source", "script", "python", "python_code", "block", "cell", "program")
"""What the argument that takes Python is called, the likeliest first."""


class McpSession:
    """One connection. A late call is cancelled, as the protocol has it; the server may ignore
    that."""

    def __init__(self, portal: BlockingPortal, spec: TargetSpec, server: Any) -> None:
        self._portal = portal
        self._context: AbstractContextManager[Client, bool | None]
        self._context = portal.wrap_async_context_manager(Client(server))
        self._client = self._context.__enter__()
        try:
            listed = portal.call(self._client.list_tools)
            self._tool, self._argument = find_tool(listed.tools, spec.tool, spec.argument)
        except BaseException:
            self.close()
            raise

    def run(self, code: str, timeout_s: float) -> Answer:
        call = partial(self._client.call_tool, self._tool, {self._argument: code}, timeout_s)
        try:
            result: CallToolResult = self._portal.call(call)
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                return Answer("", "timeout")
            died = error.code == CONNECTION_CLOSED
            return Answer(error.message, "died" if died else "error")
        text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
        return Answer(text, "error" if result.is_error else "ok")

    def close(self) -> None:
        self._context.__exit__(None, None, None)


class McpTarget:
    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec
        self._running = start_blocking_portal()
        self._portal = self._running.__enter__()

    def open(self) -> McpSession:
        spec = self._spec
        if not spec.command:
            return McpSession(self._portal, spec, spec.detail)
        command, *arguments = spec.command
        own = {"TMPDIR": tempfile.gettempdir()}  # else few variables are handed down
        server = StdioServerParameters(command=command, args=arguments, env=own)
        return McpSession(self._portal, spec, server)

    def close(self) -> None:
        self._running.__exit__(None, None, None)


def find_tool(tools: list[Tool], tool: str | None, argument: str | None) -> tuple[str, str]:
    """Returns the names of the tool that runs Python and of its argument.

    Raises:
        SpecError: there is none, or more than one that could be meant.
    """
    found = []
    for one in tools:
        if tool is None or one.name == tool:
            properties: dict[str, Any] = one.input_schema.get("properties", {})
            names = [argument] if argument is not None else _code_arguments(properties)
            found += [(one.name, name) for name in names[:1] if name in properties]
    if len(found) == 1:
        return found[0]
    listed = "; ".join(
        f"{one.name}({', '.join(one.input_schema.get('properties', {}))})" for one in tools
    )
    what = "more than one tool" if found else "no tool"
    raise SpecError(
        f"{what} of the server takes code: name it by --tool and --argument; "
        f"it has {listed or 'none'}"
    )


def _code_arguments(properties: dict[str, Any]) -> list[str]:
    return [name for name in ARGUMENTS if properties.get(name, {}).get("type") == "string"]


def make(spec: TargetSpec) -> McpTarget:
    return McpTarget(spec)
