"""What a block establishes anew although an earlier one had established it.

Only statements of the block's outermost level count. Nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from okrt.analysis.defuse import imported, names

Restating = Literal["imports again", "defines again", "repeats", "pastes"]
"""`imports again`: a name that an earlier import bound. `defines again`: `def` or `class` of an
earlier name with another body. `repeats`: the same `def`, `class` or assignment, word for word, on
nothing but what is there anew. `pastes`: a name that was computed is given what was shown."""

SAMPLED = 20
"""Values of a literal that are looked for in what the model had been shown."""
_REMEMBERED = 200_000
"""Characters of what the model had been shown, the latest."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the outermost level that binds names."""

    kind: Literal["import", "def", "literal", "empty", "computed"]
    """`literal`: values written out. `empty`: one to start from: 0, "", [], None."""
    names: frozenset[str]
    text: str
    line: int
    loads: frozenset[str] = frozenset()
    values: tuple[str, ...] = ()
    """Of a literal, up to `SAMPLED` of its strings and numbers."""


@dataclass(frozen=True, slots=True)
class Restated:
    kind: Restating
    name: str
    line: int


@dataclass(slots=True)
class Past:
    """What earlier blocks that ran to their end had established."""

    last: dict[str, Statement | None] = field(default_factory=dict)
    """By name, what last bound it; None: something else than a statement of the outermost level."""
    shown: str = ""
    """What the model had been shown, and had written itself."""

    def add(self, found: list[Statement], bound: Set[str], changed: Set[str]) -> None:
        """Takes in a block: its statements, all that it bound, and what it changed in place."""
        self.last.update(dict.fromkeys(bound))
        self.last.update((name, statement) for statement in found for name in statement.names)
        for name in changed & self.last.keys():
            statement = self.last[name]
            if statement is not None and statement.kind in ("literal", "empty"):
                self.last[name] = None

    def show(self, text: str) -> None:
        self.shown = (self.shown + "\n" + text)[-_REMEMBERED:]


def statements(tree: ast.Module, code: str) -> list[Statement]:
    """Returns what the outermost level binds by import, `def`, `class` and assignment."""
    lines = code.split("\n")
    found = []
    for node in tree.body:
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno]).strip()
        match node:
            case ast.Import() | ast.ImportFrom():
                found.append(Statement("import", frozenset(imported(node)), text, node.lineno))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.append(Statement("def", frozenset({node.name}), text, node.lineno))
            case ast.Assign(targets=targets, value=value):
                found.append(_assignment(targets, value, text))
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                found.append(_assignment([target], value, text))
    return [statement for statement in found if statement.names]


def changed(tree: ast.Module) -> set[str]:
    """Returns the names of what a block changes in place: `x[0] = 1`, `x.y = 1`, `x += 1`, and a
    method called for its effect, `x.append(1)`."""
    names = set()
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and _is_literal(statement.value):
            nodes: Iterable[ast.AST] = statement.targets
        else:
            nodes = ast.walk(statement)
        names |= {_changed(node) for node in nodes}
    return {name for name in names if name is not None}


def _changed(node: ast.AST) -> str | None:
    match node:
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case ast.AugAssign(target=ast.Name(id=name)):
            return name
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name
    return None


def restated(found: list[Statement], past: Past) -> Iterator[Restated]:
    """Yields what the statements establish anew, in order."""
    here: set[str] = set()
    for statement in found:
        kind = _kind(statement, past, here)
        if kind is not None:
            here |= statement.names
            yield Restated(kind, min(statement.names), statement.line)


def _kind(statement: Statement, past: Past, here: Set[str]) -> Restating | None:
    if not statement.names <= past.last.keys():
        return None
    before = past.last[min(statement.names)]
    same = before is not None and before.text == statement.text
    match statement.kind:
        case "import":
            return "imports again" if before is not None and before.kind == "import" else None
        case "def":
            return "repeats" if same else "defines again"
        case "literal":
            if same:
                return "repeats"
            other = before is None or before.kind != "literal"
            return "pastes" if other and _was_shown(statement, past.shown) else None
        case "computed":
            rests = statement.loads & past.last.keys() <= here
            return "repeats" if same and rests else None
    return None


def _was_shown(statement: Statement, shown: str) -> bool:
    """Whether most of a literal's values stand in what the model had been shown."""
    hits = sum(value in shown for value in statement.values)
    return 2 * hits > len(statement.values)


def _assignment(targets: list[ast.expr], value: ast.expr, text: str) -> Statement:
    bound = frozenset(names(targets, ast.Store))
    if any(isinstance(n, ast.Attribute | ast.Subscript) for t in targets for n in ast.walk(t)):
        bound = frozenset()
    if _is_literal(value):
        values = tuple(_values(value))
        kind: Literal["literal", "empty"] = "literal" if values else "empty"
        return Statement(kind, bound, text, value.lineno, frozenset(), values)
    loads = frozenset(names([value], ast.Load) - names([value], ast.Store))
    return Statement("computed", bound, text, value.lineno, loads)


_LITERAL = (
    ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.USub, ast.UAdd,
    ast.Load, ast.BinOp, ast.Add, ast.Sub,
)  # fmt: skip
_MAKERS = {"set", "frozenset", "dict", "list", "tuple", "deque", "Counter", "defaultdict", "loads",
           "OrderedDict", "array", "DataFrame", "Series"}  # fmt: skip
"""Calls that only give a literal its type."""


def _is_literal(value: ast.expr) -> bool:
    match value:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=more):
            parts = [*args, *(keyword.value for keyword in more)]
            return name in _MAKERS and all(_is_literal(part) for part in parts)
    return all(isinstance(node, _LITERAL) for node in ast.walk(value))


_AFRESH: Mapping[object, None] = dict.fromkeys((0, 1, -1, "", None, True, False, float("inf")))


def _values(value: ast.expr) -> Iterator[str]:
    """Yields up to `SAMPLED` strings and numbers; those from which counting starts only within a
    container of several values."""
    constants = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
    if len(constants) == 1 and isinstance(constants[0], str | int | float | bool | type(None)):
        constants = [one for one in constants if one not in _AFRESH]
    step = max(1, len(constants) // SAMPLED)
    yield from (str(one) for one in constants[::step][:SAMPLED])
