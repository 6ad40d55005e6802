"""Which names a block of code binds and reads, and on which lines, found without running it.

Only the block's own scope is looked at: the bodies of functions, lambdas and classes are not, and
`exec`, `globals()` and star imports hide what they bind. Names are taken in the order in which the
code would reach them, every branch taken to be entered. `okrt.audit` builds on `Scope` and looks
further, into bodies and at what shields a read.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

LONGEST_BLOCK = 200_000
"""Characters. A longer block is not read: a reply of 32,000 tokens is shorter."""
DEEPEST_BLOCK = 150
"""Levels of syntax. A fixed limit, because the interpreter's own would make the answer depend on
how deep the caller stands."""


class Rebinding(NamedTuple):
    """A statement of a block's outermost level that binds names without reading them."""

    names: frozenset[str]
    first: int
    """The line that it begins in, from 1."""
    last: int


@dataclass(frozen=True, slots=True)
class Block:
    """The names of one block; all empty where the block cannot be read."""

    bound: frozenset[str] = frozenset()
    """Bound anywhere in the block's own scope."""
    rebound: frozenset[str] = frozenset()
    """Bound by a statement of the block's outermost level that does not read the name: `def`,
    `class`, an import, an assignment."""
    guarded: frozenset[str] = frozenset()
    """Read, before the block binds them, in the body of a `try` that names NameError."""
    bound_at: Mapping[str, int] = field(default_factory=dict)
    """The first line, from 1, that binds each name that is bound."""
    read_at: Mapping[str, int] = field(default_factory=dict)
    """The first line that reads each name that is read before it is bound."""
    guarded_at: Mapping[str, int] = field(default_factory=dict)
    """The first such line in the body of the `try`, for each guarded name."""
    rebindings: tuple[Rebinding, ...] = ()
    """The statements that bind the names in `rebound`."""


@lru_cache(maxsize=64)  # one row asks several questions about the blocks of one episode
def block(code: str) -> Block:
    """Returns the names of a block; no code is too broken for an answer."""
    try:
        tree = parsed(code)
        scope = Scope()
        scope.visit(tree)
    except UNREADABLE:
        return Block()
    again = tuple(_rebindings(tree))
    return Block(
        frozenset(scope.bound),
        frozenset[str]().union(*(one.names for one in again)),
        frozenset(scope.guarded_at),
        scope.bound_at,
        scope.read_at,
        scope.guarded_at,
        again,
    )


UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What `parsed`, or a visit of its tree, raises for a block that cannot be read."""


def parsed(code: str) -> ast.Module:
    """Returns the syntax tree of a block; runs nothing.

    Raises:
        SyntaxError: the code is no Python of this version.
        ValueError: it holds a null byte or a lone surrogate, or is longer than `LONGEST_BLOCK`.
        RecursionError, MemoryError: its nesting is beyond the parser.
    """
    if len(code) > LONGEST_BLOCK:
        raise ValueError(f"longer than {LONGEST_BLOCK:,} characters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the agent's invalid escapes are not ours to report
        return ast.parse(code)


def _rebindings(tree: ast.Module) -> Iterable[Rebinding]:
    for statement in tree.body:
        if found := frozenset(_rebound(statement)):
            yield Rebinding(found, statement.lineno, statement.end_lineno or statement.lineno)


def _rebound(statement: ast.stmt) -> Iterable[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from imported(statement)
        case ast.Assign(targets=targets, value=value):
            yield from names(targets, ast.Store) - names([value], ast.Load)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from names([target], ast.Store) - names([value], ast.Load)


def names(nodes: Iterable[ast.AST], context: type[ast.expr_context]) -> set[str]:
    """Returns the names that stand in a context, to load or to store, anywhere in the nodes."""
    return {
        node.id
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }


def imported(statement: ast.Import | ast.ImportFrom) -> Iterable[str]:
    """Returns the names that an import binds; those of a star import are unknown and left out."""
    bound = (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    return (name for name in bound if name != "*")


def names_name_error(handler: ast.ExceptHandler) -> bool:
    """Whether a handler names NameError, alone or among others."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id == "NameError" for kind in caught)


_LEAVES = (ast.Constant, ast.expr_context)
"""Most of the nodes of a block that states its data as literals; none names anything."""
_PLACED = (ast.expr, ast.stmt, ast.excepthandler, ast.pattern)
"""What names things and knows its line."""


class Scope(ast.NodeVisitor):
    """Follows one scope in the order of evaluation, where that differs from the order of fields."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.bound_at: dict[str, int] = {}
        self.read_at: dict[str, int] = {}
        self.guarded_at: dict[str, int] = {}
        self.depth = 0
        self._line = 1

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, _LEAVES):
            return
        self.depth += 1
        if self.depth > DEEPEST_BLOCK:
            raise RecursionError("the block is nested too deep to be read")
        around = self._line
        if isinstance(node, _PLACED):
            self._line = node.lineno
        super().visit(node)
        self._line = around
        self.depth -= 1

    def visit_all(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def read(self, name: str, node: ast.AST) -> None:
        """Takes note that `node` reads a name."""
        if name not in self.bound:
            self.read_at.setdefault(name, self._line)

    def bind(self, name: str) -> None:
        """Takes note that a name is bound."""
        self.bound.add(name)
        self.bound_at.setdefault(name, self._line)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.bind(node.id)
        else:
            self.read(node.id, node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit_all(node.value, *node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_all(node.annotation, node.value)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, node)
        self.visit_all(node.value, node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit_all(node.value, node.target)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit_all(node.iter, node.target, *node.body, *node.orelse)

    visit_AsyncFor = visit_For

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name in imported(node):
            self.bind(name)

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(*node.decorator_list, node.args, node.returns)
        self.bind(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all(*node.decorator_list, *node.bases, *node.keywords)
        self.bind(node.name)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        self.visit_tried(node)
        self.visit_all(*node.handlers, *node.orelse, *node.finalbody)

    visit_TryStar = visit_Try

    def visit_tried(self, node: ast.Try | ast.TryStar) -> None:
        """Visits what the handlers watch over."""
        before, self.read_at = self.read_at, {}
        self.visit_all(*node.body)
        if any(names_name_error(handler) for handler in node.handlers):
            self.guarded_at = self.read_at | self.guarded_at
        self.read_at |= before

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name is not None:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._comprehension(node.generators, node.elt)

    visit_SetComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node.generators, node.key, node.value)

    def _comprehension(self, generators: list[ast.comprehension], *results: ast.expr) -> None:
        """The first iterable is read outside; the targets are the comprehension's own."""
        self.visit(generators[0].iter)
        targets = names([generator.target for generator in generators], ast.Store)
        own = targets - self.bound
        self.bound |= own
        for position, generator in enumerate(generators):
            self.visit_all(None if position == 0 else generator.iter, *generator.ifs)
        self.visit_all(*results)
        self.bound -= own

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self.bind(node.name)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest is not None:
            self.bind(node.rest)
