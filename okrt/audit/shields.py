"""What shields a read from ending its block with a NameError."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from okrt.analysis.defuse import names_name_error

Shield = Literal["none", "swallowed", "guarded"]
"""What becomes of a NameError: it ends the block; a handler that is not about it catches it
(`except:`, `except Exception:`); the code is written for it (`except NameError:`,
`"x" in globals()`, `suppress(NameError)`)."""
STRENGTH: dict[Shield, int] = {"none": 0, "swallowed": 1, "guarded": 2}


@dataclass(frozen=True, slots=True)
class Read:
    """A name that the block reads before it binds it."""

    name: str
    line: int
    shield: Shield


def is_table(node: ast.expr) -> bool:
    """Whether the node is `globals()` or what the outermost level may say instead."""
    match node:
        case ast.Call(
            func=ast.Name(id="globals" | "locals" | "vars" | "dir"), args=[], keywords=[]
        ):
            return True
    return False


def suppresses(node: ast.expr) -> bool:
    """Whether the node is `suppress(NameError)`."""
    match node:
        case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=kinds):
            return any(isinstance(kind, ast.Name) and kind.id == "NameError" for kind in kinds)
    return False


def caught(handlers: Iterable[ast.ExceptHandler]) -> Shield:
    """Returns what the handlers of a `try` make of a NameError in its body."""
    handlers = list(handlers)
    if any(names_name_error(handler) for handler in handlers):
        return "guarded"
    wide = {"Exception", "BaseException"}
    for handler in handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or (isinstance(kind, ast.Name) and kind.id in wide) for kind in kinds):
            return "swallowed"
    return "none"
