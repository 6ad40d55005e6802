"""Frames of the wire: four bytes of length and a JSON object; and what counts as JSON data.

Runs in the sandbox, on a copy of the builtins, and on the host: standard library only. Everything
between two blocks is written in C, as `okrt.runtimes.worker` explains.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner
from json import JSONDecoder
from math import isfinite
from typing import Any, NoReturn

LENGTH = 4
"""Bytes before the JSON of a frame: how many follow."""
MAX_FRAME = 1 << 20
"""Bytes of the largest frame that a child may send."""
MAX_DEPTH = 64
"""Levels of nesting in arguments and results: every JSON reader and writer copes with these."""
MAX_VALUES = 500_000
"""Values in arguments and results: more do not fit a frame."""

_SCAN = make_scanner(JSONDecoder())  # type: ignore[arg-type]  # anything with its settings


def _no_json(value: object) -> NoReturn:
    raise TypeError(f"type {type(value).__name__}")


_CHUNKS = make_encoder(
    None, _no_json, encode_basestring_ascii, None, ": ", ", ", False, False, False
)


def pack(message: Any) -> bytes:
    """Returns the frame of a message."""
    payload = "".join(_CHUNKS(message, 0)).encode()
    return len(payload).to_bytes(LENGTH, "big") + payload


def unpack(payload: bytes) -> Any:
    """Returns the message of a frame without its length."""
    return _SCAN(payload.decode(), 0)[0]


def not_json(value: object) -> str | None:
    """Returns what keeps a value from being JSON data that survives any reader, or None.

    Strict where `json.dumps` is lax: no keys that would turn into text, no nan, no integer beyond
    64 bits, no lone surrogate, at most MAX_DEPTH levels. Tuples count as lists.
    """
    waiting: list[tuple[object, int]] = [(value, 0)]
    for _ in range(MAX_VALUES):
        if not waiting:
            return None
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"data nested deeper than {MAX_DEPTH} levels"
        if isinstance(item, (list, tuple)):
            waiting.extend((part, depth + 1) for part in item)
        elif isinstance(item, dict):
            for key, part in item.items():
                if not isinstance(key, str):
                    return f"a dict with a key of type {type(key).__name__}"
                waiting += [(key, depth), (part, depth + 1)]
        elif problem := _not_scalar(item):
            return problem
    return f"more than {MAX_VALUES:,} values"


def _not_scalar(item: object) -> str | None:
    if isinstance(item, str):
        return None if item.isascii() or plain(item) == item else "text with a lone surrogate"
    if isinstance(item, int):
        return None if -(2**63) <= item < 2**64 else "an int beyond 64 bits"
    if isinstance(item, float):
        return None if isfinite(item) else f"the float {item}"
    return None if item is None else f"type {type(item).__name__}"


def plain(text: str) -> str:
    """Returns text that can be written as UTF-8: a lone surrogate becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
