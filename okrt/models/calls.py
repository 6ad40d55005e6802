"""Tool calls as servers, chat templates and replies have them.

A reply spells a call as `<tool_call>`, a JSON object, `</tool_call>`, the form of Hermes and of
Qwen's chat templates; `okrt.parse` reads it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from okrt.types import FunctionTool, Message

_BLOCK = re.compile(r"^```python\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


def schema(function: FunctionTool) -> dict[str, Any]:
    """Returns the function as an entry of `tools`, of a request or for a chat template."""
    argument = {"type": "string", "description": function.argument_description}
    return {
        "type": "function",
        "function": {
            "name": function.name,
            "description": function.description,
            "parameters": {
                "type": "object",
                "properties": {function.argument: argument},
                "required": [function.argument],
            },
        },
    }


def spelled(name: str, arguments: str) -> str:
    """Returns a call as a reply spells it; `arguments` is JSON, or what a model wrote for it."""
    named = json.dumps(name, ensure_ascii=False)
    return f'<tool_call>\n{{"name": {named}, "arguments": {arguments}}}\n</tool_call>'


def with_calls(text: str, function: FunctionTool) -> str:
    """Returns the text with each fenced block of Python as a call that holds it."""

    def call(block: re.Match[str]) -> str:
        arguments = {function.argument: block[1]}
        return spelled(function.name, json.dumps(arguments, ensure_ascii=False))

    return _BLOCK.sub(call, text)


def chat_message(message: Message) -> dict[str, Any]:
    """Returns a message as a request carries it: a tool call apart from the content."""
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    for call in message.tool_calls or ():
        said = {"name": call.name, "arguments": call.arguments}
        sent["content"] = message.content[: call.start].removesuffix("\n")
        sent["tool_calls"] = [{"id": call.id, "type": "function", "function": said}]
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    return sent
